//! How the controller is, over HTTP: `/healthz` says that it runs, `/readyz` whether it can work and if not why, `/metrics`
//! has its numbers. Nobody is asked who they are, so nothing is told here that is not for everyone in the cluster.

use std::{fmt::Write, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

use crate::{
    clusters::health,
    controller::{Controller, metrics::Metrics},
    policy::state,
};

/// Connections at once: a few probes and scrapes. More wait.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take, which is one request long: who stops reading must not keep others out.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// Pause after a connection that could not be accepted, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What Prometheus wants to be told.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

struct Shown {
    controller: Arc<Controller>,
    metrics: Metrics,
}

/// Answers until dropped.
pub async fn serve(listener: TcpListener, controller: Arc<Controller>) {
    let metrics = Metrics::new(controller.clone());
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(numbers))
        .with_state(Arc::new(Shown { controller, metrics }));
    match listener.local_addr() {
        Ok(address) => tracing::info!(%address, "serving /healthz, /readyz and /metrics"),
        Err(error) => tracing::warn!(%error, "the listener has no address"),
    }
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => drop(connections.spawn(answer(router.clone(), stream))),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn answer(router: Router, stream: TcpStream) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended"),
        Err(_) => tracing::debug!("a connection took too long"),
    }
}

async fn numbers(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], shown.metrics.text())
}

async fn readyz(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    let controller = &shown.controller;
    let home = match controller.clusters.home().state() {
        health::State::Unavailable { reason, .. } => Some(reason),
        health::State::Ready => controller.watched.home_problem(controller.home()),
    };
    let policy = controller.policies.state();
    let is_ready = policy.is_ready() && home.is_none();
    let mut text = if is_ready { "ready\n" } else { "not ready\n" }.to_owned();
    let home = home.unwrap_or_else(|| "its workflows and pods are known".to_owned());
    write!(text, "home {}: {home}\n{}", controller.home(), policy_text(&policy))
        .expect("a String takes all that is written");
    (if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}

/// `policy: generation 2 in force: builtin, images`, and in lines of their own what was refused and what to do about it.
fn policy_text(policy: &state::State) -> String {
    let mut text = format!("policy: {}\n", policy.in_force());
    if let Some(refusal) = &policy.refusal {
        text += &format!("policy refused: {}\n", refusal.reason);
        text += &refusal.hint.as_ref().map_or_else(String::new, |hint| format!("hint: {hint}\n"));
    }
    text
}
