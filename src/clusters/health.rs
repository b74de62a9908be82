//! Whether a cluster answers: a breaker that opens at the first call that can't reach it, and closes when a probe gets an
//! answer. While it is open nothing but the probe goes there, so that a dead cluster costs nobody else's time.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    api::ids::ClusterName,
    clusters::call::{self, CallError},
};

/// Whether calls to a cluster make sense now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The last call got an answer.
    Ready,
    /// It can't be used; the text says why.
    Unavailable(String),
}

/// First pause between probes. Short, because most outages are a restarted server or a dropped connection.
const PROBE_FIRST: Duration = Duration::from_millis(250);
/// Longest pause between probes: this late at most is a recovery noticed.
const PROBE_LAST: Duration = Duration::from_secs(15);
/// How long one probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Probes while the state is not ready, until cancelled. `changed` is called after every change of the state.
pub async fn watch_over(
    name: ClusterName,
    client: kube::Client,
    state: watch::Sender<State>,
    changed: impl Fn() + Send + 'static,
    cancelled: CancellationToken,
) {
    let supervise = async {
        let mut states = state.subscribe();
        while states.wait_for(|state| *state != State::Ready).await.is_ok() {
            recover(&name, &client, &state, &changed).await;
        }
    };
    tokio::select! {
        () = supervise => {}
        () = cancelled.cancelled() => {}
    }
}

/// Returns once the cluster answers.
async fn recover(name: &ClusterName, client: &kube::Client, state: &watch::Sender<State>, changed: &impl Fn()) {
    let mut pause = PROBE_FIRST;
    loop {
        match probe(client).await {
            Ok(()) => {
                tracing::info!(cluster = %name, "cluster is reachable");
                state.send_replace(State::Ready);
                changed();
                return;
            }
            Err(reason) => {
                if set_unavailable(state, &reason) {
                    tracing::warn!(cluster = %name, reason, "cluster is unavailable");
                    changed();
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PROBE_LAST);
    }
}

/// Records the reason; whether that changed anything.
pub fn set_unavailable(state: &watch::Sender<State>, reason: &str) -> bool {
    state.send_if_modified(|state| {
        let down = State::Unavailable(reason.to_owned());
        let changed = *state != down;
        *state = down;
        changed
    })
}

/// Any answer of an API server will do, even that this user may not read the version.
async fn probe(client: &kube::Client) -> Result<(), String> {
    match call::bounded(PROBE_TIMEOUT, client.apiserver_version()).await {
        Ok(_) | Err(CallError::Refused(_)) => Ok(()),
        Err(CallError::Unreachable(reason)) => Err(reason),
    }
}
