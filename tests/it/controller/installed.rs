//! The controller as `manifests/install` puts it into a real cluster: under the token of its service account and nothing
//! else, with another cluster as `landfall cluster add` makes it. It is refused nothing, and logs come by the API server's
//! proxy to who may read them.

use std::{fs, net::UdpSocket, path::Path, pin::pin, process::Output};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        core::v1::{ConfigMap, Endpoints, Event, Namespace, Pod},
        rbac::v1::{Role, RoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams},
    discovery::{Scope, pinned_kind},
    runtime::{
        WatchStreamExt as _,
        wait::{await_condition, conditions},
        watcher,
    },
};
use landfall::{
    api::workflow::Workflow,
    clusters::{Clusters, rest_config::Allowed},
    controller::{self, logs::tls::Identity},
    policy::{self, Policies},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, process::Command, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::binary::landfall,
    real::{self, audit::Entry, cluster::RealCluster, programs},
};

/// Where `manifests/install` puts the controller.
pub const NAMESPACE: &str = "landfall";
/// Its user at home, and in the other cluster.
const USERS: [&str; 2] = ["system:serviceaccount:landfall:landfall", "system:serviceaccount:landfall:landfall-default"];

/// Two clusters with a controller, and a folder with the kubeconfigs `home` and `away`.
pub struct Place {
    pub home: RealCluster,
    pub other: RealCluster,
    /// That of workflows.
    pub namespace: &'static str,
    pub folder: TempDir,
    running: Option<(CancellationToken, JoinHandle<anyhow::Result<()>>)>,
}

/// Objects as kustomize builds them.
fn built(folder: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/install").join(folder);
    let mut command = programs::kubectl().expect("where a control plane is, kubectl is or can be built").command();
    let output = command.arg("kustomize").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}

/// Applies an object as `kubectl apply --server-side` does.
async fn apply(client: &Client, object: &Value) {
    let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    let types = object.types.clone().unwrap();
    let kind = GroupVersionKind::try_from(&types).unwrap();
    let (resource, capabilities) = pinned_kind(client, &kind).await.unwrap();
    let api: Api<DynamicObject> = match (&capabilities.scope, &object.metadata.namespace) {
        (Scope::Namespaced, namespace) => {
            let namespace = namespace.as_deref().expect("all that has a namespace says which");
            Api::namespaced_with(client.clone(), namespace, &resource)
        }
        (Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
    };
    let parameters = PatchParams::apply("kubectl");
    let name = object.name_any();
    api.patch(&name, &parameters, &Patch::Apply(&object))
        .await
        .unwrap_or_else(|error| panic!("{types:?} {name}: {error}"));
}

/// Applies all of a folder, definitions first, and waits until they are served.
async fn install(client: &Client, folder: &str) {
    let (definitions, others): (Vec<_>, Vec<_>) =
        built(folder).into_iter().partition(|object| object["kind"] == "CustomResourceDefinition");
    let served: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in &definitions {
        apply(client, definition).await;
        let name = definition["metadata"]["name"].as_str().unwrap();
        await_condition(served.clone(), name, conditions::is_crd_established()).await.unwrap();
    }
    let (namespaces, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|object| object["kind"] == "Namespace");
    for object in namespaces.iter().chain(&others) {
        apply(client, object).await;
    }
}

async fn create<K>(client: &Client, namespace: &str, mut object: Value)
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    K: serde::Serialize + serde::de::DeserializeOwned + Clone + std::fmt::Debug,
{
    object["apiVersion"] = json!(K::api_version(&()));
    object["kind"] = json!(K::kind(&()));
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

async fn grant(client: &Client, namespace: &str, name: &str, user: &str, rules: Value) {
    let role_ref = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name});
    let binding =
        json!({"metadata": {"name": name}, "roleRef": role_ref, "subjects": [{"kind": "User", "name": user}]});
    create::<Role>(client, namespace, json!({"metadata": {"name": name}, "rules": rules})).await;
    create::<RoleBinding>(client, namespace, binding).await;
}

/// An address of this machine that a Service can have; a loopback is none.
fn address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: it only says by which address that would be.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string())
}

pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The name of the first pod that has these labels, once there is one.
async fn first(pods: &Api<Pod>, labels: &str) -> String {
    let config = watcher::Config::default().labels(labels);
    let mut seen = pin!(watcher(pods.clone(), config).default_backoff().applied_objects());
    seen.next().await.unwrap().unwrap().name_any()
}

/// Plays the kubelet for the only pod of a workflow in this cluster: it has run well. Its name.
async fn end(client: Client, namespace: &str, workflow: &str) -> String {
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    let pod = first(&pods, &format!("workflows.argoproj.io/workflow={workflow}")).await;
    let ended = json!({"name": "main", "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 0}}});
    let status = json!({"status": {"phase": "Succeeded", "containerStatuses": [ended]}});
    pods.patch_status(&pod, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    pod
}

impl Place {
    /// Installs that folder at home, and adds the other cluster to it.
    pub async fn new(folder: &str, namespace: &'static str) -> Option<Place> {
        let [home, other] = real::own_clusters(&[]).await?;
        for (cluster, name) in [(&home, namespace), (&other, namespace), (&home, NAMESPACE)] {
            let namespaces: Api<Namespace> = Api::all(cluster.admin());
            if namespaces.get_opt(name).await.unwrap().is_none() {
                cluster.make_namespace(name).await;
            }
        }
        install(&home.admin(), folder).await;
        let files = TempDir::new().unwrap();
        for (cluster, name) in [(&home, "home"), (&other, "away")] {
            fs::write(files.path().join(name), cluster.kubeconfig(name, cluster.admin_token())).unwrap();
        }
        let place = Place { home, other, namespace, folder: files, running: None };
        let target = ["--target-namespace", namespace, "--yes"];
        place.done(&[&["cluster", "add", "other", "away", "-n", NAMESPACE], &target[..]].concat()).await;
        let consent = json!({"metadata": {"annotations": {"landfall.dev/accept-from": "default"}}});
        let namespaces: Api<Namespace> = Api::all(place.other.admin());
        namespaces.patch(namespace, &PatchParams::default(), &Patch::Merge(consent)).await.unwrap();
        let roles = json!([{"namespace": namespace, "rules": [{"clusterNames": [""], "namespaces": [namespace]}]}]);
        place.configure("namespaceRoles", &roles.to_string()).await;
        Some(place)
    }

    /// Sets one key of the controller's configuration.
    pub async fn configure(&self, key: &str, text: &str) {
        let maps: Api<ConfigMap> = Api::namespaced(self.home.admin(), NAMESPACE);
        let data = Patch::Merge(json!({"data": {key: text}}));
        maps.patch("workflow-controller-configmap", &PatchParams::default(), &data).await.unwrap();
    }

    async fn command(&self, arguments: &[&str]) -> Output {
        let files = ["home", "away"].map(|name| self.folder.path().join(name));
        let mut command = Command::from(landfall(arguments));
        command.env("KUBECONFIG", std::env::join_paths(files).unwrap()).output().await.unwrap()
    }

    async fn done(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).await;
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    }

    /// Starts the controller as the Deployment does: as this service account.
    pub async fn start(&mut self, is_namespaced: bool, logs: TcpListener) {
        let client = self.home.client_for_token(&self.home.account_token(NAMESPACE, "landfall").await);
        let namespace: landfall::api::ids::Namespace = NAMESPACE.parse().unwrap();
        let settings = controller::config::load(client.clone(), &namespace).await.unwrap();
        let managed = is_namespaced.then(|| namespace.clone());
        let options =
            policy::Options { config: settings.policy.clone(), managed: managed.clone(), ..policy::Options::default() };
        let identity = Identity::self_signed(vec!["landfall-logs".to_owned()]).unwrap();
        let options = controller::Options {
            clusters: Clusters::new(settings.home.clone(), client, Allowed::default(), Timestamp::now),
            policies: Policies::start(options).unwrap(),
            namespace,
            managed,
            settings,
            listener: None,
            logs: Some(controller::logs::Listener { listener: logs, identity }),
        };
        let cancelled = CancellationToken::new();
        let task = tokio::spawn(controller::run(options, cancelled.clone()));
        self.running = Some((cancelled, task));
    }

    /// Makes a workflow of one pod at home and one in the other cluster.
    async fn submit(&self, name: &str) {
        let container = json!({"image": "argoproj/argosay:v2"});
        let tasks = json!([{"name": "this", "template": "this"}, {"name": "other", "template": "other"}]);
        let workflow = json!({"metadata": {"name": name}, "spec": {"entrypoint": "main", "templates": [
            {"name": "main", "dag": {"tasks": tasks}},
            {"name": "this", "container": container},
            {"name": "other", "clusterName": "other", "serviceAccount": "workflow", "container": container},
        ]}});
        create::<Workflow>(&self.home.admin(), self.namespace, workflow).await;
    }

    /// The workflow runs to its end, and is deleted with its pod elsewhere.
    async fn run(&self, name: &str) {
        self.submit(name).await;
        let (_, there) =
            tokio::join!(end(self.home.admin(), self.namespace, name), end(self.other.admin(), self.namespace, name));
        let workflows: Api<Workflow> = Api::namespaced(self.home.admin(), self.namespace);
        let has_ended =
            |workflow: Option<&Workflow>| workflow.is_some_and(|workflow| workflow.status.phase.is_completed());
        let ended = await_condition(workflows.clone(), name, has_ended).await.unwrap().unwrap();
        assert_eq!(ended.status.phase.as_str(), "Succeeded", "{:?}", ended.status);
        let uid = ended.uid().unwrap();
        workflows.delete(name, &DeleteParams::default()).await.unwrap();
        await_condition(workflows, name, conditions::is_deleted(&uid)).await.unwrap();
        let pods: Api<Pod> = Api::namespaced(self.other.admin(), self.namespace);
        assert!(pods.get_opt(&there).await.unwrap().is_none(), "its pod elsewhere goes before it");
        let about = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
        let events: Api<Event> = Api::namespaced(self.home.admin(), self.namespace);
        let mut said = Vec::new();
        // They are posted when there is time.
        while !said.contains(&"WorkflowSucceeded".to_owned()) {
            let listed = events.list(&about).await.unwrap();
            said = listed.items.into_iter().filter_map(|event| event.reason).collect();
        }
    }

    /// Makes the Service for logs lead to this port, by way of the pod that the Deployment has, as nothing here runs pods or
    /// looks after endpoints.
    async fn lead(&self, address: &str, port: u16) {
        let pods: Api<Pod> = Api::namespaced(self.home.admin(), NAMESPACE);
        let pod = first(&pods, "app.kubernetes.io/name=landfall").await;
        let status = json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}});
        pods.patch_status(&pod, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        let reference = json!({"kind": "Pod", "name": pod, "namespace": NAMESPACE});
        let addresses = json!([{"ip": address, "targetRef": reference}]);
        let subsets = json!([{"addresses": addresses, "ports": [{"name": "logs", "port": port}]}]);
        let endpoints = json!({"metadata": {"name": "landfall-logs"}, "subsets": subsets});
        create::<Endpoints>(&self.home.admin(), NAMESPACE, endpoints).await;
    }

    /// Who may read logs is shown them by the proxy, and nobody else.
    async fn read_logs(&self) {
        let user = self.home.new_user();
        fs::write(self.folder.path().join("user"), self.home.kubeconfig("user", &user.token)).unwrap();
        let command = |arguments: &[&str]| {
            let mut command = landfall(&["logs", "logged", "-n", self.namespace]);
            command.arg("--kubeconfig").arg(self.folder.path().join("user")).args(arguments);
            Command::from(command)
        };
        let refused = said(&command(&[]).output().await.unwrap());
        assert!(refused.contains("services \"https:landfall-logs:logs\" is forbidden"), "{refused}");
        let hint = "hint: let this user get services/proxy of the name https:landfall-logs:logs";
        assert!(refused.contains(hint), "{refused}");

        let admin = self.home.admin();
        let proxy = json!({"apiGroups": [""], "resources": ["services/proxy"],
            "resourceNames": ["https:landfall-logs:logs"], "verbs": ["get"]});
        grant(&admin, NAMESPACE, "proxy", &user.name, json!([proxy])).await;
        // Rights and endpoints take a moment until an API server knows them.
        let not_yet = ["services \"https", "no endpoints available"];
        let refused = loop {
            let refused = said(&command(&[]).output().await.unwrap());
            if !not_yet.iter().any(|part| refused.contains(part)) {
                break refused;
            }
        };
        let expected = format!("error: \"{}\" may not get pods/log in namespace \"{}\"", user.name, self.namespace);
        assert!(refused.starts_with(&expected), "{refused}");
        let rules = json!([
            {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
            {"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["get"]},
        ]);
        grant(&admin, self.namespace, "reads", &user.name, rules).await;
        self.submit("logged").await;
        let mut shown = command(&[]).output().await.unwrap();
        while !shown.status.success() {
            assert!(said(&shown).contains("may not get"), "{}", said(&shown));
            shown = command(&[]).output().await.unwrap();
        }
        let following = command(&["-f"]).kill_on_drop(true).output();
        let (following, ..) = tokio::join!(
            following,
            end(self.home.admin(), self.namespace, "logged"),
            end(self.other.admin(), self.namespace, "logged")
        );
        let following = following.unwrap();
        assert!(following.status.success(), "{}", said(&following));
    }

    /// Stops the controller.
    pub async fn stop(&mut self) {
        let (cancelled, running) = self.running.take().unwrap();
        cancelled.cancel();
        running.await.unwrap().unwrap();
    }

    /// Stops the controller; whatever it asked for, nothing was refused.
    pub async fn end(&mut self) {
        self.stop().await;
        for (cluster, user) in [(&self.home, USERS[0]), (&self.other, USERS[1])] {
            let asked = cluster.audit(user);
            let refused: Vec<&Entry> = asked.iter().filter(|entry| matches!(entry.code, 401 | 403)).collect();
            assert!(refused.is_empty(), "{refused:#?}");
            let wrote = asked.iter().any(|entry| entry.is_write() && entry.resource == "pods");
            assert!(wrote && asked.iter().any(|entry| entry.resource == "pods/log"), "{asked:#?}");
        }
    }
}

async fn whole_life(folder: &str, namespace: &'static str) {
    let Some(mut place) = Place::new(folder, namespace).await else { return };
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = address().expect("a machine has an address beside its own");
    place.lead(&address, port).await;
    place.start(folder == "namespace", listener).await;
    place.run("first").await;
    place.read_logs().await;
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn for_all_namespaces() {
    whole_life("cluster", "argo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn for_its_own_namespace() {
    whole_life("namespace", NAMESPACE).await;
}
