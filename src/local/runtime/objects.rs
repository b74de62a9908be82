//! The objects that a pod names: ConfigMaps, Secrets and claims are read once before it starts, and waited for if they aren't there;
//! tokens of its service account are asked for.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::{
        ConfigMap, Container, PersistentVolumeClaim, Pod, PodSpec, Secret, ServiceAccount,
        ServiceAccountTokenProjection,
    },
};
use kube::{
    Api, Client, ResourceExt,
    api::PostParams,
    runtime::{WatchStreamExt, watcher::watch_object},
};

/// What kind of object a pod needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A ConfigMap, for environment or a volume.
    ConfigMap,
    /// A Secret, for environment or a volume.
    Secret,
    /// A PersistentVolumeClaim, for a volume.
    Claim,
}

/// An object that a pod names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// What it is.
    pub kind: Kind,
    /// Its name, in the pod's namespace.
    pub name: String,
}

/// Why a pod can't start.
#[derive(Debug)]
pub enum Unready {
    /// Something isn't there yet: it is tried again when that object changes from the version seen.
    Waiting {
        /// The object.
        reference: Reference,
        /// Its resource version, if it is there.
        seen: Option<String>,
        /// The kubelet's words for it.
        message: String,
    },
    /// It never will; the message says why.
    Refused(String),
    /// The API server gave no answer.
    Unanswered(kube::Error),
}

/// The objects that a pod names, as far as they exist.
#[derive(Default)]
pub struct Objects {
    config_maps: BTreeMap<String, ConfigMap>,
    secrets: BTreeMap<String, Secret>,
    claims: BTreeMap<String, PersistentVolumeClaim>,
    tokens: BTreeMap<Token, String>,
}

/// A token that the pod wants of its service account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Token {
    audience: Option<String>,
    seconds: Option<i64>,
}

impl Token {
    fn of(source: &ServiceAccountTokenProjection) -> Token {
        let audience = source.audience.clone().filter(|audience| !audience.is_empty());
        Token { audience, seconds: source.expiration_seconds }
    }

    /// Asks for one that is good as long as the pod is there. It is not renewed.
    async fn request(&self, client: &Client, pod: &Pod) -> kube::Result<String> {
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            uid: pod.uid(),
        };
        let spec = TokenRequestSpec {
            audiences: self.audience.iter().cloned().collect(),
            bound_object_ref: Some(bound),
            expiration_seconds: self.seconds,
        };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let api: Api<ServiceAccount> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        let made = api.create_token_request(account, &PostParams::default(), &request).await?;
        Ok(made.status.map(|status| status.token).unwrap_or_default())
    }
}

impl Objects {
    /// Reads all that the pod names. What isn't there is left out: whether that matters depends on `optional` at its use.
    pub async fn read(client: &Client, pod: &Pod) -> Result<Objects, Unready> {
        let namespace = pod.namespace().unwrap_or_default();
        let mut objects = Objects::default();
        for Reference { kind, name } in references(pod) {
            match kind {
                Kind::ConfigMap => {
                    let found = Api::namespaced(client.clone(), &namespace).get_opt(&name).await;
                    objects.config_maps.extend(found.map_err(Unready::Unanswered)?.map(|found| (name, found)));
                }
                Kind::Secret => {
                    let found = Api::namespaced(client.clone(), &namespace).get_opt(&name).await;
                    objects.secrets.extend(found.map_err(Unready::Unanswered)?.map(|found| (name, found)));
                }
                Kind::Claim => {
                    let found = Api::namespaced(client.clone(), &namespace).get_opt(&name).await;
                    objects.claims.extend(found.map_err(Unready::Unanswered)?.map(|found| (name, found)));
                }
            }
        }
        for token in tokens(pod) {
            let made = token.request(client, pod).await.map_err(Unready::Unanswered)?;
            objects.tokens.insert(token, made);
        }
        Ok(objects)
    }

    /// The token of the pod's service account that a volume wants.
    pub fn token(&self, source: &ServiceAccountTokenProjection) -> Result<&str, Unready> {
        let found = self.tokens.get(&Token::of(source)).map(String::as_str);
        found.ok_or_else(|| Unready::Refused(format!("there is no token for {}", source.path)))
    }

    /// Everything in the ConfigMap by key; `None` if it isn't there and needn't be.
    pub fn config_map(&self, name: &str, optional: bool) -> Result<Option<Entries>, Unready> {
        let Some(found) = self.config_maps.get(name) else {
            return missing(Kind::ConfigMap, name, optional, format!("configmap {name:?} not found"));
        };
        let mut values = BTreeMap::new();
        for (key, text) in found.data.iter().flatten() {
            values.insert(key.clone(), text.clone().into_bytes());
        }
        for (key, bytes) in found.binary_data.iter().flatten() {
            values.insert(key.clone(), bytes.0.clone());
        }
        Ok(Some(Entries {
            kind: Kind::ConfigMap,
            title: title(found, "ConfigMap"),
            name: name.to_owned(),
            version: found.resource_version(),
            values,
        }))
    }

    /// Everything in the Secret by key; `None` if it isn't there and needn't be.
    pub fn secret(&self, name: &str, optional: bool) -> Result<Option<Entries>, Unready> {
        let Some(found) = self.secrets.get(name) else {
            return missing(Kind::Secret, name, optional, format!("secret {name:?} not found"));
        };
        let mut values = BTreeMap::new();
        for (key, bytes) in found.data.iter().flatten() {
            values.insert(key.clone(), bytes.0.clone());
        }
        for (key, text) in found.string_data.iter().flatten() {
            values.insert(key.clone(), text.clone().into_bytes());
        }
        Ok(Some(Entries {
            kind: Kind::Secret,
            title: title(found, "Secret"),
            name: name.to_owned(),
            version: found.resource_version(),
            values,
        }))
    }

    /// The UID of the claim, which names its folder.
    pub fn claim(&self, name: &str) -> Result<String, Unready> {
        match self.claims.get(name).and_then(ResourceExt::uid) {
            Some(uid) => Ok(uid),
            None => Err(Unready::Waiting {
                reference: Reference { kind: Kind::Claim, name: name.to_owned() },
                seen: None,
                message: format!("persistentvolumeclaim {name:?} not found"),
            }),
        }
    }
}

/// The keys and values of a ConfigMap or Secret.
pub struct Entries {
    kind: Kind,
    title: String,
    name: String,
    version: Option<String>,
    /// By key.
    pub values: BTreeMap<String, Vec<u8>>,
}

impl Entries {
    /// One value; `None` if it isn't there and needn't be.
    pub fn value(&self, key: &str, optional: bool) -> Result<Option<&[u8]>, Unready> {
        match self.values.get(key) {
            Some(value) => Ok(Some(value)),
            None if optional => Ok(None),
            None => Err(Unready::Waiting {
                reference: Reference { kind: self.kind, name: self.name.clone() },
                seen: self.version.clone(),
                message: format!("couldn't find key {key} in {}", self.title),
            }),
        }
    }
}

fn title(found: &impl ResourceExt, kind: &str) -> String {
    format!("{kind} {}/{}", found.namespace().unwrap_or_default(), found.name_any())
}

fn missing<T>(kind: Kind, name: &str, optional: bool, message: String) -> Result<Option<T>, Unready> {
    if optional {
        return Ok(None);
    }
    Err(Unready::Waiting { reference: Reference { kind, name: name.to_owned() }, seen: None, message })
}

/// Waits until the object is there in another version than the one seen.
pub async fn changed(client: &Client, namespace: &str, reference: &Reference, seen: Option<&str>) {
    let name = &reference.name;
    match reference.kind {
        Kind::ConfigMap => other_version(Api::<ConfigMap>::namespaced(client.clone(), namespace), name, seen).await,
        Kind::Secret => other_version(Api::<Secret>::namespaced(client.clone(), namespace), name, seen).await,
        Kind::Claim => {
            other_version(Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace), name, seen).await;
        }
    }
}

async fn other_version<K>(api: Api<K>, name: &str, seen: Option<&str>)
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let mut versions = std::pin::pin!(watch_object(api, name).default_backoff());
    while let Some(version) = versions.next().await {
        match version {
            Ok(Some(object)) if object.meta().resource_version.as_deref() != seen => return,
            Ok(_) => {}
            Err(error) => tracing::debug!(name, "can't watch an object that a pod needs: {error}"),
        }
    }
}

/// All objects that the pod names, each once.
fn references(pod: &Pod) -> BTreeSet<Reference> {
    let mut found = BTreeSet::new();
    let Some(spec) = &pod.spec else { return found };
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        in_environment(container, &mut found);
    }
    in_volumes(spec, &mut found);
    found
}

/// All tokens that the pod wants, each once.
fn tokens(pod: &Pod) -> BTreeSet<Token> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let sources = volumes.filter_map(|volume| volume.projected.as_ref()?.sources.as_ref()).flatten();
    sources.filter_map(|source| source.service_account_token.as_ref()).map(Token::of).collect()
}

fn in_environment(container: &Container, found: &mut BTreeSet<Reference>) {
    let mut add = |kind, name: &str| {
        found.insert(Reference { kind, name: name.to_owned() });
    };
    for source in container.env_from.iter().flatten() {
        if let Some(it) = &source.config_map_ref {
            add(Kind::ConfigMap, &it.name);
        }
        if let Some(it) = &source.secret_ref {
            add(Kind::Secret, &it.name);
        }
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        if let Some(it) = &source.config_map_key_ref {
            add(Kind::ConfigMap, &it.name);
        }
        if let Some(it) = &source.secret_key_ref {
            add(Kind::Secret, &it.name);
        }
    }
}

fn in_volumes(spec: &PodSpec, found: &mut BTreeSet<Reference>) {
    let mut add = |kind, name: &str| {
        found.insert(Reference { kind, name: name.to_owned() });
    };
    for volume in spec.volumes.iter().flatten() {
        if let Some(it) = &volume.config_map {
            add(Kind::ConfigMap, &it.name);
        }
        if let Some(name) = volume.secret.as_ref().and_then(|it| it.secret_name.as_ref()) {
            add(Kind::Secret, name);
        }
        if let Some(it) = &volume.persistent_volume_claim {
            add(Kind::Claim, &it.claim_name);
        }
        for source in volume.projected.iter().flat_map(|it| it.sources.iter().flatten()) {
            if let Some(it) = &source.config_map {
                add(Kind::ConfigMap, &it.name);
            }
            if let Some(it) = &source.secret {
                add(Kind::Secret, &it.name);
            }
        }
    }
}
