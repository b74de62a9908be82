//! Whether a cluster answers: a breaker that opens at the first call that can't reach it, and closes when a probe gets an
//! answer. While it is open nothing but the probe goes there, so that a dead cluster costs nobody else's time.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::clusters::{
    call::{self, CallError},
    cluster::Cluster,
};

/// Whether calls to a cluster make sense now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The last call got an answer.
    Ready,
    /// It can't be used.
    Unavailable {
        /// Why.
        reason: String,
        /// Since when without a break; the reason may have changed meanwhile.
        since: Timestamp,
    },
}

/// First pause between probes. Short, because most outages are a restarted server or a dropped connection.
const PROBE_FIRST: Duration = Duration::from_millis(250);
/// Longest pause between probes: this late at most is a recovery noticed.
const PROBE_LAST: Duration = Duration::from_secs(15);
/// How long one probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Probes a cluster while it is not ready, until its connection is cancelled.
pub async fn watch_over(cluster: Arc<Cluster>) {
    let supervise = async {
        loop {
            cluster.unavailable().await;
            recover(&cluster).await;
        }
    };
    tokio::select! {
        () = supervise => {}
        () = cluster.cancelled().cancelled() => {}
    }
}

/// Returns once the cluster answers.
async fn recover(cluster: &Cluster) {
    let mut pause = PROBE_FIRST;
    loop {
        match probe(&cluster.client()).await {
            Ok(()) => {
                cluster.set_ready();
                return;
            }
            Err(reason) => cluster.set_unavailable(&reason),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PROBE_LAST);
    }
}

/// Any answer of an API server will do, even that this user may not read the version.
async fn probe(client: &kube::Client) -> Result<(), String> {
    match call::bounded(PROBE_TIMEOUT, client.apiserver_version()).await {
        Ok(_) | Err(CallError::Refused(_)) => Ok(()),
        Err(CallError::Unreachable(reason)) => Err(reason),
    }
}
