//! Whether a cluster answers: a breaker that opens at the first call that can't reach it or after a silence that a probe
//! can't end, and closes when a probe is answered by the right cluster. While it is open nothing but the probe goes there, so
//! that a dead cluster costs nobody else's time.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, sleep, sleep_until};

use crate::clusters::{
    call::{self, CallError},
    cluster::Cluster,
    identity,
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
/// Longest pause between probes: this late at most is a recovery noticed. One small request in two seconds strains nothing.
const PROBE_LAST: Duration = Duration::from_secs(2);
/// How long one probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// A cluster of which nothing was heard for this long is probed, so that a frozen one is noticed within this and
/// [`PROBE_TIMEOUT`]. Watches alone would tell after minutes: an API server sends a bookmark about every minute.
const SILENCE: Duration = Duration::from_secs(10);

/// What a probe found.
enum Probed {
    /// The cluster that is meant.
    Right,
    /// An API server that doesn't say now which cluster it is.
    Busy(String),
    /// Nothing that can be used.
    Wrong(String),
}

/// Probes a cluster while it is silent, not ready, or connected anew, until its connection is cancelled.
pub async fn watch_over(cluster: Arc<Cluster>) {
    let supervise = async {
        loop {
            if cluster.state() != State::Ready {
                recover(&cluster).await;
                continue;
            }
            tokio::select! {
                () = cluster.unavailable() => {}
                () = cluster.asked_to_look() => check(&cluster).await,
                () = silence(&cluster) => check(&cluster).await,
            }
        }
    };
    tokio::select! {
        () = supervise => {}
        () = cluster.cancelled().cancelled() => {}
    }
}

/// Returns once nothing was heard for a while.
async fn silence(cluster: &Cluster) {
    loop {
        let due = cluster.heard_at() + SILENCE;
        if due <= Instant::now() {
            return;
        }
        sleep_until(due).await;
    }
}

/// Looks after a cluster that is taken to be ready.
async fn check(cluster: &Cluster) {
    match probe(cluster, cluster.client()).await {
        Probed::Right | Probed::Busy(_) => {}
        Probed::Wrong(reason) => cluster.set_unavailable(&reason),
    }
}

/// Returns once the cluster answers. Each try has connections of its own.
async fn recover(cluster: &Cluster) {
    let mut pause = PROBE_FIRST;
    loop {
        let link = cluster.link();
        let probed = match link.renewed() {
            Ok(renewed) => match probe(cluster, renewed.client()).await {
                // Otherwise it was connected anew meanwhile, which is to be tried too.
                Probed::Right if cluster.replace_link(&link, renewed) => None,
                Probed::Right => continue,
                Probed::Busy(reason) | Probed::Wrong(reason) => Some(reason),
            },
            Err(error) => Some(format!("{error:#}")),
        };
        let Some(reason) = probed else {
            cluster.set_ready();
            return;
        };
        cluster.set_unavailable(&reason);
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(PROBE_LAST),
            () = cluster.asked_to_look() => pause = PROBE_FIRST,
        }
    }
}

async fn probe(cluster: &Cluster, client: kube::Client) -> Probed {
    match call::bounded(PROBE_TIMEOUT, identity::read(client)).await {
        Ok(uid) => {
            cluster.heard();
            match cluster.meet(&uid) {
                Ok(()) => Probed::Right,
                Err(reason) => Probed::Wrong(reason),
            }
        }
        Err(CallError::Unreachable(reason)) => Probed::Wrong(match cluster.ended_token() {
            Some(ended) => format!("{reason}; {ended}"),
            None => reason,
        }),
        Err(CallError::Refused(status)) => {
            cluster.heard();
            match identity::missing_right(&status) {
                Some(reason) => Probed::Wrong(reason),
                None => Probed::Busy(CallError::Refused(status).to_string()),
            }
        }
    }
}
