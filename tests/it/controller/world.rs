//! Two clusters in this process, a controller at home, and a gate (`gate.rs`) before each. The clusters, the policy and the
//! controller are the real ones.

use std::{collections::BTreeMap, fmt::Debug, net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::{StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Event, Namespace, Pod},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    runtime::wait,
};
use landfall::{
    api::{ids::ClusterName, workflow::Workflow},
    clusters::{Clusters, cluster::Cluster, health::State, rest_config::Allowed, settings, token},
    controller::{self, logs::tls::Identity},
    local::{
        apiserver::{self, ApiServer, Listening},
        logs::Logs,
        runtime::{self, Runtime},
    },
    policy::{self, Policies},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::controller::gate::{self, Gate};

/// Longer than anything here takes on a loaded machine. It only ends tests that would hang.
const PATIENCE: Duration = Duration::from_secs(120);

/// One cluster.
pub struct Side {
    pub server: ApiServer,
    /// What the controller reaches: `server`, unless another takes its place.
    pub behind: watch::Sender<ApiServer>,
    pub gate: watch::Sender<Gate>,
    /// How many creates of pods got lost, requests were refused, or writes are kept waiting.
    pub lost: watch::Sender<u32>,
    /// What its containers print.
    pub logs: Logs,
    runtime: Option<Runtime>,
}

/// Everything.
pub struct World {
    pub home: Side,
    pub other: Side,
    pub policies: Policies,
    settings: controller::config::Settings,
    /// Those of the controller that was started last.
    pub clusters: Option<Clusters>,
    /// Where the controller that was started last tells how it is.
    pub address: Option<SocketAddr>,
    /// Where it serves logs.
    pub logs: Option<SocketAddr>,
    running: Option<(CancellationToken, JoinHandle<anyhow::Result<()>>)>,
}

/// Settings of a cluster whose token is renewed by that account, and has to be renewed at once.
pub const ACCOUNT: &str =
    r#"{"account": {"namespace": "landfall", "name": "landfall-default"}, "tokenExpires": "2020-01-01T00:00:00Z"}"#;

/// What time it is; in a test whose time is paused, by that time.
pub fn clock() -> Timestamp {
    thread_local! {
        static BEGUN: (Instant, Timestamp) = (Instant::now(), Timestamp::now());
    }
    BEGUN.with(|(instant, time)| *time + SignedDuration::try_from(instant.elapsed()).unwrap())
}

/// Roles that allow all that these tests do.
pub const ROLES: &str = "
- namespace: ''
  rules:
    - clusterNames: ['']
      namespaces: ['']
";

impl World {
    /// With these roles, and without a controller yet.
    pub async fn new(roles: &str) -> World {
        let home = Side::new("default");
        let other = Side::new("other");
        let data = json!({"metadata": {"name": "workflow-controller-configmap"}, "data": {"namespaceRoles": roles}});
        home.create::<ConfigMap>("argo", data).await;
        let settings = controller::config::load(home.client(), &"argo".parse().unwrap()).await.unwrap();
        let options = policy::Options { config: settings.policy.clone(), ..policy::Options::default() };
        let policies = Policies::start(options).unwrap();
        World { home, other, policies, settings, clusters: None, address: None, logs: None, running: None }
    }

    /// With a controller, and with runtimes for the pods.
    pub async fn running(roles: &str) -> World {
        let mut world = World::new(roles).await;
        world.home.run_pods();
        world.other.run_pods();
        world.start();
        world
    }

    /// Starts the controller.
    pub fn start(&mut self) {
        let clusters = Clusters::new(ClusterName::home(), self.home.gated_client(), Allowed::default(), clock);
        clusters.insert_client("other".parse().unwrap(), self.other.gated_client());
        self.clusters = Some(clusters.clone());
        let (listener, logs) = (bind(), bind());
        self.address = Some(listener.local_addr().unwrap());
        self.logs = Some(logs.local_addr().unwrap());
        let identity = Identity::self_signed(vec!["localhost".to_owned()]).unwrap();
        let options = controller::Options {
            clusters,
            policies: self.policies.clone(),
            namespace: "argo".parse().unwrap(),
            managed: None,
            settings: self.settings.clone(),
            listener: Some(listener),
            logs: Some(controller::logs::Listener { listener: logs, identity }),
        };
        let cancelled = CancellationToken::new();
        let task = tokio::spawn(controller::run(options, cancelled.clone()));
        self.running = Some((cancelled, task));
    }

    /// What the controller answers over HTTP: the status and the body.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address.unwrap()).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Ends the controller in the midst of whatever it does.
    pub async fn kill(&mut self) {
        let (_, task) = self.running.take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    /// Ends everything in good order.
    pub async fn shutdown(mut self) {
        if let Some((cancelled, task)) = self.running.take() {
            cancelled.cancel();
            task.await.unwrap().unwrap();
        }
        for side in [&mut self.home, &mut self.other] {
            if let Some(runtime) = side.runtime.take() {
                runtime.shutdown().await;
            }
        }
    }

    /// Waits until the controller knows these clusters, and all of them answer.
    pub async fn clusters_ready(&self, names: &[&str]) {
        self.clusters_until(|states| {
            let known: Vec<&str> = states.keys().map(|name| name.as_str()).collect();
            known == names && states.values().all(|state| *state == State::Ready)
        })
        .await;
    }

    /// Waits until the controller has noticed that a cluster doesn't answer.
    pub async fn cluster_lost(&self, name: &str) {
        self.clusters_until(|states| states[&name.parse().unwrap()] != State::Ready).await;
    }

    /// Waits until a cluster can't be used for a reason that contains this, and gives the reason.
    pub async fn cluster_says(&self, name: &str, part: &str) -> String {
        let name = name.parse().unwrap();
        let reason = |states: &BTreeMap<ClusterName, State>| match states.get(&name) {
            Some(State::Unavailable { reason, .. }) => Some(reason.clone()),
            Some(State::Ready) | None => None,
        };
        self.clusters_until(|states| reason(states).is_some_and(|reason| reason.contains(part))).await;
        reason(&self.clusters.as_ref().unwrap().states()).unwrap_or_default()
    }

    /// The connection of the controller that was started last.
    pub fn cluster(&self, name: &str) -> Arc<Cluster> {
        self.clusters.as_ref().unwrap().get(&name.parse().unwrap()).unwrap()
    }

    /// What the controller ended with.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        let (_, task) = self.running.take().unwrap();
        task.await.unwrap()
    }

    async fn clusters_until(&self, holds: impl Fn(&BTreeMap<ClusterName, State>) -> bool) {
        let clusters = self.clusters.as_ref().unwrap();
        let mut versions = clusters.subscribe();
        let wait = async {
            while !holds(&clusters.states()) {
                versions.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{:?}", clusters.states()));
    }

    /// Creates a workflow whose one pod is to be in this cluster, and lets that pod run.
    pub async fn begun(&self, side: &Side, name: &str, cluster: &str) -> (Workflow, Pod) {
        let workflow: Workflow = self.home.create("argo", one_pod(name, json!({"clusterName": cluster}))).await;
        let pod = side.pod("argo", |_| true).await;
        side.begin_pod(&pod).await;
        self.home.until(&workflow, |workflow| node(workflow, name).starts_with("Running")).await;
        (workflow, pod)
    }

    /// Creates a workflow and waits for its end.
    pub async fn run_to_end(&self, namespace: &str, workflow: Value) -> Workflow {
        let workflow: Workflow = self.home.create(namespace, workflow).await;
        self.end_of(&workflow).await
    }

    /// Waits for the end of a workflow.
    pub async fn end_of(&self, workflow: &Workflow) -> Workflow {
        self.home.until(workflow, |workflow: &Workflow| workflow.status.finished_at.is_some()).await
    }
}

impl Side {
    /// An empty one with a few namespaces.
    pub fn new(name: &str) -> Side {
        let namespaces = ["argo", "elsewhere", "other-ns"].map(str::to_owned).to_vec();
        let logs = Logs::default();
        let server = ApiServer::new(apiserver::Options { name: name.to_owned(), logs: logs.clone(), namespaces });
        server.ensure_service_account("argo", "workflow");
        Side::of(server, logs)
    }

    fn of(server: ApiServer, logs: Logs) -> Side {
        Side {
            behind: watch::Sender::new(server.clone()),
            server,
            gate: watch::Sender::new(Gate::Open),
            lost: watch::Sender::new(0),
            logs,
            runtime: None,
        }
    }

    fn run_pods(&mut self) {
        let options = runtime::Options::new(env!("CARGO_BIN_EXE_landfall").into());
        self.runtime = Some(Runtime::start(self.client(), self.logs.clone(), options).unwrap());
    }

    /// The cluster as tests see it, whatever the gate does.
    pub fn client(&self) -> Client {
        self.server.client()
    }

    /// The cluster as the controller sees it.
    pub fn gated_client(&self) -> Client {
        gate::client(self.behind.clone(), self.gate.clone(), self.lost.clone())
    }

    /// The cluster on a port of its own, without the gate.
    pub async fn listen(&self) -> Listening {
        self.server.listen("127.0.0.1:0".parse().unwrap()).await.unwrap()
    }

    /// What the Secret says of it to reach it there, with some fields replaced.
    pub fn rest_config(&self, listening: &Listening, changes: Value) -> Value {
        let mut config = json!({"Host": format!("http://{}", listening.address()), "BearerToken": self.server.token()});
        json_patch::merge(&mut config, &changes);
        json!(STANDARD.encode(config.to_string()))
    }

    /// A token of service account `landfall/landfall-default`, which may do everything.
    pub async fn account_token(&self) -> String {
        self.server.ensure_service_account("landfall", "landfall-default");
        let group = "rbac.authorization.k8s.io";
        let rules = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
        let role: ClusterRole = serde_json::from_value(json!({"metadata": {"name": "all"}, "rules": rules})).unwrap();
        let binding: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": {"name": "all"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "all"},
            "subjects": [{"kind": "ServiceAccount", "name": "landfall-default", "namespace": "landfall"}],
        }))
        .unwrap();
        Api::all(self.client()).create(&PostParams::default(), &role).await.unwrap();
        Api::all(self.client()).create(&PostParams::default(), &binding).await.unwrap();
        let account = settings::parse(ACCOUNT).unwrap().account.unwrap();
        token::request(self.client(), &account, Duration::from_secs(3600)).await.unwrap().text.reveal().to_owned()
    }

    /// The UID by which the cluster is told from others.
    pub async fn uid(&self) -> String {
        let namespaces: Api<Namespace> = Api::all(self.client());
        namespaces.get("kube-system").await.unwrap().metadata.uid.unwrap()
    }

    /// Changes an object at once, whoever else does.
    pub async fn patch<K>(&self, namespace: &str, name: &str, patch: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned,
    {
        self.api::<K>(namespace).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap()
    }

    /// The same cluster behind a gate of its own, as another home sees it.
    pub fn shared(&self) -> Side {
        Side::of(self.server.clone(), self.logs.clone())
    }

    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client(), namespace)
    }

    pub async fn create<K>(&self, namespace: &str, object: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + serde::Serialize,
    {
        // As it is, with fields that the type doesn't know.
        let api: Api<kube::api::DynamicObject> =
            Api::namespaced_with(self.client(), namespace, &kube::api::ApiResource::erase::<K>(&()));
        let mut object = object;
        object["apiVersion"] = json!(K::api_version(&()));
        object["kind"] = json!(K::kind(&()));
        let object = serde_json::from_value(object).unwrap();
        let created = api.create(&PostParams::default(), &object).await.unwrap();
        serde_json::from_value(serde_json::to_value(created).unwrap()).unwrap_or_else(|_| panic!("unreadable"))
    }

    /// Waits until an object is so.
    pub async fn until<K>(&self, object: &K, holds: impl Fn(&K) -> bool) -> K
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let field = format!("metadata.name={}", object.name_any());
        let namespace = object.namespace().unwrap();
        let found = self.first(&namespace, ListParams::default().fields(&field), &holds).await;
        match found {
            Ok(found) => found,
            Err(last) => panic!("waited in vain, last seen: {last:#?}"),
        }
    }

    /// Waits until a workflow is no more.
    pub async fn until_gone(&self, workflow: &Workflow) {
        let api: Api<Workflow> = self.api(&workflow.namespace().unwrap());
        let (name, uid) = (workflow.name_any(), workflow.uid().unwrap());
        let gone = wait::await_condition(api, &name, wait::conditions::is_deleted(&uid));
        tokio::time::timeout(PATIENCE, gone).await.expect("waited in vain for an end").unwrap();
    }

    /// Waits for a pod that is so.
    pub async fn pod(&self, namespace: &str, holds: impl Fn(&Pod) -> bool) -> Pod {
        match self.first(namespace, ListParams::default(), &holds).await {
            Ok(found) => found,
            Err(last) => panic!("waited in vain for a pod, last seen: {last:#?}"),
        }
    }

    async fn first<K>(&self, namespace: &str, params: ListParams, holds: &impl Fn(&K) -> bool) -> Result<K, Option<K>>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let mut last = None;
        let search = async {
            let api: Api<K> = self.api(namespace);
            let list = api.list(&params).await.unwrap();
            let version = list.metadata.resource_version.clone().unwrap();
            if let Some(found) = list.items.into_iter().find(|object| holds(object)) {
                return found;
            }
            let watch = WatchParams { field_selector: params.field_selector.clone(), ..WatchParams::default() };
            let mut events = api.watch(&watch, &version).await.unwrap().boxed();
            loop {
                match events.try_next().await.unwrap().expect("the watch goes on") {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) if holds(&object) => return object,
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => last = Some(object),
                    WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
                    WatchEvent::Error(status) => panic!("{status:?}"),
                }
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(found) => Ok(found),
            Err(_) => Err(last),
        }
    }

    pub async fn pods(&self, namespace: &str) -> Vec<Pod> {
        self.api::<Pod>(namespace).list(&ListParams::default()).await.unwrap().items
    }

    /// Waits until exactly these objects are left in a namespace; the names in their order.
    pub async fn until_left<K>(&self, namespace: &str, names: &[&str])
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = self.api(namespace);
        let mut turn = tokio::time::interval(Duration::from_millis(20));
        let wait = async {
            loop {
                let left = api.list(&ListParams::default()).await.unwrap().items;
                let mut left: Vec<String> = left.iter().map(ResourceExt::name_any).collect();
                left.sort();
                if left == names {
                    return;
                }
                turn.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never only {names:?}"));
    }

    /// Waits for an Event in the namespace of the workflows.
    pub async fn first_event(&self, holds: impl Fn(&Event) -> bool) -> Event {
        match self.first("argo", ListParams::default(), &holds).await {
            Ok(found) => found,
            Err(last) => panic!("waited in vain for an event, last seen: {last:#?}"),
        }
    }

    /// All Events in the namespace of the workflows, as `Type Reason object: message`, in their order.
    pub async fn events(&self) -> Vec<String> {
        let mut events = self.api::<Event>("argo").list(&ListParams::default()).await.unwrap().items;
        let version = |event: &Event| event.metadata.resource_version.as_ref().unwrap().parse::<u64>().unwrap();
        events.sort_by_key(version);
        let text = |event: Event| {
            let [kind, reason, message] = [event.type_, event.reason, event.message].map(Option::unwrap);
            format!("{kind} {reason} {}: {message}", event.involved_object.name.unwrap())
        };
        events.into_iter().map(text).collect()
    }

    /// Plays the kubelet: the pod runs.
    pub async fn begin_pod(&self, pod: &Pod) {
        let patch = json!({"status": {"phase": "Running"}});
        let api: Api<Pod> = self.api(&pod.namespace().unwrap());
        api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Plays the kubelet: the pod's container ran and ended so.
    pub async fn end_pod(&self, pod: &Pod, exit_code: i32) {
        let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
        let reason = if exit_code == 0 { "Completed" } else { "Error" };
        let state =
            json!({"terminated": {"exitCode": exit_code, "reason": reason, "finishedAt": "2026-01-01T00:00:00Z"}});
        let container =
            json!({"name": "main", "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let patch = json!({"status": {"phase": phase, "containerStatuses": [container]}});
        let api: Api<Pod> = self.api(&pod.namespace().unwrap());
        api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
}

/// A port of this machine.
fn bind() -> TcpListener {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    TcpListener::from_std(listener).unwrap()
}

/// A workflow of one step that goes where the fields of the template say.
pub fn one_pod(name: &str, template: Value) -> Value {
    let mut main = json!({"name": "main", "container": {"image": "argoproj/argosay:v2"}});
    json_patch::merge(&mut main, &template);
    json!({"metadata": {"name": name}, "spec": {"entrypoint": "main", "templates": [main]}})
}

/// Phase and message, as one text.
pub fn outcome(workflow: &Workflow) -> String {
    let message = workflow.status.message.as_deref().unwrap_or_default();
    format!("{}: {message}", workflow.status.phase)
}

/// A node's phase and message, as one text.
pub fn node(workflow: &Workflow, name: &str) -> String {
    let node = workflow.status.nodes.values().find(|node| node.display_name == name);
    let node = node.unwrap_or_else(|| panic!("no node {name} in {workflow:#?}"));
    format!("{}: {}", node.phase, node.message.as_deref().unwrap_or_default())
}
