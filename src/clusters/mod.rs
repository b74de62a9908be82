//! Connections to clusters: the Secret of rest.Config JSON, clients, health.
//!
//! [`Clusters`] is the one entry point. Every cluster has its own client, budget and breaker, and nothing that happens to
//! one touches another.

pub mod call;
pub mod cluster;
pub mod connect;
pub mod health;
pub mod identity;
pub mod limit;
pub mod rest_config;
pub mod secret;
pub mod settings;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use tokio::sync::watch;

use crate::{
    api::ids::ClusterName,
    clusters::{
        cluster::{Cluster, Opening, Shared},
        health::State,
        rest_config::Allowed,
        secret::{Entry, Fingerprint, Said},
    },
};

/// All clusters by name, home among them. Clones share.
#[derive(Clone)]
pub struct Clusters(Arc<Inner>);

struct Inner {
    home: Arc<Cluster>,
    allowed: Allowed,
    table: RwLock<BTreeMap<ClusterName, Slot>>,
    shared: Shared,
}

enum Slot {
    Connected { cluster: Arc<Cluster>, fingerprint: Option<Fingerprint> },
    Refused { state: State, fingerprint: Fingerprint },
}

impl Clusters {
    /// Only home, to begin with; `clock` says since when a cluster is unavailable. Must be called inside a tokio runtime.
    pub fn new(home: ClusterName, client: kube::Client, allowed: Allowed, clock: fn() -> Timestamp) -> Clusters {
        let shared = Shared::new(clock);
        let home = Cluster::open(home, Opening::of_client(client), &shared);
        Clusters(Arc::new(Inner { home, allowed, table: RwLock::new(BTreeMap::new()), shared }))
    }

    /// Takes over what the Secret says. A cluster whose value is the same as before goes on undisturbed.
    pub fn update(&self, secret: &Secret) {
        let listed = secret::read(secret, self.0.home.name(), &self.0.allowed);
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
        self.0.shared.tick();
    }

    /// Adds a cluster by its client, as those that live in this process; the Secret doesn't touch it.
    pub fn insert_client(&self, name: ClusterName, client: kube::Client) {
        let cluster = Cluster::open(name.clone(), Opening::of_client(client), &self.0.shared);
        {
            let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
            table.insert(name, Slot::Connected { cluster, fingerprint: None }).iter().for_each(Slot::close);
        }
        self.0.shared.tick();
    }

    /// The cluster that workflows live in.
    pub fn home(&self) -> &Arc<Cluster> {
        &self.0.home
    }

    /// The connection to a cluster, if there is one.
    pub fn get(&self, name: &ClusterName) -> Option<Arc<Cluster>> {
        if name == self.0.home.name() {
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
        states.insert(self.0.home.name().clone(), self.0.home.state());
        states
    }

    /// Changes whenever a cluster is added, removed, replaced or changes its state. What is new is read from
    /// [`Clusters::states`] and [`Clusters::connections`], so that no change is lost by a slow reader.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.shared.version.subscribe()
    }

    /// Ends the probes. Clients that others still hold go on working.
    pub async fn shutdown(&self) {
        self.0.shared.cancelled.cancel();
        self.0.shared.tasks.close();
        self.0.shared.tasks.wait().await;
    }

    /// What time it is, by the clock that tells since when a cluster is unavailable.
    pub fn now(&self) -> Timestamp {
        (self.0.shared.clock)()
    }

    fn open(&self, name: &ClusterName, entry: Entry) -> Slot {
        let fingerprint = entry.fingerprint;
        let shared = &self.0.shared;
        let opened = entry.said.map_err(anyhow::Error::new).and_then(|Said { config, settings }| {
            let state = shared.unavailable("not reached yet".to_owned());
            let (call_timeout, rate) = (config.timeout, config.rate);
            Ok(Opening { client: connect::client(&config)?, settings, call_timeout, rate, state })
        });
        match opened {
            Ok(opening) => {
                tracing::info!(cluster = %name, "cluster is configured");
                let cluster = Cluster::open(name.clone(), opening, shared);
                Slot::Connected { cluster, fingerprint: Some(fingerprint) }
            }
            Err(error) => {
                let reason = format!("{error:#}");
                tracing::error!(cluster = %name, reason, "cluster is unavailable");
                Slot::Refused { state: shared.unavailable(reason), fingerprint }
            }
        }
    }
}

/// Probes end with the last handle, also where nobody waited for them.
impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.cancelled.cancel();
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
            Slot::Refused { state, .. } => state.clone(),
        }
    }

    fn close(&self) {
        match self {
            Slot::Connected { cluster, .. } => cluster.cancelled().cancel(),
            Slot::Refused { .. } => {}
        }
    }
}
