//! `landfall cluster` against two clusters in this process, reached over their ports with a kubeconfig as people have it.
//!
//! Every call is made with the whole log on, and nothing that it prints may hold a token.

use std::{fs, path::PathBuf, process::Command};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use landfall::local::apiserver::{ApiServer, Listening, Options};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::binary::{Ended, landfall};

mod abandon;
mod add;
mod afterwards;
mod whole;

/// The controller's namespace at home, and the one that pods may run in elsewhere.
const NAMESPACE: &str = "argo";

/// One cluster.
struct Side {
    server: ApiServer,
    listening: Option<Listening>,
}

/// Home, another cluster, and a kubeconfig with a context for each: `home`, which is the current one, and `away`.
struct World {
    home: Side,
    away: Side,
    folder: TempDir,
}

impl Side {
    async fn start(name: &str) -> Side {
        let options = Options { name: name.to_owned(), namespaces: vec![NAMESPACE.to_owned()], ..Options::default() };
        let server = ApiServer::new(options);
        let listening = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        Side { server, listening: Some(listening) }
    }

    fn client(&self) -> Client {
        self.server.client()
    }

    /// Any kind of object.
    fn api(&self, namespace: Option<&str>, api_version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client(), namespace, &resource),
            None => Api::all_with(self.client(), &resource),
        }
    }

    /// The UID that says which cluster it is.
    async fn uid(&self) -> String {
        Api::<Namespace>::all(self.client()).get("kube-system").await.unwrap().metadata.uid.unwrap()
    }

    /// Creates an object in [`NAMESPACE`].
    async fn create(&self, object: Value) {
        let text = |field: &str| object[field].as_str().unwrap().to_owned();
        let api = self.api(Some(NAMESPACE), &text("apiVersion"), &text("kind"));
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    }

    /// Names of all objects of a kind that `cluster add` makes, as `NAMESPACE/NAME`.
    async fn ours(&self, kind: &str) -> Vec<String> {
        let api_version = if kind == "ServiceAccount" { "v1" } else { "rbac.authorization.k8s.io/v1" };
        let all = self.api(None, api_version, kind).list(&Default::default()).await.unwrap().items;
        let all = all.into_iter().map(|object| object.metadata);
        let all = all.filter(|metadata| metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(MANAGED_BY)));
        let name = |namespace: Option<String>, name: Option<String>| {
            namespace.map_or_else(String::new, |namespace| namespace + "/") + &name.unwrap()
        };
        all.map(|metadata| name(metadata.namespace, metadata.name)).collect()
    }
}

/// The label of what `cluster add` makes.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Rules by which workflows beside the controller may use namespace `argo` of cluster `other`.
const ROLES: &str = "[{namespace: argo, rules: [{clusterNames: [default], namespaces: [argo]}, {clusterNames: [other], \
                     namespaces: [argo]}]}]";

impl World {
    async fn start() -> World {
        let world =
            World { home: Side::start("home").await, away: Side::start("away").await, folder: TempDir::new().unwrap() };
        let mut kubeconfig: Value = json!({"apiVersion": "v1", "kind": "Config", "current-context": "home"});
        for list in ["clusters", "contexts", "users"] {
            let mut all = Vec::new();
            for side in [&world.home, &world.away] {
                let url = side.listening.as_ref().unwrap().url();
                let one: Value = serde_json::from_str(&side.server.kubeconfig(&url)).unwrap();
                all.extend(one[list].as_array().unwrap().clone());
            }
            kubeconfig[list] = json!(all);
        }
        fs::write(world.kubeconfig(), kubeconfig.to_string()).unwrap();
        let config_map: ConfigMap = serde_json::from_value(json!({
            "metadata": {"name": "workflow-controller-configmap"}, "data": {"namespaceRoles": ROLES},
        }))
        .unwrap();
        Api::namespaced(world.home.client(), NAMESPACE).create(&PostParams::default(), &config_map).await.unwrap();
        world
    }

    /// With cluster `other` added.
    async fn with_other() -> World {
        let world = World::start().await;
        let ended = world.cluster(&["add", "other", "away", "--yes"]).await;
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        world
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Runs `landfall cluster` with these arguments.
    async fn cluster(&self, arguments: &[&str]) -> Ended {
        let ended = self.call(arguments).await;
        self.check_nothing_secret(&ended).await;
        ended
    }

    async fn call(&self, arguments: &[&str]) -> Ended {
        let mut quiet = self.command(arguments);
        let output = tokio::task::block_in_place(|| quiet.output().unwrap());
        let mut ended = Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        // Lines of the log begin with a time; they are looked at, and not part of what is shown.
        let is_log = |line: &&str| line.starts_with("20") && line.contains('Z');
        let log: Vec<&str> = ended.stderr.lines().filter(is_log).collect();
        self.check_text(&log.join("\n")).await;
        let shown: Vec<&str> = ended.stderr.lines().filter(|line| !is_log(line)).collect();
        ended.stderr = shown.iter().map(|line| format!("{line}\n")).collect();
        ended
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = landfall(&[&["cluster"], arguments].concat());
        command.args(["-n", NAMESPACE]).env("KUBECONFIG", self.kubeconfig()).env("LANDFALL_LOG", "trace");
        command
    }

    async fn check_nothing_secret(&self, ended: &Ended) {
        self.check_text(&ended.stdout).await;
        self.check_text(&ended.stderr).await;
    }

    /// No token of either server, and none that is stored, may stand in a text.
    async fn check_text(&self, text: &str) {
        let mut tokens = vec![self.home.server.token().to_owned(), self.away.server.token().to_owned()];
        if let Some(secret) = self.secret().await {
            for value in secret.data.unwrap_or_default().into_values() {
                let config: Value = serde_json::from_slice(&value.0).unwrap_or_default();
                tokens.extend(config["BearerToken"].as_str().map(str::to_owned));
            }
        }
        for token in tokens {
            assert!(!text.contains(&token), "a token is shown:\n{text}");
        }
    }

    async fn secret(&self) -> Option<Secret> {
        Api::<Secret>::namespaced(self.home.client(), NAMESPACE).get_opt("clusters").await.unwrap()
    }

    /// What is stored of a cluster: rest.Config JSON, and what is known beside it.
    async fn stored(&self, name: &str) -> (Value, Value) {
        let secret = self.secret().await.unwrap();
        let value = &secret.data.unwrap()[name].0;
        let annotation = &secret.metadata.annotations.unwrap()[&format!("clusters.landfall.dev/{name}")];
        (serde_json::from_slice(value).unwrap(), serde_json::from_str(annotation).unwrap())
    }

    /// Changes the Secret by a merge patch.
    async fn patch_secret(&self, patch: Value) {
        let api: Api<Secret> = Api::namespaced(self.home.client(), NAMESPACE);
        api.patch("clusters", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Annotates namespace `argo` of the other cluster with the consent of its owner.
    async fn consent(&self) {
        let patch = json!({"metadata": {"annotations": {"landfall.dev/accept-from": "default/argo"}}});
        let api: Api<Namespace> = Api::all(self.away.client());
        api.patch(NAMESPACE, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// A text without what differs from run to run.
    async fn settled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (uid, name) in [(self.home.uid().await, "UID-OF-HOME"), (self.away.uid().await, "UID-OF-AWAY")] {
            text = text.replace(&uid, name);
        }
        for (side, name) in [(&self.home, "HOME"), (&self.away, "AWAY")] {
            if let Some(listening) = &side.listening {
                text = text.replace(&listening.address().port().to_string(), &format!("PORT-OF-{name}"));
            }
        }
        let text: Vec<String> = text.split_inclusive([' ', '\n', '"']).map(without_time).collect();
        text.concat().replace(self.folder.path().to_str().unwrap(), "FOLDER")
    }
}

/// A word, with `TIME` in place of a time.
fn without_time(word: &str) -> String {
    let bare = word.trim_end_matches([' ', '\n', '"', ',', ';']);
    match bare.trim_end_matches('\\').parse::<jiff::Timestamp>() {
        Ok(_) => word.replace(bare, "TIME"),
        Err(_) => word.to_owned(),
    }
}
