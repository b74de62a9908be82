//! The Secret `clusters` at home: what stands in it, and changes of one cluster's key and annotation and of nothing else.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    api::{
        contract::{ANNOTATION_CLUSTER, CLUSTERS_SECRET},
        ids::ClusterName,
    },
    cli::{
        cluster::{home::Home, target},
        hint,
    },
    clusters::{
        call::{self, CallError},
        rest_config::Sensitive,
        settings::{self, Settings},
    },
};

/// How often a write is tried again when somebody else wrote the Secret meanwhile. The controller writes it seldom.
const TRIES_MAX: usize = 5;

/// The Secret as it was read. It has no `Debug`: its values are secret.
pub struct Clusters {
    data: BTreeMap<String, Vec<u8>>,
    annotations: BTreeMap<String, String>,
    /// `None`: there is no Secret yet.
    version: Option<String>,
}

/// One cluster's part of it.
#[derive(Clone, PartialEq)]
pub struct Entry {
    /// rest.Config JSON; `None`: there is only an annotation.
    pub value: Option<Vec<u8>>,
    /// What is known beside it, or why it can't be read.
    pub settings: Result<Settings, settings::Refusal>,
}

/// What is to become of one cluster's part.
pub enum Change<'a> {
    /// It is stored, with what is known beside it.
    Store(&'a Sensitive, &'a Settings),
    /// Only what is known beside it changes.
    Know(&'a Settings),
    /// It goes.
    Remove,
}

impl Clusters {
    /// Reads it; without a Secret there are no clusters.
    ///
    /// # Errors
    /// If home doesn't give it.
    pub async fn read(home: &Home) -> anyhow::Result<Clusters> {
        let found = call::bounded(target::CALL, api(home).get_opt(CLUSTERS_SECRET)).await;
        let secret = found.with_context(|| format!("reading secret {}/{CLUSTERS_SECRET}", home.namespace))?;
        let version = secret.as_ref().and_then(|secret| secret.metadata.resource_version.clone());
        let secret = secret.unwrap_or_default();
        let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
        Ok(Clusters { data, annotations: secret.metadata.annotations.unwrap_or_default(), version })
    }

    /// The names of all clusters in it.
    pub fn names(&self) -> Vec<&str> {
        self.data.keys().map(String::as_str).collect()
    }

    /// One cluster's part; `None` if there is nothing of it.
    pub fn entry(&self, name: &str) -> Option<Entry> {
        let value = self.data.get(name).cloned();
        let text = self.annotations.get(&annotation(name));
        if value.is_none() && text.is_none() {
            return None;
        }
        let settings = text.map_or_else(|| Ok(Settings::default()), |text| settings::parse(text));
        Some(Entry { value, settings })
    }

    /// One cluster's part, which must be there with a value.
    ///
    /// # Errors
    /// If there is none.
    pub fn known(&self, home: &Home, name: &ClusterName) -> anyhow::Result<Entry> {
        if let Some(entry) = self.entry(name.as_str()).filter(|entry| entry.value.is_some()) {
            return Ok(entry);
        }
        let known = match self.names().as_slice() {
            [] => "there is none yet; `landfall cluster add` adds one".to_owned(),
            names => format!("there are {}", names.join(", ")),
        };
        Err(hint::error(format!("secret {}/{CLUSTERS_SECRET} has no cluster {name}", home.namespace), known))
    }
}

impl Entry {
    /// What is known beside the connection.
    ///
    /// # Errors
    /// If it can't be read, with the annotation's name.
    pub fn settings(&self, name: &ClusterName) -> anyhow::Result<Settings> {
        self.settings
            .clone()
            .with_context(|| format!("annotation {} of secret {CLUSTERS_SECRET}", annotation(name.as_str())))
    }
}

/// The annotation that holds what is known of a cluster.
pub fn annotation(name: &str) -> String {
    format!("{ANNOTATION_CLUSTER}{name}")
}

/// Changes one cluster's part, if it still is as it was when it was read. What others change beside it stays.
///
/// # Errors
/// If it isn't, or home doesn't take the change.
pub async fn write(home: &Home, read: Clusters, name: &ClusterName, change: &Change<'_>) -> anyhow::Result<()> {
    let seen = read.entry(name.as_str());
    let mut now = read;
    for _ in 0..TRIES_MAX {
        match call::bounded(target::CALL, write_once(home, &now, name, change)).await {
            Ok(()) => return Ok(()),
            Err(CallError::Refused(status)) if status.code == 409 || status.code == 404 => {}
            Err(error) => {
                return Err(error).with_context(|| format!("writing secret {}/{CLUSTERS_SECRET}", home.namespace));
            }
        }
        now = Clusters::read(home).await?;
        if now.entry(name.as_str()) != seen {
            return Err(hint::error(
                format!("cluster {name} was changed in secret {}/{CLUSTERS_SECRET} meanwhile", home.namespace),
                "run the command again to see how it is now",
            ));
        }
    }
    bail!("secret {}/{CLUSTERS_SECRET} changes too often to be written", home.namespace)
}

async fn write_once(home: &Home, now: &Clusters, name: &ClusterName, change: &Change<'_>) -> kube::Result<()> {
    let key = name.as_str();
    let packed = |value: &Sensitive| json!(STANDARD.encode(value.reveal()));
    let (data, known) = match change {
        Change::Store(value, settings) => (json!({key: packed(value)}), json!(settings.to_json())),
        Change::Know(settings) => (json!({}), json!(settings.to_json())),
        Change::Remove => (json!({key: null}), Value::Null),
    };
    let mut patch = json!({"metadata": {"annotations": {annotation(key): known}}, "data": data});
    let Some(version) = &now.version else {
        if let Change::Remove = change {
            return Ok(());
        }
        patch["metadata"]["name"] = json!(CLUSTERS_SECRET);
        let secret: Secret = serde_json::from_value(patch).map_err(kube::Error::SerdeError)?;
        return api(home).create(&PostParams::default(), &secret).await.map(drop);
    };
    patch["metadata"]["resourceVersion"] = json!(version);
    api(home).patch(CLUSTERS_SECRET, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}

/// The Secret as it would be made for one cluster, with every secret value covered.
pub fn shown(home: &Home, name: &ClusterName, value: &Sensitive, settings: &Settings) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": CLUSTERS_SECRET, "namespace": home.namespace,
            "annotations": {annotation(name.as_str()): settings.to_json()},
        },
        "stringData": {name.as_str(): covered(value)},
    })
}

/// rest.Config JSON without its secrets.
fn covered(value: &Sensitive) -> String {
    const SECRETS: [&str; 3] = ["BearerToken", "Password", "KeyData"];
    const COVER: &str = "(redacted)";
    let mut config: Value = serde_json::from_str(value.reveal()).unwrap_or_default();
    for part in ["", "/TLSClientConfig"] {
        for (_, value) in config
            .pointer_mut(part)
            .and_then(Value::as_object_mut)
            .into_iter()
            .flatten()
            .filter(|(key, _)| SECRETS.contains(&key.as_str()))
        {
            *value = json!(COVER);
        }
    }
    config.to_string()
}

fn api(home: &Home) -> Api<Secret> {
    Api::namespaced(home.client.clone(), home.namespace.as_str())
}
