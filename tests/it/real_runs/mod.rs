//! Whole workflows on real API servers, and what happens to those servers, to the objects on them and around them.

mod servers;
mod targets;

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
    runtime::{
        WatchStreamExt as _,
        wait::{await_condition, conditions},
        watcher,
        watcher::Event,
    },
};
use landfall::api::workflow::Workflow;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    real::{
        cluster::RealCluster,
        kubelet::{self, HOLDS, Kubelet},
    },
    support::controller::Running,
};

/// Longer than anything here takes on a loaded machine. It only ends tests that would hang.
const PATIENCE: Duration = Duration::from_secs(240);

/// A home with a controller, and a target that it calls `other`. Everything is in one namespace, which both have.
struct World<'a> {
    home: &'a RealCluster,
    other: &'a RealCluster,
    namespace: String,
    /// Whoever is told another name has another controller, of another home.
    name: &'a str,
    _kubelets: [Kubelet; 2],
    controller: Option<Running>,
}

impl<'a> World<'a> {
    /// Starts the controller and the kubelets. `name` is that of the home cluster in pods.
    async fn start(home: &'a RealCluster, other: &'a RealCluster, namespace: String, name: &'a str) -> World<'a> {
        let roles = format!(
            "[{{namespace: {namespace}, rules: [{{clusterNames: [{name}, other], namespaces: [{namespace}]}}]}}]"
        );
        let map = json!({
            "metadata": {"name": "workflow-controller-configmap"}, "data": {"cluster": name, "namespaceRoles": roles},
        });
        let maps: Api<ConfigMap> = Api::namespaced(home.admin(), &namespace);
        maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
        let kubelets = [home, other].map(|cluster| Kubelet::start(cluster.admin(), &namespace));
        let mut world = World { home, other, namespace, name, _kubelets: kubelets, controller: None };
        world.know(true).await;
        world.start_controller().await;
        world
    }

    /// Puts the other cluster into the Secret, or takes it away.
    async fn know(&self, is_known: bool) {
        let config = self.other.rest_config(self.other.admin_token()).to_string();
        let data = BTreeMap::from_iter(is_known.then(|| ("other", STANDARD.encode(config))));
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "clusters"}, "data": data});
        let secrets: Api<Secret> = Api::namespaced(self.home.admin(), &self.namespace);
        secrets.patch("clusters", &PatchParams::apply("tests").force(), &Patch::Apply(secret)).await.unwrap();
    }

    async fn start_controller(&mut self) {
        self.controller = Some(Running::start(self.home.admin(), &self.namespace).await);
    }

    async fn stop_controller(&mut self) {
        self.controller.take().expect("it runs").stop().await;
    }

    fn workflows(&self) -> Api<Workflow> {
        Api::namespaced(self.home.admin(), &self.namespace)
    }

    fn pods(&self, cluster: &RealCluster) -> Api<Pod> {
        Api::namespaced(cluster.admin(), &self.namespace)
    }

    /// Creates a workflow of two steps in each cluster: the first of each runs until it is finished by hand.
    async fn create(&self, name: &str) {
        let template = |name: &str, cluster: &str, image: &str| json!({"name": name, "clusterName": cluster, "container": {"image": image, "command": ["main"]}});
        let task = |name: &str, depends: &str| json!({"name": name, "template": name, "depends": depends});
        let workflow = json!({
            "metadata": {"name": name},
            "spec": {"entrypoint": "main", "templates": [
                {"name": "main", "dag": {"tasks": [
                    task("here", ""), task("there", ""), task("then-here", "here"), task("then-there", "there"),
                ]}},
                template("here", self.name, HOLDS), template("there", "other", HOLDS),
                template("then-here", self.name, "test/ends"), template("then-there", "other", "test/ends"),
            ]},
        });
        self.workflows().create(&PostParams::default(), &serde_json::from_value(workflow).unwrap()).await.unwrap();
    }

    /// The pods of a workflow in a cluster.
    async fn pods_of(&self, cluster: &RealCluster, workflow: &str) -> Vec<Pod> {
        self.pods(cluster).list(&ListParams::default().labels(&label_of(workflow))).await.unwrap().items
    }

    /// Waits until the pod of a workflow in a cluster runs that is to be finished by hand, and returns it.
    async fn running(&self, cluster: &RealCluster, workflow: &str) -> Pod {
        until(self.pods(cluster), &label_of(workflow), |pod: &Pod| {
            phase(pod) == "Running"
                && pod.spec.as_ref().unwrap().containers.iter().any(|it| it.image.as_deref() == Some(HOLDS))
        })
        .await
    }

    /// Lets a workflow run until both of its first pods do.
    async fn run_halfway(&self, name: &str) -> [Pod; 2] {
        self.create(name).await;
        [self.running(self.home, name).await, self.running(self.other, name).await]
    }

    async fn finish(&self, [here, there]: &[Pod; 2]) {
        assert!(kubelet::finish(&self.home.admin(), here).await);
        assert!(kubelet::finish(&self.other.admin(), there).await);
    }

    /// Waits until a workflow has ended.
    async fn ended(&self, name: &str) -> Workflow {
        until(self.workflows(), "", |workflow: &Workflow| {
            workflow.name_any() == name && workflow.status.finished_at.is_some()
        })
        .await
    }

    /// Waits until a workflow has succeeded, with just two pods in each cluster.
    async fn succeeded(&self, name: &str) {
        let ended = self.ended(name).await;
        assert_eq!(ended.status.phase.as_str(), "Succeeded", "{:#?}", ended.status);
        for cluster in [self.home, self.other] {
            let pods = self.pods_of(cluster, name).await;
            assert_eq!(pods.len(), 2, "{:?}", pods.iter().map(kube::ResourceExt::name_any).collect::<Vec<_>>());
        }
    }
}

fn label_of(workflow: &str) -> String {
    format!("workflows.argoproj.io/workflow={workflow}")
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Waits for an object that is so, through outages of its server.
async fn until<K>(api: Api<K>, labels: &str, is_so: impl Fn(&K) -> bool) -> K
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Serialize + Send + 'static,
{
    let mut seen = None;
    let wait = async {
        let config = watcher::Config::default().labels(labels);
        let mut events = std::pin::pin!(watcher(api, config).default_backoff());
        loop {
            match events.try_next().await {
                Ok(Some(Event::Apply(found) | Event::InitApply(found))) if is_so(&found) => return found,
                Ok(Some(Event::Apply(found) | Event::InitApply(found))) => seen = Some(status_of(&found)),
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => unreachable!("a watcher goes on"),
            }
        }
    };
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(found) => found,
        Err(_) => panic!("it never came; last seen: {}", seen.as_deref().unwrap_or("nothing")),
    }
}

fn status_of(object: &impl Serialize) -> String {
    let object = serde_json::to_value(object).unwrap();
    format!("{} {:#}", object["metadata"]["name"], object["status"])
}

/// Waits until an object is gone.
async fn gone<K>(api: Api<K>, object: &K)
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let (name, uid) = (object.name_any(), object.uid().unwrap());
    let wait = await_condition(api, &name, conditions::is_deleted(&uid));
    tokio::time::timeout(PATIENCE, wait).await.expect("it goes within the patience").unwrap();
}

/// Patches an object as somebody who edits it by hand.
async fn edit(client: Client, namespace: &str, name: &str, patch: Value) {
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    pods.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}
