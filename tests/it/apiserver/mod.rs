//! What a controller relies on in an API server, checked through `kube::Client`.
//!
//! The same checks run against a real kube-apiserver where `LANDFALL_APISERVER_KUBECONFIG` names a kubeconfig for one;
//! else against the embedded one. Each check works in a namespace of its own and doesn't depend on speed.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    api::{DynamicObject, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, GroupVersionKind, Status},
};
use landfall::local::apiserver::{ApiServer, Options};
use serde_json::{Value, json};

mod accounts;
mod collection;
mod deletes;
mod kubectl;
mod lists;
mod patches;
mod scale;
mod served;
mod watches;
mod writes;

const KUBECONFIG: &str = "LANDFALL_APISERVER_KUBECONFIG";
/// No check waits longer for something that must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The server under test.
async fn server() -> Client {
    let Some(path) = std::env::var_os(KUBECONFIG) else {
        return ApiServer::new(Options { name: "suite".to_owned(), ..Options::default() }).client();
    };
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// The server under test, and a namespace of its own with a service account for pods.
async fn place() -> (Client, String) {
    let client = server().await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"generateName": "suite-"}})).unwrap();
    let namespace = namespaces.create(&PostParams::default(), &namespace).await.unwrap().metadata.name.unwrap();
    let accounts = api(&client, &namespace, "v1", "ServiceAccount");
    eventually(|| async { accounts.get_opt("default").await.unwrap().is_some() }).await;
    (client, namespace)
}

/// Any kind of object in a namespace.
fn api(client: &Client, namespace: &str, api_version: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

fn config_maps(client: &Client, namespace: &str) -> Api<DynamicObject> {
    api(client, namespace, "v1", "ConfigMap")
}

fn pods(client: &Client, namespace: &str) -> Api<DynamicObject> {
    api(client, namespace, "v1", "Pod")
}

/// An object of a core kind from its other fields.
fn object(kind: &str, mut fields: Value) -> DynamicObject {
    fields["kind"] = json!(kind);
    if fields.get("apiVersion").is_none() {
        fields["apiVersion"] = json!("v1");
    }
    serde_json::from_value(fields).unwrap()
}

fn config_map(name: &str, labels: Value) -> DynamicObject {
    object("ConfigMap", json!({"metadata": {"name": name, "labels": labels}, "data": {"key": "value"}}))
}

fn pod(name: &str) -> DynamicObject {
    object("Pod", json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "main", "image": "busybox:1"}]}}))
}

async fn create(api: &Api<DynamicObject>, object: &DynamicObject) -> DynamicObject {
    api.create(&PostParams::default(), object).await.unwrap()
}

/// The Status that a refused call was answered.
fn refused<T: std::fmt::Debug>(result: kube::Result<T>) -> Status {
    match result.unwrap_err() {
        kube::Error::Api(status) => *status,
        other => panic!("{other}"),
    }
}

fn version(object: &DynamicObject) -> String {
    object.metadata.resource_version.clone().unwrap()
}

/// The next item of a stream that must have one.
async fn next<T>(stream: &mut (impl Stream<Item = T> + Unpin)) -> T {
    let next = tokio::time::timeout(PATIENCE, stream.next()).await;
    next.expect("something comes within the patience").expect("the stream goes on")
}

/// Waits for what a real server does in the background.
async fn eventually<F: Future<Output = bool>>(mut check: impl FnMut() -> F) {
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut turn = tokio::time::interval(Duration::from_millis(20));
    while !check().await {
        assert!(tokio::time::Instant::now() < until, "it never came true");
        turn.tick().await;
    }
}
