//! Connections to clusters: the Secret of rest.Config JSON, clients, health.
//!
//! [`Clusters`] is the one entry point. Every cluster has its own client, budget and breaker, and nothing that happens to
//! one touches another.

pub mod call;
pub mod connect;
pub mod health;
pub mod limit;
pub mod rest_config;
pub mod secret;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::ids::ClusterName,
    clusters::{
        call::CallError,
        health::State,
        limit::Budget,
        rest_config::{Allowed, Rate},
        secret::{Entry, Fingerprint},
    },
};

/// How long a call may take where the config doesn't say. Longer than an API server's slow moment, far shorter than a
/// worker may hang.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Calls under way in one cluster. A frozen one then holds at most this many of the controller's passes, until its
/// breaker opens; a healthy one is kept busy by far fewer.
const CALLS_AT_ONCE: usize = 64;

/// All clusters by name, home among them. Clones share.
#[derive(Clone)]
pub struct Clusters(Arc<Inner>);

struct Inner {
    home: Arc<Cluster>,
    allowed: Allowed,
    table: RwLock<BTreeMap<ClusterName, Slot>>,
    /// Grows with every change of the table or of a state.
    version: watch::Sender<u64>,
    identity: AtomicU64,
    tasks: TaskTracker,
    cancelled: CancellationToken,
}

enum Slot {
    Connected { cluster: Arc<Cluster>, fingerprint: Option<Fingerprint> },
    Refused { reason: String, fingerprint: Fingerprint },
}

/// A connection to one cluster.
pub struct Cluster {
    name: ClusterName,
    identity: u64,
    client: kube::Client,
    call_timeout: Duration,
    budget: Budget,
    at_once: Semaphore,
    state: watch::Sender<State>,
    version: watch::Sender<u64>,
    cancelled: CancellationToken,
}

impl Clusters {
    /// Only home, to begin with. Must be called inside a tokio runtime.
    pub fn new(home: ClusterName, client: kube::Client, allowed: Allowed) -> Clusters {
        let version = watch::Sender::new(0);
        let cancelled = CancellationToken::new();
        let tasks = TaskTracker::new();
        let home = Arc::new(Cluster {
            name: home,
            identity: 0,
            client,
            call_timeout: CALL_TIMEOUT,
            budget: Budget::new(Rate::Unlimited),
            at_once: Semaphore::new(CALLS_AT_ONCE),
            state: watch::Sender::new(State::Ready),
            version: version.clone(),
            cancelled: cancelled.child_token(),
        });
        home.supervise(&tasks);
        let table = RwLock::new(BTreeMap::new());
        let identity = AtomicU64::new(1);
        Clusters(Arc::new(Inner { home, allowed, table, version, identity, tasks, cancelled }))
    }

    /// Takes over what the Secret says. A cluster whose value is the same as before goes on undisturbed.
    pub fn update(&self, secret: &Secret) {
        let listed = secret::read(secret, &self.0.home.name, &self.0.allowed);
        for (key, reason) in &listed.misnamed {
            tracing::error!(key, reason, "key of the clusters secret is not used");
        }
        let known: BTreeMap<ClusterName, Option<Fingerprint>> = {
            let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
            table.iter().map(|(name, slot)| (name.clone(), slot.fingerprint())).collect()
        };
        let removed: Vec<&ClusterName> = known
            .iter()
            .filter(|(name, fingerprint)| fingerprint.is_some() && !listed.clusters.contains_key(*name))
            .map(|(name, _)| name)
            .collect();
        // Outside of the lock: setting up a client may read files.
        let opened: Vec<(ClusterName, Slot)> = listed
            .clusters
            .into_iter()
            .filter(|(name, entry)| match known.get(name) {
                None => true,
                Some(Some(fingerprint)) => *fingerprint != entry.fingerprint,
                // One that was inserted by its client.
                Some(None) => false,
            })
            .map(|(name, entry)| (name.clone(), self.open(&name, entry)))
            .collect();
        {
            let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
            for name in removed {
                tracing::info!(cluster = %name, "cluster is removed");
                table.remove(name).iter().for_each(Slot::close);
            }
            for (name, slot) in opened {
                table.insert(name, slot).iter().for_each(Slot::close);
            }
        }
        self.tick();
    }

    /// Adds a cluster by its client, as those that live in this process; the Secret doesn't touch it.
    pub fn insert_client(&self, name: ClusterName, client: kube::Client) {
        let cluster = self.connected(name.clone(), client, (CALL_TIMEOUT, Rate::Unlimited), State::Ready);
        {
            let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
            table.insert(name, Slot::Connected { cluster, fingerprint: None }).iter().for_each(Slot::close);
        }
        self.tick();
    }

    /// The cluster that workflows live in.
    pub fn home(&self) -> &Arc<Cluster> {
        &self.0.home
    }

    /// The connection to a cluster, if there is one.
    pub fn get(&self, name: &ClusterName) -> Option<Arc<Cluster>> {
        if *name == self.0.home.name {
            return Some(self.0.home.clone());
        }
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        match table.get(name)? {
            Slot::Connected { cluster, .. } => Some(cluster.clone()),
            Slot::Refused { .. } => None,
        }
    }

    /// Every connection, home first.
    pub fn connections(&self) -> Vec<Arc<Cluster>> {
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        let others = table.values().filter_map(|slot| match slot {
            Slot::Connected { cluster, .. } => Some(cluster.clone()),
            Slot::Refused { .. } => None,
        });
        std::iter::once(self.0.home.clone()).chain(others).collect()
    }

    /// Every cluster that is known by name, with its state; one whose config is refused is unavailable for that reason.
    pub fn states(&self) -> BTreeMap<ClusterName, State> {
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut states: BTreeMap<_, _> = table.iter().map(|(name, slot)| (name.clone(), slot.state())).collect();
        states.insert(self.0.home.name.clone(), self.0.home.state());
        states
    }

    /// Changes whenever a cluster is added, removed, replaced or changes its state. What is new is read from
    /// [`Clusters::states`] and [`Clusters::connections`], so that no change is lost by a slow reader.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    /// Ends the probes. Clients that others still hold go on working.
    pub async fn shutdown(&self) {
        self.0.cancelled.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn open(&self, name: &ClusterName, entry: Entry) -> Slot {
        let fingerprint = entry.fingerprint;
        let opened = entry.config.map_err(anyhow::Error::new).and_then(|config| {
            let limits = (config.timeout.unwrap_or(CALL_TIMEOUT), config.rate);
            Ok((connect::client(&config)?, limits))
        });
        match opened {
            Ok((client, limits)) => {
                tracing::info!(cluster = %name, "cluster is configured");
                let state = State::Unavailable("not reached yet".to_owned());
                let cluster = self.connected(name.clone(), client, limits, state);
                Slot::Connected { cluster, fingerprint: Some(fingerprint) }
            }
            Err(error) => {
                let reason = format!("its entry in the secret is refused: {error:#}");
                tracing::error!(cluster = %name, reason, "cluster is unavailable");
                Slot::Refused { reason, fingerprint }
            }
        }
    }

    fn connected(
        &self,
        name: ClusterName,
        client: kube::Client,
        (call_timeout, rate): (Duration, Rate),
        state: State,
    ) -> Arc<Cluster> {
        let cluster = Arc::new(Cluster {
            name,
            identity: self.0.identity.fetch_add(1, Ordering::Relaxed),
            client,
            call_timeout,
            budget: Budget::new(rate),
            at_once: Semaphore::new(CALLS_AT_ONCE),
            state: watch::Sender::new(state),
            version: self.0.version.clone(),
            cancelled: self.0.cancelled.child_token(),
        });
        cluster.supervise(&self.0.tasks);
        cluster
    }

    fn tick(&self) {
        self.0.version.send_modify(|version| *version += 1);
    }
}

/// Probes end with the last handle, also where nobody waited for them.
impl Drop for Inner {
    fn drop(&mut self) {
        self.cancelled.cancel();
    }
}

impl Slot {
    fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Slot::Connected { fingerprint, .. } => *fingerprint,
            Slot::Refused { fingerprint, .. } => Some(*fingerprint),
        }
    }

    fn state(&self) -> State {
        match self {
            Slot::Connected { cluster, .. } => cluster.state(),
            Slot::Refused { reason, .. } => State::Unavailable(reason.clone()),
        }
    }

    fn close(&self) {
        match self {
            Slot::Connected { cluster, .. } => cluster.cancelled.cancel(),
            Slot::Refused { .. } => {}
        }
    }
}

impl Cluster {
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

    /// Whether calls make sense now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Returns once calls make sense; at once if they do now.
    pub async fn ready(&self) {
        // It fails only if the sender is gone, and this object holds it.
        drop(self.state.subscribe().wait_for(|state| *state == State::Ready).await);
    }

    /// Ends when this connection is removed or replaced.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Makes one call, within this cluster's time and budget. Fails at once while the cluster is unavailable; makes it
    /// unavailable when there is no answer.
    pub async fn call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        let _permit = self.at_once.acquire().await;
        if let State::Unavailable(reason) = self.state() {
            return Err(CallError::Unreachable(reason));
        }
        self.budget.take().await;
        let outcome = call::bounded(self.call_timeout, call).await;
        if let Err(CallError::Unreachable(reason)) = &outcome {
            self.lost(reason);
        }
        outcome
    }

    /// Notes that the cluster could not be reached by a watch.
    pub fn lost(&self, reason: &str) {
        let was_ready = self.state() == State::Ready;
        if was_ready && health::set_unavailable(&self.state, reason) {
            tracing::warn!(cluster = %self.name, reason, "cluster is unavailable");
            self.version.send_modify(|version| *version += 1);
        }
    }

    fn supervise(&self, tasks: &TaskTracker) {
        let version = self.version.clone();
        let changed = move || version.send_modify(|version| *version += 1);
        let watcher = health::watch_over(
            self.name.clone(),
            self.client.clone(),
            self.state.clone(),
            changed,
            self.cancelled.clone(),
        );
        tasks.spawn(watcher);
    }
}
