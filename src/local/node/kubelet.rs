//! What an API server asks a kubelet: `GET /containerLogs/NAMESPACE/POD/CONTAINER`, over TLS.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::StreamExt as _;
use http::StatusCode;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::local::{logs::Logs, reading::Reading};

/// What is asked.
pub struct Kubelet {
    /// Which pods there are.
    pub client: Client,
    /// What they print.
    pub logs: Logs,
    /// The node's name.
    pub node: String,
}

/// Serves until dropped.
pub async fn serve(listener: TcpListener, acceptor: TlsAcceptor, kubelet: Arc<Kubelet>) {
    let router = Router::new().route("/containerLogs/{namespace}/{pod}/{container}", get(logs)).with_state(kubelet);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
                connections.spawn(async move {
                    let secured = match acceptor.accept(stream).await {
                        Ok(secured) => TokioIo::new(secured),
                        Err(error) => return tracing::debug!(%error, "no TLS for a request to the node"),
                    };
                    let served = hyper::server::conn::http1::Builder::new().serve_connection(secured, service).await;
                    if let Err(error) = served {
                        tracing::debug!(%error, "a connection to the node ended");
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: others will be closed, and the caller tries again.
                tracing::warn!(%error, "a connection to the node could not be accepted");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn logs(
    State(kubelet): State<Arc<Kubelet>>,
    Path((namespace, name, container)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let parameters: HashMap<_, _> = form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes()).collect();
    let reading = Reading::parse(|name| parameters.get(name).map(AsRef::as_ref), Timestamp::now());
    let reading = match reading {
        Ok(reading) => reading,
        Err(wrong) => return (StatusCode::BAD_REQUEST, wrong).into_response(),
    };
    if parameters.get("previous").is_some_and(|value| value == "true") {
        let message = format!("previous terminated container {container:?} in pod {name:?} not found");
        return (StatusCode::BAD_REQUEST, message).into_response();
    }
    let pods: Api<Pod> = Api::namespaced(kubelet.client.clone(), &namespace);
    let ours = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(&kubelet.node);
    let uid = match pods.get_opt(&name).await {
        Ok(pod) => pod.filter(ours).and_then(|pod| pod.uid()),
        Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    };
    let Some(uid) = uid else {
        return (StatusCode::NOT_FOUND, format!("pod {namespace}/{name} does not exist on this node")).into_response();
    };
    let so_far = kubelet.logs.read(&uid, &container);
    if !reading.follow {
        return so_far.map(|so_far| reading.so_far(&so_far)).unwrap_or_default().into_response();
    }
    if so_far.is_none() {
        let message = format!("container {container:?} in pod {name:?} has not printed anything on this node");
        return (StatusCode::BAD_REQUEST, message).into_response();
    }
    let news = reading.follow(&kubelet.logs, (&uid, &container), so_far.as_ref());
    Body::from_stream(news.map(Ok::<_, Infallible>)).into_response()
}
