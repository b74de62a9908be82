//! `GET /logs/NAMESPACE/WORKFLOW` over HTTPS: what the pods of a workflow print, wherever they are, for `landfall logs`.
//!
//! Who asks bears a token of the cluster of the controller, and that cluster says who it is and whether they may read this
//! workflow's logs (`access.rs`). Then the controller reads them by its own connections, and passes on lines and nothing
//! else: nobody needs the Secret with the clusters, or gets anything of it. The answer is one JSON object a line (`item.rs`);
//! a cluster that is away is an object that says so, and the rest goes on.
//!
//! Everything is bounded: connections, answers, answers of one caller, containers read at once, the length of a line, and the
//! patience with who reads slowly.

mod access;
mod answer;
mod container;
pub mod item;
mod job;
pub mod lines;
mod pods;
pub mod tls;
pub mod wanted;

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{Path, RawQuery, State},
    response::Response,
    routing::get,
};
use futures::stream;
use http::{HeaderMap, header};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    clusters::call::CallError,
    controller::{
        Controller,
        logs::{
            answer::Denied,
            item::Item,
            job::{Gone, Job},
            tls::Identity,
            wanted::Wanted,
        },
        status, workflows,
    },
};

/// Connections at once; more wait. Each is one request long.
const CONNECTIONS_MAX: usize = 128;
/// Answers at once.
const ANSWERS_MAX: usize = 64;
/// Answers at once for one caller, who must not keep the others out.
const ANSWERS_OF_ONE_MAX: usize = 16;
/// How long a caller may take until the request is there.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How long a connection may last: rights that were taken away end with it.
const CONNECTION_TIME: Duration = Duration::from_secs(12 * 60 * 60);
/// Pause after a connection that could not be accepted, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long after a workflow's end its containers are still read.
const DRAIN: Duration = Duration::from_secs(10);
/// While nothing is printed, something is said so often: proxies on the way end what is silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// Items that go out together, if so many wait.
const ITEMS_TOGETHER: usize = 64;
/// The type of the answer.
const MEDIA_TYPE: &str = "application/jsonl";

/// Where logs are served, and as whom.
pub struct Listener {
    /// Where.
    pub listener: TcpListener,
    /// With which certificate.
    pub identity: Identity,
}

struct Server {
    controller: Arc<Controller>,
    answers: Arc<Semaphore>,
    of_callers: Arc<Callers>,
}

/// How many answers each caller has.
#[derive(Default)]
struct Callers(Mutex<HashMap<String, usize>>);

/// The place of one answer. It is free again when this is dropped.
struct Place {
    _permit: OwnedSemaphorePermit,
    callers: Arc<Callers>,
    name: String,
}

/// Serves until dropped.
pub async fn serve(listener: Listener, controller: Arc<Controller>) {
    let server = Server { controller, answers: Arc::new(Semaphore::new(ANSWERS_MAX)), of_callers: Arc::default() };
    let router = Router::new()
        .route("/logs/{namespace}/{workflow}", get(logs))
        .fallback(async || Denied::missing("there is nothing but GET /logs/NAMESPACE/WORKFLOW"))
        .with_state(Arc::new(server));
    let Listener { listener, identity } = listener;
    match listener.local_addr() {
        Ok(address) => tracing::info!(%address, "serving /logs"),
        Err(error) => tracing::warn!(%error, "the listener for logs has no address"),
    }
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(identity.clone(), router.clone(), stream))),
                Err(error) => {
                    tracing::warn!(%error, "a connection for logs could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn connection(identity: Identity, router: Router, stream: TcpStream) {
    let secured = match timeout(REQUEST_TIME, identity.acceptor().accept(stream)).await {
        Ok(Ok(secured)) => secured,
        Ok(Err(error)) => return tracing::debug!(%error, "no TLS for a connection for logs"),
        Err(_) => return tracing::debug!("a connection for logs took too long"),
    };
    // Who reads nothing any more holds up the whole connection, so that has to end.
    let stalled = CancellationToken::new();
    let service = TowerToHyperService::new(router.layer(Extension(stalled.clone())));
    let served = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME)
        .serve_connection(TokioIo::new(secured), service);
    tokio::select! {
        served = timeout(CONNECTION_TIME, served) => match served {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a connection for logs ended"),
            Err(_) => tracing::debug!("a connection for logs has lasted long enough"),
        },
        () = stalled.cancelled() => tracing::debug!("a connection for logs was not read any more"),
    }
}

async fn logs(
    State(server): State<Arc<Server>>,
    Extension(stalled): Extension<CancellationToken>,
    Path((namespace, workflow)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Denied> {
    let controller = &server.controller;
    let home = controller.clusters.home();
    let Some(token) = access::token(&headers) else {
        return Err(Denied::unknown(
            "the request bears no token, neither as Authorization: Bearer nor as X-Landfall-Token",
        ));
    };
    let user = access::identify(home, token).await?;
    let wanted = Wanted::parse(&namespace, &workflow, query.as_deref().unwrap_or_default());
    let wanted = wanted.map_err(|misfit| Denied::bad(misfit.to_string()))?;
    access::check(home, &user, &wanted).await?;
    let place = server.place(user.username.as_deref().unwrap_or_default())?;
    let name = format!("{namespace}/{workflow}");
    let found = home.call(status::api(home.client(), Some(&namespace)).get(&workflow)).await;
    let object = found.map_err(|error| match error {
        CallError::Refused(status) if status.code == 404 => Denied::missing(format!("there is no workflow {name}")),
        error => Denied::unavailable(format!("workflow {name} can't be read: {error}")),
    })?;
    tracing::info!(workflow = name, user = user.username, follow = wanted.follow, "logs are read");
    let uid = object.metadata.uid.as_deref().unwrap_or_default().into();
    let workflow = workflows::decode(uid, object).workflow;
    let (job, items) = Job::new(controller.clone(), wanted, &workflow, stalled);
    let task = tokio::spawn(async move {
        let read = if job.wanted.follow {
            pods::until_the_end(&job, workflow).await
        } else {
            pods::once(&job, &workflow).await
        };
        if let Err(Gone) = read {
            tracing::debug!("logs are not read any more");
        }
    });
    Ok(response(items, Answering { _task: AbortOnDropHandle::new(task), _place: place }))
}

/// What an answer holds on to: it ends with it.
struct Answering {
    _task: AbortOnDropHandle<()>,
    _place: Place,
}

fn response(items: mpsc::Receiver<Item>, answering: Answering) -> Response {
    let body = stream::unfold((items, answering), |(mut items, answering)| async move {
        let mut together = Vec::new();
        let bytes = match timeout(HEARTBEAT, items.recv_many(&mut together, ITEMS_TOGETHER)).await {
            Err(_) => Bytes::from_static(b"\n"),
            Ok(0) => return None,
            Ok(_) => lines_of(&together),
        };
        Some((Ok::<_, Infallible>(bytes), (items, answering)))
    });
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(MEDIA_TYPE));
    response
}

fn lines_of(items: &[Item]) -> Bytes {
    let mut lines = Vec::new();
    for item in items {
        serde_json::to_writer(&mut lines, item).expect("an item is plain data, and memory takes it");
        lines.push(b'\n');
    }
    lines.into()
}

impl Server {
    fn place(&self, name: &str) -> Result<Place, Denied> {
        let Ok(permit) = self.answers.clone().try_acquire_owned() else {
            return Err(Denied::too_many(format!("{ANSWERS_MAX} logs are read already; try again when one has ended")));
        };
        let mut callers = self.of_callers.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = callers.entry(name.to_owned()).or_default();
        if *count == ANSWERS_OF_ONE_MAX {
            return Err(Denied::too_many(format!("\"{name}\" reads {ANSWERS_OF_ONE_MAX} logs already; end one first")));
        }
        *count += 1;
        drop(callers);
        Ok(Place { _permit: permit, callers: self.of_callers.clone(), name: name.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut callers = self.callers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = callers.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                callers.remove(&self.name);
            }
        }
    }
}
