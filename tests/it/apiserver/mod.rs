//! What a controller relies on in an API server, checked through `kube::Client`: against the embedded server, and each
//! check against a real kube-apiserver as well, so that the embedded one can't drift.
//!
//! Each check works in a namespace of its own and doesn't depend on speed. Only against the embedded one go
//!
//! * `served`: its own port and token, how it ends, and pods' logs, which a real server asks a kubelet for;
//! * `scale`: what it does at limits of its own choice, which a real one sets far higher.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind, Status},
};
use landfall::local::apiserver::{ApiServer, Options};
use serde_json::{Value, json};

use crate::real;

/// Each check of a module as two tests. A check that isn't named here is dead code, which the compiler refuses.
macro_rules! both {
    ($module:ident: $($check:ident,)+) => {
        mod embedded {
            $(#[tokio::test]
            async fn $check() {
                crate::apiserver::$module::$check(crate::apiserver::Place::embedded().await).await;
            })+
        }

        mod real {
            $(#[tokio::test]
            async fn $check() {
                let Some(place) = crate::apiserver::Place::real().await else { return };
                crate::apiserver::$module::$check(place).await;
            })+
        }
    };
}

mod accounts;
mod collection;
mod definitions;
mod deletes;
mod kubectl;
mod lists;
mod patches;
mod scale;
mod served;
pub mod watches;
mod writes;

/// No check waits longer for something that must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The server under test, with all rights, and a namespace of the check's own with a service account for pods.
struct Place {
    client: Client,
    namespace: String,
    /// Makes a client with the rights of a token.
    enter: Box<dyn Fn(&str) -> Client + Send>,
}

impl Place {
    /// In a new embedded server.
    async fn embedded() -> Place {
        let server = ApiServer::new(Options { name: "suite".to_owned(), ..Options::default() });
        let listening = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let enter = move |token: &str| {
            let mut config = Config::new(listening.url().parse().unwrap());
            config.auth_info.token = Some(token.to_owned().into());
            Client::try_from(config).unwrap()
        };
        let client = server.client();
        Place { namespace: namespace(&client).await, client, enter: Box::new(enter) }
    }

    /// In a real cluster that others use too, if there is one.
    async fn real() -> Option<Place> {
        let [cluster] = real::clusters().await?;
        let client = cluster.admin();
        let enter = Box::new(|token: &str| cluster.client_for_token(token));
        Some(Place { namespace: namespace(&client).await, client, enter })
    }
}

/// Makes a namespace of its own for a check, with a service account for pods.
async fn namespace(client: &Client) -> String {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"generateName": "suite-"}})).unwrap();
    let namespace = namespaces.create(&PostParams::default(), &namespace).await.unwrap().metadata.name.unwrap();
    let accounts = api(client, &namespace, "v1", "ServiceAccount");
    eventually(|| async { accounts.get_opt("default").await.unwrap().is_some() }).await;
    namespace
}

/// Any kind of object in a namespace.
fn api(client: &Client, namespace: &str, api_version: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

pub fn config_maps(client: &Client, namespace: &str) -> Api<DynamicObject> {
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
