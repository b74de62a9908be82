//! A cluster's whole life: added, used by a controller under just the rights that were made for it, its token revoked, and
//! forgotten. Once in this process, and once on real API servers.

use std::{fs, path::Path, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};
use landfall::api::workflow::Workflow;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cli::{
        binary::{Ended, landfall},
        cluster::Side,
    },
    real,
    support::controller::Running,
};

/// Longer than anything here takes on a loaded machine. It only ends tests that would hang.
const PATIENCE: Duration = Duration::from_secs(180);

/// Two clusters, and one namespace of a name in both that is this test's alone. Home is called like it.
struct Place {
    home: Client,
    away: Client,
    namespace: String,
    folder: TempDir,
}

impl Place {
    /// With the kubeconfigs of both clusters, whose contexts are `home` and `away`.
    async fn new(home: (Client, String), away: (Client, String), namespace: String) -> Place {
        let folder = TempDir::new().unwrap();
        let (home, away) =
            ((home.0, write(folder.path(), "home", &home.1)), (away.0, write(folder.path(), "away", &away.1)));
        let roles =
            format!("[{{namespace: {namespace}, rules: [{{clusterNames: [other], namespaces: [{namespace}]}}]}}]");
        let data = json!({
            "metadata": {"name": "workflow-controller-configmap"},
            "data": {"cluster": namespace, "namespaceRoles": roles},
        });
        let api: Api<ConfigMap> = Api::namespaced(home.0.clone(), &namespace);
        api.create(&PostParams::default(), &serde_json::from_value(data).unwrap()).await.unwrap();
        Place { home: home.0, away: away.0, namespace, folder }
    }

    async fn cluster(&self, arguments: &[&str]) -> Ended {
        let files = [self.folder.path().join("home"), self.folder.path().join("away")];
        let mut command = landfall(&[&["cluster"], arguments, &["-n", &self.namespace]].concat());
        command.env("KUBECONFIG", std::env::join_paths(files).unwrap());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn done(&self, ended: Ended) -> Ended {
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        ended
    }

    /// The account of this home in the other cluster.
    fn account(&self) -> String {
        format!("landfall-{}", self.namespace)
    }

    /// Runs a workflow of one pod in the other cluster; a kubelet's part is played here.
    async fn run(&self, name: &str) {
        let workflows: Api<Workflow> = Api::namespaced(self.home.clone(), &self.namespace);
        let pods: Api<Pod> = Api::namespaced(self.away.clone(), &self.namespace);
        let template = json!({
            "name": "main", "clusterName": "other", "serviceAccount": "workflow",
            "container": {"image": "argoproj/argosay:v2"},
        });
        let workflow = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": name},
            "spec": {"entrypoint": "main", "templates": [template]},
        });
        workflows.create(&PostParams::default(), &serde_json::from_value(workflow).unwrap()).await.unwrap();
        let pod = until(&pods, |pod: &Pod| {
            pod.metadata.labels.as_ref().is_some_and(|labels| {
                labels.get("workflows.argoproj.io/workflow").is_some_and(|workflow| workflow == name)
            })
        })
        .await;
        let status = json!({"status": {"phase": "Succeeded", "containerStatuses": [{
            "name": "main", "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 0}},
        }]}});
        let pod_name = pod.metadata.name.unwrap();
        pods.patch_status(&pod_name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        let ended = until(&workflows, |workflow: &Workflow| {
            workflow.metadata.name.as_deref() == Some(name) && workflow.status.finished_at.is_some()
        })
        .await;
        assert_eq!(serde_json::to_value(ended.status.phase).unwrap(), json!("Succeeded"), "{:?}", ended.status);
        workflows.delete(name, &Default::default()).await.unwrap();
        gone(&workflows, name).await;
        assert!(pods.get_opt(&pod_name).await.unwrap().is_none(), "its pod elsewhere goes before it");
    }
}

fn write(folder: &Path, name: &str, kubeconfig: &str) -> String {
    fs::write(folder.join(name), kubeconfig).unwrap();
    name.to_owned()
}

/// Waits for an object that is so.
async fn until<K>(api: &Api<K>, is_so: impl Fn(&K) -> bool) -> K
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let wait = async {
        let listed = api.list(&ListParams::default()).await.unwrap();
        if let Some(found) = listed.items.into_iter().find(&is_so) {
            return found;
        }
        let version = listed.metadata.resource_version.unwrap();
        let mut events = api.watch(&WatchParams::default(), &version).await.unwrap().boxed();
        loop {
            match events.next().await.unwrap().unwrap() {
                WatchEvent::Added(found) | WatchEvent::Modified(found) if is_so(&found) => return found,
                WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
                WatchEvent::Error(status) => panic!("{status:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it comes within the patience")
}

async fn gone(api: &Api<Workflow>, name: &str) {
    let wait = async {
        let listed = api.list(&ListParams::default()).await.unwrap();
        if listed.items.iter().all(|workflow| workflow.metadata.name.as_deref() != Some(name)) {
            return;
        }
        let version = listed.metadata.resource_version.unwrap();
        let mut events = api.watch(&WatchParams::default(), &version).await.unwrap().boxed();
        while let Some(event) = events.next().await {
            match event.unwrap() {
                WatchEvent::Deleted(workflow) if workflow.metadata.name.as_deref() == Some(name) => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it goes within the patience");
}

async fn whole_life(place: &Place) {
    let name = &place.namespace;
    let added = place.done(place.cluster(&["add", "other", "away", "--yes", "-o", "json"]).await).json();
    let next = added["next"][0]["lines"][0].as_str().unwrap();
    let expected = format!("kubectl --context away annotate namespace {name} landfall.dev/accept-from={name}/{name}");
    assert_eq!(next, expected);
    let refused = place.cluster(&["check", "other"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stdout.contains("does not consent"), "{}", refused.stdout);
    let consent = json!({"metadata": {"annotations": {"landfall.dev/accept-from": format!("{name}/{name}")}}});
    let namespaces: Api<Namespace> = Api::all(place.away.clone());
    namespaces.patch(name, &PatchParams::default(), &Patch::Merge(consent)).await.unwrap();
    place.done(place.cluster(&["check", "other"]).await);

    let controller = Running::start(place.home.clone(), name).await;
    place.run("first").await;
    place.done(place.cluster(&["rotate", "other", "away", "--revoke", "--yes"]).await);
    place.run("second").await;
    place.done(place.cluster(&["check", "other"]).await);
    let listed = place.done(place.cluster(&["list", "-o", "json"]).await).json();
    let row = &listed["clusters"][0];
    assert_eq!((&row["state"], &row["pods"], &row["renewed"]), (&json!("ready"), &json!(0), &json!(true)), "{row}");
    controller.stop().await;

    place.done(place.cluster(&["remove", "other", "--purge", "away", "--yes"]).await);
    let accounts: Api<ServiceAccount> = Api::namespaced(place.away.clone(), "landfall");
    assert!(accounts.get_opt(&place.account()).await.unwrap().is_none());
    let again: Value =
        place.done(place.cluster(&["remove", "other", "--purge", "away", "--yes", "-o", "json"]).await).json();
    assert_eq!(again["objects"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_this_process() {
    let (home, away) = (Side::start("home").await, Side::start("away").await);
    let of = |side: &Side| (side.client(), side.server.kubeconfig(&side.listening.as_ref().unwrap().url()));
    let place = Place::new(of(&home), of(&away), "argo".to_owned()).await;
    whole_life(&place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_authority_is_found_out() {
    let Some([home, away]) = real::clusters().await else { return };
    let namespace = real::namespace("cluster", &[home, away]).await;
    let user = (away.admin(), away.kubeconfig("away", away.admin_token()));
    let place = Place::new((home.admin(), home.kubeconfig("home", home.admin_token())), user, namespace).await;
    // Each server trusts nobody but itself, so that the other's authority is a wrong one.
    let ca = place.folder.path().join("ca.pem");
    fs::write(&ca, home.ca_pem()).unwrap();
    let ended = place.cluster(&["add", "other", "away", "--as-is", "--ca", ca.to_str().unwrap(), "--yes"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("FAIL connection: "), "{}", ended.stdout);
    let ended = place.cluster(&["check", "other"]).await;
    assert_eq!(ended.code, Some(1));
    let fix = "fix: name the authority of the server's certificate with --ca: landfall cluster add other CONTEXT";
    assert!(ended.stdout.contains(fix), "{}", ended.stdout);
    place.done(place.cluster(&["add", "other", "away", "--as-is", "--yes"]).await);
    place.done(place.cluster(&["remove", "other", "--yes"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_real_api_servers() {
    let Some([home, away]) = real::clusters().await else { return };
    let namespace = real::namespace("cluster", &[home, away]).await;
    let of = |cluster: &real::cluster::RealCluster, name: &str| {
        (cluster.admin(), cluster.kubeconfig(name, cluster.admin_token()))
    };
    let place = Place::new(of(home, "home"), of(away, "away"), namespace).await;
    whole_life(&place).await;
    let asked = away.audit(&format!("system:serviceaccount:landfall:{}", place.account()));
    let refused: Vec<_> = asked.iter().filter(|entry| entry.code == 403).collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert!(asked.iter().any(|entry| entry.is_write() && entry.resource == "pods"), "the account made the pods");
}
