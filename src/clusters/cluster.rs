//! A connection to one cluster: calls within its time and budget, and whether they make sense now.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::ids::ClusterName,
    clusters::{
        call::{self, CallError},
        health::{self, State},
        limit::Budget,
        rest_config::Rate,
        settings::Settings,
    },
};

/// How long a call may take where the config doesn't say. Longer than an API server's slow moment, far shorter than a
/// worker may hang.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Calls under way in one cluster. A frozen one then holds at most this many of the controller's passes, until its
/// breaker opens; a healthy one is kept busy by far fewer.
const CALLS_AT_ONCE: usize = 64;

/// A connection to one cluster.
pub struct Cluster {
    name: ClusterName,
    identity: u64,
    client: kube::Client,
    settings: Arc<Settings>,
    call_timeout: Duration,
    budget: Budget,
    at_once: Semaphore,
    state: watch::Sender<State>,
    version: watch::Sender<u64>,
    clock: fn() -> Timestamp,
    cancelled: CancellationToken,
}

/// What the connections of one controller have in common.
pub struct Shared {
    /// Grows with every change of any cluster.
    pub version: watch::Sender<u64>,
    /// What time it is, for people.
    pub clock: fn() -> Timestamp,
    /// The probes.
    pub tasks: TaskTracker,
    /// Ends the probes.
    pub cancelled: CancellationToken,
    identity: AtomicU64,
}

impl Shared {
    /// Of a controller with this clock.
    pub fn new(clock: fn() -> Timestamp) -> Shared {
        Shared {
            version: watch::Sender::new(0),
            clock,
            tasks: TaskTracker::new(),
            cancelled: CancellationToken::new(),
            identity: AtomicU64::new(0),
        }
    }

    /// Tells that something changed.
    pub fn tick(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    /// A cluster that can't be used from now on.
    pub fn unavailable(&self, reason: String) -> State {
        State::Unavailable { reason, since: (self.clock)() }
    }
}

/// What a connection begins with.
pub struct Opening {
    /// Speaks to the cluster.
    pub client: kube::Client,
    /// What is known of it.
    pub settings: Settings,
    /// How long a call may take; `None`: our default.
    pub call_timeout: Option<Duration>,
    /// How many requests a second.
    pub rate: Rate,
    /// Whether it makes sense to call at once.
    pub state: State,
}

impl Opening {
    /// One that is there, without limits, as those in this process.
    pub fn of_client(client: kube::Client) -> Opening {
        Opening {
            client,
            settings: Settings::default(),
            call_timeout: None,
            rate: Rate::Unlimited,
            state: State::Ready,
        }
    }
}

impl Cluster {
    /// A new connection, probed from now on while it is not ready.
    pub fn open(name: ClusterName, opening: Opening, shared: &Shared) -> Arc<Cluster> {
        let Opening { client, settings, call_timeout, rate, state } = opening;
        let cluster = Arc::new(Cluster {
            name,
            identity: shared.identity.fetch_add(1, Ordering::Relaxed),
            client,
            settings: Arc::new(settings),
            call_timeout: call_timeout.unwrap_or(CALL_TIMEOUT),
            budget: Budget::new(rate),
            at_once: Semaphore::new(CALLS_AT_ONCE),
            state: watch::Sender::new(state),
            version: shared.version.clone(),
            clock: shared.clock,
            cancelled: shared.cancelled.child_token(),
        });
        shared.tasks.spawn(health::watch_over(cluster.clone()));
        cluster
    }

    /// Its name.
    pub fn name(&self) -> &ClusterName {
        &self.name
    }

    /// Differs between two connections, also where one replaced the other under the same name.
    pub fn identity(&self) -> u64 {
        self.identity
    }

    /// For watches, which bound themselves by silence. Everything else goes through [`Cluster::call`].
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// What is known of it beside its connection.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.clone()
    }

    /// Whether calls make sense now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Returns once calls make sense; at once if they do now.
    pub async fn ready(&self) {
        // It fails only if the sender is gone, and this object holds it.
        drop(self.state.subscribe().wait_for(|state| *state == State::Ready).await);
    }

    /// Returns once calls make no sense.
    pub async fn unavailable(&self) {
        drop(self.state.subscribe().wait_for(|state| *state != State::Ready).await);
    }

    /// Ends when this connection is removed or replaced.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Makes one call, within this cluster's time and budget. Fails at once while the cluster is unavailable; makes it
    /// unavailable when there is no answer.
    pub async fn call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        let _permit = self.at_once.acquire().await;
        if let State::Unavailable { reason, .. } = self.state() {
            return Err(CallError::Unreachable(reason));
        }
        self.budget.take().await;
        let outcome = call::bounded(self.call_timeout, call).await;
        if let Err(CallError::Unreachable(reason)) = &outcome {
            self.lost(reason);
        }
        outcome
    }

    /// Notes that the cluster could not be reached by a call or watch. While it is known to be unavailable, only probes say
    /// why.
    pub fn lost(&self, reason: &str) {
        if self.state() == State::Ready {
            self.set_unavailable(reason);
        }
    }

    /// Notes that the cluster answers.
    pub fn set_ready(&self) {
        let is_news = self.state.send_replace(State::Ready) != State::Ready;
        if is_news {
            tracing::info!(cluster = %self.name, "cluster is reachable");
            self.tick();
        }
    }

    /// Notes why the cluster can't be used.
    pub fn set_unavailable(&self, reason: &str) {
        let is_news = self.state.send_if_modified(|state| {
            let (since, is_news) = match &*state {
                State::Ready => ((self.clock)(), true),
                State::Unavailable { reason: before, since } => (*since, before != reason),
            };
            *state = State::Unavailable { reason: reason.to_owned(), since };
            is_news
        });
        if is_news {
            tracing::warn!(cluster = %self.name, reason, "cluster is unavailable");
            self.tick();
        }
    }

    fn tick(&self) {
        self.version.send_modify(|version| *version += 1);
    }
}
