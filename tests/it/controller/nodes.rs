//! Whole workflows on real API servers: `landfall local node` runs their pods, and the controller has the rights of
//! `manifests/install` and of `landfall cluster add`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{Node as NodeObject, Pod},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams, Patch, PatchParams, PostParams},
    runtime::wait::await_condition,
};
use landfall::api::workflow::Workflow;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStderr, Command},
};

use crate::{
    cli::binary::landfall,
    controller::installed::{NAMESPACE, Place, said},
    real,
};

const NODE: &str = "landfall-local";

/// A `landfall local node` that runs.
struct Node {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Node {
    async fn start(kubeconfig: &Path, arguments: &[&str]) -> Node {
        let mut command = Command::from(landfall(&["local", "node", "--kubeconfig"]));
        command.arg(kubeconfig).args(arguments).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut node = Node { child, lines };
        node.says("node landfall-local runs pods").await;
        node
    }

    async fn says(&mut self, text: &str) {
        let mut others = Vec::new();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            if line.contains(text) {
                return;
            }
            others.push(line);
        }
        panic!("it does not say {text:?}, but {others:#?}");
    }

    /// Ends it as Ctrl-C does.
    async fn interrupt(mut self) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
        self.says("node landfall-local is gone").await;
        assert_eq!(self.child.wait().await.unwrap().code(), Some(130));
    }
}

/// The controller is run by the test, and its Deployment by nobody.
async fn scale_down(client: &Client) {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
    deployments.patch("landfall", &PatchParams::default(), &none).await.unwrap();
    let sets: Api<ReplicaSet> = Api::namespaced(client.clone(), NAMESPACE);
    let settled = |deployment: Option<&Deployment>| {
        let observed = deployment.and_then(|deployment| deployment.status.as_ref()?.observed_generation);
        observed.is_some() && observed == deployment.and_then(|deployment| deployment.metadata.generation)
    };
    await_condition(deployments, "landfall", settled).await.unwrap();
    let is_empty =
        |set: Option<&ReplicaSet>| set.and_then(|set| set.status.as_ref()).is_none_or(|status| status.replicas == 0);
    for set in sets.list(&ListParams::default()).await.unwrap() {
        await_condition(sets.clone(), &set.name_any(), is_empty).await.unwrap();
    }
}

/// Configures the controller as a file of `manifests/examples` says, starts it, and runs the file's workflow to its end.
async fn run(place: &mut Place, file: &str) -> (Workflow, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/examples").join(file);
    let documents: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(path).unwrap()).unwrap();
    let [map, workflow] = documents.as_slice() else { panic!("{file}: {documents:?}") };
    place.configure("namespaceRoles", map["data"]["namespaceRoles"].as_str().unwrap()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    place.start(false, listener).await;
    let workflows: Api<Workflow> = Api::namespaced(place.home.admin(), "argo");
    let made: Workflow = serde_json::from_value(workflow.clone()).unwrap();
    let made = workflows.create(&PostParams::default(), &made).await.unwrap();
    let has_ended = |workflow: Option<&Workflow>| workflow.is_some_and(|it| it.status.phase.is_completed());
    let ended = await_condition(workflows, &made.name_any(), has_ended).await.unwrap().unwrap();
    (ended, address)
}

/// What `landfall logs` shows of a workflow, in order of the alphabet.
async fn logs(place: &Place, workflow: &str, address: &str) -> Vec<String> {
    let arguments = ["logs", workflow, "-n", "argo", "--address", address, "--insecure-skip-tls-verify"];
    let mut command = Command::from(landfall(&arguments));
    let output = command.arg("--kubeconfig").arg(place.folder.path().join("home")).output().await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let mut lines: Vec<String> = said(&output).lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_run_on_real_api_servers() {
    let Some(mut place) = Place::new("cluster", "argo").await else { return };
    scale_down(&place.home.admin()).await;
    let [home, away] = ["home", "away"].map(|name| place.folder.path().join(name));
    let nodes = tokio::join!(Node::start(&home, &[]), Node::start(&away, &[]));

    let (ended, address) = run(&mut place, "multi-cluster.yaml").await;
    let name = ended.name_any();
    assert_eq!(ended.status.phase.as_str(), "Succeeded", "{:#?}", ended.status);
    let expected = [format!("default/argo {name}.this │ hello argo"), format!("other/argo {name}.other │ hello argo")];
    assert_eq!(logs(&place, &name, &address).await, expected);
    place.stop().await;

    let (ended, _) = run(&mut place, "multi-cluster-denied.yaml").await;
    assert_eq!(ended.status.phase.as_str(), "Error", "{:#?}", ended.status);
    let node = |step: &str| {
        let mut nodes = ended.status.nodes.values();
        nodes.find(|node| node.display_name == step).map(|node| (node.phase, node.message.clone())).unwrap()
    };
    let (phase, message) = node("other");
    let message = format!("{message:?}");
    assert!(phase.to_string() == "Error" && message.contains("no-rule"), "{phase} {message}");
    assert_eq!(node("this").0.to_string(), "Succeeded");
    let pods: Api<Pod> = Api::namespaced(place.other.admin(), "argo");
    let of = ListParams::default().labels(&format!("workflows.argoproj.io/workflow={}", ended.name_any()));
    assert!(pods.list(&of).await.unwrap().items.is_empty(), "what is denied is not made");
    place.end().await;

    a_node_that_ends_leaves_nothing(&place.other.admin(), nodes.1).await;
    nodes.0.interrupt().await;
}

/// A pod that runs when the node ends is Failed, and the Node is gone.
async fn a_node_that_ends_leaves_nothing(client: &Client, node: Node) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "argo");
    let container = json!({"name": "main", "image": "busybox", "command": ["sh", "-c", "echo begun; exec sleep 1000"]});
    let pod = json!({"metadata": {"name": "long"}, "spec": {"containers": [container], "restartPolicy": "Never"}});
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let runs = |pod: Option<&Pod>| {
        pod.and_then(|pod| pod.status.as_ref()).is_some_and(|status| status.phase.as_deref() == Some("Running"))
    };
    await_condition(pods.clone(), "long", runs).await.unwrap();
    let mut output = Box::pin(
        pods.log_stream("long", &LogParams { follow: true, timestamps: true, ..LogParams::default() }).await.unwrap(),
    );
    let mut line = String::new();
    futures::AsyncBufReadExt::read_line(&mut output, &mut line).await.unwrap();
    assert!(line.ends_with("Z begun\n"), "{line}");
    let nodes: Api<NodeObject> = Api::all(client.clone());
    let ready = nodes.get(NODE).await.unwrap().status.unwrap();
    let is_ready = ready.conditions.unwrap().iter().any(|it| it.type_ == "Ready" && it.status == "True");
    assert!(is_ready && ready.daemon_endpoints.is_some());
    node.interrupt().await;
    assert!(nodes.get_opt(NODE).await.unwrap().is_none());
    let status = serde_json::to_value(pods.get("long").await.unwrap().status).unwrap();
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("Terminated")), "{status}");
    assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["exitCode"], 137, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_somebody_else_is_not_taken_over() {
    let Some([cluster]) = real::clusters().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    fs::write(&kubeconfig, cluster.kubeconfig("here", cluster.admin_token())).unwrap();
    let nodes: Api<NodeObject> = Api::all(cluster.admin());
    let name = cluster.namespace("node").await;
    let object = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    nodes.create(&PostParams::default(), &object).await.unwrap();
    let refused = async |arguments: &[&str]| {
        let mut command = Command::from(landfall(&["local", "node", "--name", &name, "--kubeconfig"]));
        let output = command.arg(&kubeconfig).args(arguments).output().await.unwrap();
        assert_eq!(output.status.code(), Some(1));
        said(&output)
    };
    assert_eq!(refused(&[]).await, format!("error: there is another node {name} in the cluster\n"));
    assert!(nodes.get(&name).await.unwrap().labels().is_empty(), "nothing was written");
    let open = refused(&["--listen", "0.0.0.0:0"]).await;
    assert!(open.contains("hint: say with --client-certificate-authority"), "{open}");
}

fn pem(title: &str, der: &[u8]) -> String {
    format!("-----BEGIN {title}-----\n{}\n-----END {title}-----\n", STANDARD.encode(der))
}

/// Files of PEM: an authority, a certificate of it for a client, and its key.
fn certificates(folder: &Path) -> [PathBuf; 3] {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "authority");
    let key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&key).unwrap();
    let issuer = Issuer::new(authority, key);
    let mut client = CertificateParams::new(Vec::new()).unwrap();
    client.distinguished_name.push(DnType::CommonName, "API server");
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let client = client.signed_by(&key, &issuer).unwrap();
    let files = [
        ("authority", pem("CERTIFICATE", root.der())),
        ("client", pem("CERTIFICATE", client.der())),
        ("key", pem("PRIVATE KEY", &key.serialize_der())),
    ];
    files.map(|(name, text)| {
        let file = folder.join(name);
        fs::write(&file, text).unwrap();
        file
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_authority_only_the_api_server_reads_logs() {
    let folder = tempfile::tempdir().unwrap();
    let [authority, certificate, key] = certificates(folder.path());
    let flags = [
        format!("--kubelet-client-certificate={}", certificate.display()),
        format!("--kubelet-client-key={}", key.display()),
    ];
    let Some([cluster]) = real::own_clusters(&[&flags[0], &flags[1]]).await else { return };
    let kubeconfig = folder.path().join("kubeconfig");
    fs::write(&kubeconfig, cluster.kubeconfig("here", cluster.admin_token())).unwrap();
    let node =
        Node::start(&kubeconfig, &["--client-certificate-authority", authority.to_str().unwrap(), "--bound-only"])
            .await;
    let pods: Api<Pod> = Api::namespaced(cluster.admin(), "default");
    let container = json!({"name": "main", "image": "busybox", "command": ["echo", "hello"]});
    for (name, place) in [("bound", Some(NODE)), ("unbound", None)] {
        let pod = json!({"metadata": {"name": name},
            "spec": {"containers": [container], "restartPolicy": "Never", "nodeName": place}});
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }
    let has_ended = |pod: Option<&Pod>| {
        pod.and_then(|pod| pod.status.as_ref()).is_some_and(|status| status.phase.as_deref() == Some("Succeeded"))
    };
    await_condition(pods.clone(), "bound", has_ended).await.unwrap();
    assert_eq!(pods.logs("bound", &LogParams::default()).await.unwrap(), "hello\n");
    let nodes: Api<NodeObject> = Api::all(cluster.admin());
    let endpoints = nodes.get(NODE).await.unwrap().status.unwrap().daemon_endpoints.unwrap();
    let port = endpoints.kubelet_endpoint.unwrap().port;
    let mut config = kube::Config::new(format!("https://127.0.0.1:{port}").parse().unwrap());
    config.accept_invalid_certs = true;
    config.default_retry = false;
    let nobody = Client::try_from(config).unwrap();
    let request = http::Request::get("/containerLogs/default/bound/main").body(Vec::new()).unwrap();
    let answer = nobody.request_text(request).await;
    assert!(answer.is_err() && !matches!(answer, Err(kube::Error::Api(_))), "{answer:?}");
    node.interrupt().await;
    let unbound = pods.get("unbound").await.unwrap().status.unwrap();
    assert_eq!((unbound.phase.as_deref(), unbound.start_time), (Some("Pending"), None), "it is left alone");
}
