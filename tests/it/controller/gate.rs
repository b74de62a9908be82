//! The gate before a cluster, through which the controller speaks to it: what a network does to it, the gate does.

use axum::body::Body as Reply;
use futures::StreamExt;
use http::{Method, Request, Response};
use http_body_util::{BodyStream, StreamBody};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    client::Body,
};
use landfall::{api::workflow::Workflow, local::apiserver::ApiServer};
use serde_json::json;
use tokio::sync::watch;
use tower::{BoxError, Service};

/// What the gate before a cluster does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gate {
    /// Let everything through.
    Open,
    /// Let nothing through.
    Closed,
    /// Take everything and answer nothing, as a server that is stopped. What is under way stands still too.
    Frozen,
    /// Refuse to tell who is there, as where the right to get or watch namespaces is missing.
    RefuseNamespaces,
    /// Refuse to watch namespaces, but not to get one.
    RefuseNamespaceWatches,
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

/// A client of the cluster behind the gate.
pub fn client(behind: watch::Sender<ApiServer>, gate: watch::Sender<Gate>, lost: watch::Sender<u32>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (behind, gate, lost) = (behind.clone(), gate.clone(), lost.clone());
        async move {
            drop(gate.subscribe().wait_for(|gate| *gate != Gate::Frozen).await);
            let mut server = behind.borrow().clone();
            let now = *gate.borrow();
            match now {
                Gate::Open | Gate::Frozen => {}
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
                | Gate::RefuseNamespaces
                | Gate::RefuseNamespaceWatches
                | Gate::RefuseWatches => {}
            }
            let (parts, body) = server.call(request).await.map_err(BoxError::from)?.into_parts();
            // An outage also breaks what is under way, and so does another server in the place of this one.
            let mut breaks = (gate.subscribe(), behind.subscribe());
            let broken = async move {
                tokio::select! {
                    _ = breaks.0.wait_for(|gate| *gate == Gate::Closed) => {}
                    _ = breaks.1.changed() => {}
                }
            };
            let frames = BodyStream::new(body).take_until(Box::pin(broken)).then(move |frame| {
                let mut gate = gate.subscribe();
                async move {
                    drop(gate.wait_for(|gate| *gate != Gate::Frozen).await);
                    frame
                }
            });
            Ok(Response::from_parts(parts, Reply::new(StreamBody::new(frames))))
        }
    });
    Client::new(service, "default")
}

fn is(request: &Request<Body>, method: Method, path: &str) -> bool {
    request.method() == method && request.uri().path().contains(path)
}

fn is_watch(request: &Request<Body>, path: &str) -> bool {
    is(request, Method::GET, path) && request.uri().query().is_some_and(|query| query.contains("watch=true"))
}

fn is_of_namespaces(request: &Request<Body>) -> bool {
    request.uri().path() == "/api/v1/namespaces"
}

fn is_refused(gate: Gate, request: &Request<Body>) -> bool {
    match gate {
        Gate::RefuseSecrets => is(request, Method::GET, "/secrets"),
        Gate::RefuseApplies => request.method() == Method::PATCH,
        Gate::RefuseWatches => is_watch(request, "/pods"),
        Gate::RefusePods => is(request, Method::GET, "/pods/"),
        Gate::RefuseNamespaces => {
            is(request, Method::GET, "/api/v1/namespaces/kube-system") || is_of_namespaces(request)
        }
        Gate::RefuseNamespaceWatches => is_of_namespaces(request),
        Gate::Open
        | Gate::Closed
        | Gate::Frozen
        | Gate::LosePods
        | Gate::Meddle
        | Gate::HoldWorkflows
        | Gate::Contest => false,
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
