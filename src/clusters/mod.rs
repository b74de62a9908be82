//! Connections to clusters: the Secret of rest.Config JSON, clients, health.
//!
//! [`Clusters`] is the one entry point. Every cluster has its own client, budget and breaker, and nothing that happens to
//! one touches another.

pub mod call;
pub mod cluster;
pub mod connect;
pub mod grants;
pub mod health;
pub mod identity;
pub mod keeper;
pub mod kubeconfig;
pub mod limit;
pub mod renewal;
pub mod rest_config;
pub mod secret;
pub mod settings;
pub mod token;

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
        cluster::{Cluster, Link, Shared},
        health::State,
        rest_config::{Allowed, RestConfig},
        secret::{Entry, Fingerprint, Said},
        settings::Settings,
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

#[derive(Clone)]
enum Slot {
    Connected { cluster: Arc<Cluster>, fingerprint: Option<Fingerprint> },
    Refused { state: State, fingerprint: Fingerprint },
}

impl Clusters {
    /// Only home, to begin with; `clock` says since when a cluster is unavailable. Must be called inside a tokio runtime.
    pub fn new(home: ClusterName, client: kube::Client, allowed: Allowed, clock: fn() -> Timestamp) -> Clusters {
        let shared = Shared::new(clock);
        let home = Cluster::open(home, Link::of_client(client), Settings::default(), State::Ready, &shared);
        Clusters(Arc::new(Inner { home, allowed, table: RwLock::new(BTreeMap::new()), shared }))
    }

    /// Takes over what the Secret says. A cluster whose value is the same as before goes on undisturbed.
    pub fn update(&self, secret: &Secret) {
        let listed = secret::read(secret, self.0.home.name(), &self.0.allowed);
        for (key, reason) in &listed.misnamed {
            tracing::error!(key, reason, "key of the clusters secret is not used");
        }
        let known: BTreeMap<ClusterName, Slot> = {
            let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
            table.iter().map(|(name, slot)| (name.clone(), slot.clone())).collect()
        };
        let is_of_secret = |slot: &Slot| slot.fingerprint().is_some();
        let removed: Vec<&ClusterName> = known
            .iter()
            .filter(|(name, slot)| is_of_secret(slot) && !listed.clusters.contains_key(*name))
            .map(|(name, _)| name)
            .collect();
        // Outside of the lock: setting up a client may read files.
        let mut changed: Vec<(ClusterName, Slot)> = Vec::new();
        for (name, entry) in listed.clusters {
            let held = known.get(&name);
            // One that was inserted by its client stays, and so does one of which nothing new is said.
            if held.is_none_or(|slot| slot.fingerprint().is_some_and(|held| held != entry.fingerprint)) {
                let slot = self.take(&name, entry, held);
                changed.push((name, slot));
            }
        }
        {
            let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
            for name in removed {
                tracing::info!(cluster = %name, "cluster is removed");
                table.remove(name).iter().for_each(Slot::close);
            }
            for (name, slot) in changed {
                if let Some(before) = table.insert(name.clone(), slot.clone())
                    && !before.is_connected_as(&slot)
                {
                    before.close();
                }
            }
        }
        self.0.shared.tick();
    }

    /// Adds a cluster by its client, as those that live in this process; the Secret doesn't touch it.
    pub fn insert_client(&self, name: ClusterName, client: kube::Client) {
        let link = Link::of_client(client);
        let cluster = Cluster::open(name.clone(), link, Settings::default(), State::Ready, &self.0.shared);
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

    /// The clock that tells since when a cluster is unavailable.
    pub fn clock(&self) -> fn() -> Timestamp {
        self.0.shared.clock
    }

    /// What time it is by that clock.
    pub fn now(&self) -> Timestamp {
        (self.0.shared.clock)()
    }

    /// A value of the Secret, if it can be used.
    pub fn parse(&self, value: &[u8]) -> Option<RestConfig> {
        rest_config::parse(value, &self.0.allowed).ok()
    }

    /// What the Secret says of one cluster, made so.
    fn take(&self, name: &ClusterName, entry: Entry, held: Option<&Slot>) -> Slot {
        let Entry { fingerprint, said } = entry;
        let shared = &self.0.shared;
        let taken = said.map_err(anyhow::Error::new).and_then(|Said { config, settings }| match held {
            Some(Slot::Connected { cluster, .. }) => {
                cluster.update(config, settings)?;
                Ok(cluster.clone())
            }
            Some(Slot::Refused { .. }) | None => {
                let link = Link::of_config(config)?;
                tracing::info!(cluster = %name, "cluster is configured");
                let state = shared.unavailable("not reached yet".to_owned());
                Ok(Cluster::open(name.clone(), link, settings, state, shared))
            }
        });
        match taken {
            Ok(cluster) => Slot::Connected { cluster, fingerprint: Some(fingerprint) },
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

    fn is_connected_as(&self, other: &Slot) -> bool {
        match (self, other) {
            (Slot::Connected { cluster, .. }, Slot::Connected { cluster: other, .. }) => Arc::ptr_eq(cluster, other),
            (Slot::Connected { .. } | Slot::Refused { .. }, _) => false,
        }
    }

    fn close(&self) {
        match self {
            Slot::Connected { cluster, .. } => cluster.cancelled().cancel(),
            Slot::Refused { .. } => {}
        }
    }
}
