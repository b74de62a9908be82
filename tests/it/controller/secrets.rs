//! Secret values go nowhere but onto the wire: the whole program runs with everything logged, and all that it says is
//! searched for them.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod, Secret};
use kube::{Resource, api::ListParams};
use landfall::api::workflow::Workflow;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::controller::world::{ACCOUNT, ROLES, Side, node, one_pod, outcome};

/// Stands in every value that is secret and made up here.
const PLANTED: &str = "planted";

/// Everything of all that gets to see the values. Compilers of policy modules don't, and say much.
const LOGGED: &str = "trace,cranelift_codegen=warn,regalloc2=warn,wasmtime=warn,wasmtime_environ=warn,wasmtime_cranelift=warn,\
                      wasmtime_internal_cranelift=warn,cranelift_frontend=warn,wasmtime_internal_environ=warn";

/// A running `landfall controller`; dropping it kills it.
struct Program {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Program {
    fn start(kubeconfig: &Value) -> Program {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("kubeconfig"), kubeconfig.to_string()).unwrap();
        // Free when it was asked for; nobody else is given it soon.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(env!("CARGO_BIN_EXE_landfall"))
            .args(["controller", "--namespace", "argo", "--listen", &format!("127.0.0.1:{port}")])
            .arg("--kubeconfig")
            .arg(path("kubeconfig"))
            .env("LANDFALL_LOG", LOGGED)
            .stdin(Stdio::null())
            .stdout(File::create(path("stdout")).unwrap())
            .stderr(File::create(path("stderr")).unwrap())
            .spawn()
            .unwrap();
        Program { child, folder, port }
    }

    async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn said(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join(name)).unwrap()).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It fails only if it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Clusters of every kind of credential and of every kind of mistake.
fn entries(host: &str, token: &str) -> Vec<(&'static str, String)> {
    let pem = |kind: &str| {
        let body = STANDARD.encode(format!("{PLANTED}-{kind}"));
        STANDARD.encode(format!("-----BEGIN {kind}-----\n{PLANTED}{body}\n-----END {kind}-----\n"))
    };
    let json = |fields: Value| {
        let mut config = json!({"Host": host});
        json_patch::merge(&mut config, &fields);
        config.to_string()
    };
    vec![
        ("good", json(json!({"BearerToken": token}))),
        ("wrong", json(json!({"BearerToken": "planted-token"}))),
        ("basic", json(json!({"Username": "me", "Password": "planted-password"}))),
        ("both", json(json!({"BearerToken": "planted-token", "Username": "me", "Password": "planted-password"}))),
        ("certificate", json(json!({"CertData": pem("CERTIFICATE"), "KeyData": pem("PRIVATE KEY")}))),
        ("key-only", json(json!({"KeyData": pem("PRIVATE KEY")}))),
        (
            "authority",
            json(json!({"Host": "https://127.0.0.1:1", "BearerToken": "planted", "CAData": pem("CERTIFICATE")})),
        ),
        ("in-host", json(json!({"Host": "https://planted:planted@127.0.0.1:1"}))),
        ("not-json", "{\"BearerToken\": planted}".to_owned()),
        ("mistyped", json(json!({"BearerToken": ["planted"], "QPS": "planted"}))),
        ("exec", json(json!({"ExecProvider": {"command": "x", "env": [{"name": "A", "value": "planted"}]}}))),
        ("broken-line", json(json!({"BearerToken": "planted\nplanted"}))),
        ("Misnamed", json(json!({"BearerToken": "planted-token"}))),
    ]
}

fn secret(entries: &[(&str, String)]) -> Value {
    let data: serde_json::Map<String, Value> =
        entries.iter().map(|(name, value)| ((*name).to_owned(), json!(STANDARD.encode(value)))).collect();
    json!({"metadata": {"name": "clusters"}, "data": data})
}

#[tokio::test]
async fn nothing_secret_is_said() {
    let (home, there) = (Side::new("default"), Side::new("good"));
    home.create::<ConfigMap>(
        "argo",
        json!({"metadata": {"name": "workflow-controller-configmap"}, "data": {"namespaceRoles": ROLES}}),
    )
    .await;
    let (home_port, port) = (home.listen().await, there.listen().await);
    let host = format!("http://{}", port.address());
    let entries = entries(&host, &there.account_token().await);
    let mut secret = secret(&entries);
    secret["metadata"]["annotations"] = json!({"clusters.landfall.dev/good": ACCOUNT});
    let secret = home.create::<Secret>("argo", secret).await;
    let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", home_port.address())}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "users": [{"name": "c", "user": {"token": home.server.token()}}]});
    let program = Program::start(&kubeconfig);

    let runs: Workflow = home.create("argo", one_pod("runs", json!({"clusterName": "good"}))).await;
    for (name, _) in entries.iter().filter(|(name, _)| !["good", "Misnamed"].contains(name)) {
        let waits: Workflow = home.create("argo", one_pod(name, json!({"clusterName": name}))).await;
        let told = home.until(&waits, |workflow| !workflow.status.nodes.is_empty()).await;
        assert!(node(&told, name).starts_with("Pending: waiting for cluster"), "{}", node(&told, name));
    }
    let pod: Pod = there.pod("argo", |_| true).await;
    there.begin_pod(&pod).await;
    home.until(&runs, |workflow| node(workflow, "runs").starts_with("Running")).await;

    // The token is renewed, then taken away and given back.
    let value = |secret: &Secret| String::from_utf8(secret.data.as_ref().unwrap()["good"].0.clone()).unwrap();
    let renewed = home.until(&secret, |secret| value(secret) != entries[0].1).await;
    let renewed: Value = serde_json::from_str(&value(&renewed)).unwrap();
    let data = |value: &str| json!({"data": {"good": STANDARD.encode(value)}});
    home.patch::<Secret>("argo", "clusters", data(&entries[1].1)).await;
    for attempt in 0.. {
        let name = format!("waits-{attempt}");
        let waits: Workflow = home.create("argo", one_pod(&name, json!({"clusterName": "good"}))).await;
        let told = home.until(&waits, |workflow| !workflow.status.nodes.is_empty()).await;
        if node(&told, &name).contains("HTTP 401") {
            break;
        }
    }
    home.patch::<Secret>("argo", "clusters", data(&renewed.to_string())).await;
    there.end_pod(&pod, 0).await;
    let ended = home.until(&runs, |workflow| workflow.status.finished_at.is_some()).await;
    assert_eq!(outcome(&ended), "Succeeded: ");

    let logged = program.said("stderr");
    assert!(logged.contains("TRACE") && logged.contains("cluster is reachable"), "{logged}");
    let recorded = program.said("stdout");
    assert!(recorded.contains("\"allow\""), "{recorded}");
    let mut outputs = vec![("log", logged), ("records", recorded)];
    for path in ["/metrics", "/readyz", "/healthz"] {
        outputs.push((path, program.get(path).await));
    }
    outputs.push(("events", all::<Event>(&home).await));
    outputs.push(("workflows", all::<Workflow>(&home).await));
    outputs.push(("config maps", all::<ConfigMap>(&home).await));
    outputs.push(("pods", all::<Pod>(&there).await));
    let values = entries.iter().flat_map(|(_, value)| [value.clone(), STANDARD.encode(value)]);
    let renewed = renewed["BearerToken"].as_str().unwrap();
    let tokens = [home.server.token(), there.server.token(), renewed, PLANTED].map(str::to_owned);
    let encoded: Vec<String> = tokens.iter().map(|token| STANDARD.encode(token)).collect();
    let secrets: Vec<String> = tokens.iter().cloned().chain(encoded).chain(values).collect();
    for (what, text) in &outputs {
        for secret in &secrets {
            if let Some(at) = text.find(secret) {
                let line = text[..at].lines().last().unwrap_or_default();
                panic!("{what} shows a secret value after: {line}");
            }
        }
    }
}

/// Everything of a kind in the namespace of the workflows, as one text.
async fn all<K>(side: &Side) -> String
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
{
    let list = side.api::<K>("argo").list(&ListParams::default()).await.unwrap();
    serde_json::to_string(&list).unwrap()
}
