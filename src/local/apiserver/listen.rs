//! The API server over HTTP/1 on this machine, for kubectl and for processes that need an address.

use std::{convert::Infallible, io, net::SocketAddr};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;

use crate::local::apiserver::{ApiServer, refusal::Refusal, routes, shape};

/// A listening API server; it stops when this is dropped.
pub struct Listening {
    address: SocketAddr,
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Listening {
    /// The address it listens on; the port is the real one where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops accepting, ends every connection and its watches, and waits for that.
    pub async fn shutdown(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the listener did not end cleanly");
        }
    }
}

pub async fn listen(server: ApiServer, address: SocketAddr) -> io::Result<Listening> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let task = tokio::spawn(accept(server, listener, stop.clone()));
    Ok(Listening { address, stop: stop.drop_guard(), task })
}

async fn accept(server: ApiServer, listener: TcpListener, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: others will be closed, and the caller tries again.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::task::yield_now().await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let server = server.clone();
        connections.spawn(async move {
            let service = hyper::service::service_fn(move |request| answer(server.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    connections.shutdown().await;
}

/// Whoever lacks a token gets nothing but a refusal; not even the body is read.
async fn answer(server: ApiServer, mut request: Request<Incoming>) -> Result<Response<routes::Body>, Infallible> {
    if let Some(caller) = server.caller(request.headers()) {
        request.extensions_mut().insert(caller);
        return server.oneshot(request).await;
    }
    let refusal = Refusal::unauthorized();
    Ok(routes::whole(refusal.code, shape::encode(&refusal.status())))
}
