//! A Kubernetes API server in this process, faithful in what a controller relies on.
//!
//! It is a `tower` service: `kube::Client` speaks to it directly, and [`ApiServer::listen`] puts it on a port for
//! kubectl, which needs the token that stands in the kubeconfig. Objects live in memory. Read `routes.rs` for what is
//! supported, `store.rs` for how objects are kept, `rbac.rs` for who may do what: the kubeconfig's user everything, a
//! service account what roles and bindings say. Not here: admission webhooks, schemas of custom resources.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::{BoxError, Service};

use crate::local::{
    apiserver::{
        caller::{Caller, Issued},
        decode::FieldValidation,
        refusal::Refusal,
        requests::{BODY_BYTES_MAX, Request as Parsed},
        resources::Id,
        routes::Body,
        store::{Key, Store},
        token::Token,
        writes::WriteOptions,
    },
    logs::Logs,
};

mod apply;
mod caller;
mod collector;
mod decode;
mod defaults;
mod deletion;
mod discovery;
mod listen;
mod logs;
mod openapi;
mod patch;
mod protobuf;
mod rbac;
mod refusal;
mod requests;
mod resources;
mod reviews;
mod routes;
mod selectors;
mod shape;
mod store;
mod table;
mod token;
mod validate;
mod watch;
mod writes;

pub use listen::Listening;

/// Namespaces that every cluster has.
const NAMESPACES: [&str; 2] = ["default", "kube-system"];

/// How a cluster begins.
#[derive(Default)]
pub struct Options {
    /// The cluster's name, for kubeconfigs.
    pub name: String,
    /// Where the runtime writes what containers print.
    pub logs: Logs,
    /// Namespaces beside `default` and `kube-system`; each gets a service account `default`.
    pub namespaces: Vec<String>,
}

/// One cluster's API. Cloning gives another handle to the same cluster; watches end when the last handle is dropped.
#[derive(Clone)]
pub struct ApiServer {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    token: Token,
    issued: Issued,
    store: Arc<Store>,
    logs: Logs,
    ended: CancellationToken,
    _end: DropGuard,
}

impl ApiServer {
    /// A cluster with its first namespaces. Nothing runs in the background: all work is done by its callers.
    pub fn new(options: Options) -> ApiServer {
        let store = Store::default();
        let mut inner = store.lock();
        for resource in resources::built_in() {
            inner.install(resource);
        }
        drop(inner);
        let ended = CancellationToken::new();
        let shared = Shared {
            name: options.name,
            token: Token::random(),
            issued: Issued::default(),
            store: Arc::new(store),
            logs: options.logs,
            _end: ended.clone().drop_guard(),
            ended,
        };
        let server = ApiServer { shared: Arc::new(shared) };
        for namespace in NAMESPACES.iter().map(|name| (*name).to_owned()).chain(options.namespaces) {
            server.ensure_namespace(&namespace);
        }
        server
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Makes sure that a namespace exists; a name that Kubernetes refuses is logged and left out.
    pub fn ensure_namespace(&self, name: &str) {
        self.ensure("namespaces", "", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }

    /// Makes sure that a service account exists, and its namespace.
    pub fn ensure_service_account(&self, namespace: &str, name: &str) {
        self.ensure_namespace(namespace);
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        self.ensure("serviceaccounts", namespace, account);
    }

    fn ensure(&self, plural: &str, namespace: &str, object: Value) {
        let Some(resource) = self.store().lock().resource(&Id::new("", plural)) else { return };
        let options = WriteOptions { dry_run: false, validation: FieldValidation::Ignore };
        let key = Key::new(namespace, store::text(&object, "/metadata/name"));
        if self.store().lock().get(&resource.id(), &key).is_some() {
            return;
        }
        if let Err(refusal) = writes::create(self.store(), &resource, namespace, object, &options) {
            tracing::warn!(
                cluster = self.shared.name,
                error = refusal.message,
                "{plural} {} could not be made",
                key.name
            );
        }
    }

    /// A client that speaks to this server without a network. Must be called within a tokio runtime.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.clone(), "default")
    }

    /// Serves HTTP/1 on an address until the answer is dropped or shut down. Only who sends a token is answered: that of
    /// [`ApiServer::token`], or one that a TokenRequest gave to a service account.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn listen(&self, address: SocketAddr) -> io::Result<Listening> {
        listen::listen(self.clone(), address).await
    }

    /// What a request of the administrator to the listener must bear as `Authorization: Bearer TOKEN`; random, so another for each server.
    pub fn token(&self) -> &str {
        self.shared.token.text()
    }

    /// A kubeconfig that reaches this server at `url`. It holds the token, so only its owner should read it.
    pub fn kubeconfig(&self, url: &str) -> String {
        let name = &self.shared.name;
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": self.shared.token.in_url(url)}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
            "users": [{"name": name, "user": {"token": self.token()}}],
        });
        // YAML readers read JSON.
        format!("{config:#}\n")
    }

    /// Ends every watch and every followed log, as when a server goes down. Requests are still answered.
    pub fn end_watches(&self) {
        self.shared.ended.cancel();
    }

    fn store(&self) -> &Arc<Store> {
        &self.shared.store
    }

    fn caller(&self, headers: &HeaderMap) -> Option<Caller> {
        caller::of(headers, &self.shared.token, &self.shared.issued, self.store())
    }

    fn issued(&self) -> &Issued {
        &self.shared.issued
    }

    fn logs(&self) -> &Logs {
        &self.shared.logs
    }

    fn ended(&self) -> CancellationToken {
        self.shared.ended.clone()
    }
}

impl<B> Service<Request<B>> for ApiServer
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = match Limited::new(Box::pin(body), BODY_BYTES_MAX).collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) => return Ok(unreadable(&*error)),
            };
            Ok(routes::answer(&server, &Parsed::new(parts, body)).await)
        })
    }
}

fn unreadable(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Response<Body> {
    let refusal = if error.is::<LengthLimitError>() {
        Refusal::too_large(format!("Request entity too large: limit is {BODY_BYTES_MAX}"))
    } else {
        Refusal::bad_request(format!("error reading the body: {error}"))
    };
    routes::whole(refusal.code, shape::encode(&refusal.status()))
}
