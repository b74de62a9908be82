//! Two clusters in this process, a controller at home, and a gate before each through which the controller speaks to it:
//! what a network does to it, the gate does. The clusters, the policy and the controller are the real ones.

use std::{collections::BTreeMap, fmt::Debug, net::SocketAddr, time::Duration};

use axum::body::Body as Reply;
use futures::{StreamExt, TryStreamExt};
use http::{Method, Request, Response};
use http_body_util::{BodyStream, StreamBody};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    client::Body,
};
use landfall::{
    api::{ids::ClusterName, workflow::Workflow},
    clusters::{Clusters, health::State, rest_config::Allowed},
    controller,
    local::{
        apiserver::{self, ApiServer},
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
};
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service};

/// Longer than anything here takes on a loaded machine. It only ends tests that would hang.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the gate before a cluster does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gate {
    /// Let everything through.
    Open,
    /// Let nothing through.
    Closed,
    /// Let creates of pods get lost on their way, without an answer.
    LosePods,
    /// Refuse all that concerns Secrets, as where the right to it is missing.
    RefuseSecrets,
    /// Refuse to watch pods, but not to list them.
    RefuseWatches,
    /// Refuse what is applied, as where the right to patch is missing.
    RefuseApplies,
    /// Refuse to show a single pod.
    RefusePods,
    /// Answer writes of the workflow `contested` as if another had been quicker, though nobody was.
    Contest,
    /// Change the workflow just before the controller's next write of it reaches the server.
    Meddle,
    /// Keep writes of workflows waiting.
    HoldWorkflows,
}

/// One cluster.
pub struct Side {
    pub server: ApiServer,
    pub gate: watch::Sender<Gate>,
    /// How many creates of pods got lost, requests were refused, or writes are kept waiting.
    pub lost: watch::Sender<u32>,
    runtime: Option<Runtime>,
}

/// Everything.
pub struct World {
    pub home: Side,
    pub other: Side,
    pub policies: Policies,
    /// Those of the controller that was started last.
    pub clusters: Option<Clusters>,
    /// Where the controller that was started last tells how it is.
    pub address: Option<SocketAddr>,
    running: Option<(CancellationToken, JoinHandle<anyhow::Result<()>>)>,
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
        let options = policy::Options { config: settings.policy, ..policy::Options::default() };
        let policies = Policies::start(options).unwrap();
        World { home, other, policies, clusters: None, address: None, running: None }
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
        let clusters = Clusters::new(ClusterName::home(), self.home.gated_client(), Allowed::default(), Timestamp::now);
        clusters.insert_client("other".parse().unwrap(), self.other.gated_client());
        self.clusters = Some(clusters.clone());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        self.address = Some(listener.local_addr().unwrap());
        let options = controller::Options {
            clusters,
            policies: self.policies.clone(),
            namespace: "argo".parse().unwrap(),
            managed: None,
            instance_id: None,
            listener: Some(TcpListener::from_std(listener).unwrap()),
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
        let server = ApiServer::new(apiserver::Options { name: name.to_owned(), logs: Logs::default(), namespaces });
        server.ensure_service_account("argo", "workflow");
        Side { server, gate: watch::Sender::new(Gate::Open), lost: watch::Sender::new(0), runtime: None }
    }

    fn run_pods(&mut self) {
        let options = runtime::Options::new(env!("CARGO_BIN_EXE_landfall").into());
        self.runtime = Some(Runtime::start(self.client(), Logs::default(), options).unwrap());
    }

    /// The cluster as tests see it, whatever the gate does.
    pub fn client(&self) -> Client {
        self.server.client()
    }

    /// The cluster as the controller sees it.
    fn gated_client(&self) -> Client {
        let (server, gate, lost) = (self.server.clone(), self.gate.clone(), self.lost.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (mut server, gate, lost) = (server.clone(), gate.clone(), lost.clone());
            async move {
                let now = *gate.borrow();
                match now {
                    Gate::Open => {}
                    Gate::Closed => return Err(BoxError::from("connection refused by the gate")),
                    Gate::LosePods if is(&request, Method::POST, "/pods") => {
                        lost.send_modify(|lost| *lost += 1);
                        return std::future::pending().await;
                    }
                    Gate::Meddle if is(&request, Method::PUT, "/workflows/") => {
                        gate.send_replace(Gate::Open);
                        meddle(&server.client(), request.uri().path()).await;
                    }
                    Gate::HoldWorkflows if is(&request, Method::PUT, "/workflows/") => {
                        lost.send_modify(|lost| *lost += 1);
                        drop(gate.subscribe().wait_for(|gate| *gate == Gate::Open).await);
                    }
                    Gate::Contest if is(&request, Method::PUT, "/workflows/contested") => {
                        return Ok(refusal(409, "Conflict", &lost));
                    }
                    now if is_refused(now, &request) => return Ok(refusal(403, "Forbidden", &lost)),
                    Gate::LosePods
                    | Gate::Meddle
                    | Gate::Contest
                    | Gate::RefusePods
                    | Gate::HoldWorkflows
                    | Gate::RefuseApplies
                    | Gate::RefuseSecrets
                    | Gate::RefuseWatches => {}
                }
                let (parts, body) = server.call(request).await.map_err(BoxError::from)?.into_parts();
                // An outage also breaks what is under way.
                let mut gate = gate.subscribe();
                let closed = async move { drop(gate.wait_for(|gate| *gate == Gate::Closed).await) };
                let frames = BodyStream::new(body).take_until(Box::pin(closed));
                Ok(Response::from_parts(parts, Reply::new(StreamBody::new(frames))))
            }
        });
        Client::new(service, "default")
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

fn is(request: &Request<Body>, method: Method, path: &str) -> bool {
    request.method() == method && request.uri().path().contains(path)
}

fn is_watch(request: &Request<Body>, path: &str) -> bool {
    is(request, Method::GET, path) && request.uri().query().is_some_and(|query| query.contains("watch=true"))
}

fn is_refused(gate: Gate, request: &Request<Body>) -> bool {
    match gate {
        Gate::RefuseSecrets => is(request, Method::GET, "/secrets"),
        Gate::RefuseApplies => request.method() == Method::PATCH,
        Gate::RefuseWatches => is_watch(request, "/pods"),
        Gate::RefusePods => is(request, Method::GET, "/pods/"),
        Gate::Open | Gate::Closed | Gate::LosePods | Gate::Meddle | Gate::HoldWorkflows | Gate::Contest => false,
    }
}

fn refusal(code: u16, reason: &str, refused: &watch::Sender<u32>) -> Response<Reply> {
    refused.send_modify(|refused| *refused += 1);
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason,
        "message": "forbidden by the gate", "code": code});
    Response::builder().status(code).body(Reply::from(status.to_string())).unwrap()
}

async fn meddle(client: &Client, path: &str) {
    let mut parts = path.rsplit('/');
    let (name, _, namespace) = (parts.next().unwrap(), parts.next(), parts.next().unwrap());
    let api: Api<Workflow> = Api::namespaced(client.clone(), namespace);
    let patch = json!({"metadata": {"labels": {"meddled": "yes"}}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
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
