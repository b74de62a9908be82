//! How far the watches are, and who waits for which cluster. Synchronous, beside waiting for it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::{
    api::{
        contract::CLUSTERS_SECRET,
        ids::{ClusterName, Namespace, Target},
    },
    controller::workflows::Uid,
};

/// What one watch shows of a cluster: one namespace, or with `None`, all.
pub type Scope = Option<Namespace>;

/// How far the watches are.
#[derive(Default)]
pub struct Watched(watch::Sender<Progress>);

/// How far the watches are, at one time.
#[derive(Default)]
pub struct Progress {
    /// Whether all workflows are known.
    pub workflows: bool,
    /// Whether it is known which clusters there are.
    pub clusters: bool,
    /// By cluster, whether its pods are known.
    pods: HashMap<ClusterName, BTreeMap<Scope, Followed>>,
}

/// Whether the pods of a scope are known.
#[derive(Clone, Debug, PartialEq)]
pub enum Followed {
    /// They have been asked for since then.
    NotYet(Timestamp),
    /// They are.
    Known,
    /// They can't be listed or watched, for this reason and since then.
    Refused(String, Timestamp),
}

/// Why pods are not known, and since when.
pub type Problem = (String, Timestamp);

const NOT_YET: &str = "its pods are not listed yet";

impl Followed {
    fn problem(&self) -> Option<Problem> {
        match self {
            Followed::NotYet(since) => Some((NOT_YET.to_owned(), *since)),
            Followed::Refused(reason, since) => Some((reason.clone(), *since)),
            Followed::Known => None,
        }
    }
}

impl Progress {
    /// Why not enough is known of home to begin; `None`: it is. What is missing there would be taken for gone.
    pub fn home_problem(&self, home: &ClusterName) -> Option<String> {
        if !self.workflows {
            return Some("its workflows are not listed yet".to_owned());
        }
        if !self.clusters {
            return Some(format!("the secret {CLUSTERS_SECRET:?} with the other clusters is not read yet"));
        }
        let Some(scopes) = self.pods.get(home) else { return Some(NOT_YET.to_owned()) };
        scopes.values().find_map(Followed::problem).map(|(reason, _)| reason)
    }

    /// Whether the pods of a cluster are known, or why they can't be.
    pub fn is_told(&self, cluster: &ClusterName) -> bool {
        let is_told = |followed: &Followed| !matches!(followed, Followed::NotYet(_));
        self.pods.get(cluster).is_some_and(|scopes| scopes.values().all(is_told))
    }
}

impl Watched {
    /// Why the pods of a cluster can't be followed; `now` if it is not looked at so far.
    pub fn problem(&self, cluster: &ClusterName, now: Timestamp) -> Option<Problem> {
        match self.0.borrow().pods.get(cluster) {
            None => Some((NOT_YET.to_owned(), now)),
            Some(scopes) => scopes.get(&None).and_then(Followed::problem),
        }
    }

    /// The single namespaces whose pods can't be followed, where each is watched by itself.
    pub fn problems(&self) -> BTreeMap<Target, Problem> {
        let mut problems = BTreeMap::new();
        for (cluster, scopes) in &self.0.borrow().pods {
            for (scope, followed) in scopes {
                if let (Some(namespace), Some(problem)) = (scope, followed.problem()) {
                    problems.insert(Target { cluster: cluster.clone(), namespace: namespace.clone() }, problem);
                }
            }
        }
        problems
    }

    /// Whether a watch shows the pods of a target, or is to.
    pub fn covers(&self, target: &Target) -> bool {
        self.0
            .borrow()
            .pods
            .get(&target.cluster)
            .is_some_and(|scopes| scopes.contains_key(&None) || scopes.contains_key(&Some(target.namespace.clone())))
    }

    /// Why not enough is known of home to begin; `None`: it is.
    pub fn home_problem(&self, home: &ClusterName) -> Option<String> {
        self.0.borrow().home_problem(home)
    }

    /// Whether all workflows are known.
    pub fn knows_workflows(&self) -> bool {
        self.0.borrow().workflows
    }

    /// Whether it is known which clusters there are.
    pub fn knows_clusters(&self) -> bool {
        self.0.borrow().clusters
    }

    /// Changes with every step.
    pub fn subscribe(&self) -> watch::Receiver<Progress> {
        self.0.subscribe()
    }

    /// Returns once this holds.
    pub async fn until(&self, holds: impl FnMut(&Progress) -> bool) {
        // It fails only if the sender is gone, and this object holds it.
        drop(self.0.subscribe().wait_for(holds).await);
    }

    /// All workflows are known.
    pub fn has_workflows(&self) {
        self.0.send_modify(|progress| progress.workflows = true);
    }

    /// It is known which clusters there are.
    pub fn has_clusters(&self) {
        self.0.send_modify(|progress| progress.clusters = true);
    }

    /// These clusters and scopes are watched and no others.
    pub fn clusters_are(&self, wanted: &BTreeMap<ClusterName, Vec<Scope>>, now: Timestamp) {
        self.0.send_if_modified(|progress| {
            let before = progress.pods.clone();
            progress.pods.retain(|cluster, _| wanted.contains_key(cluster));
            for (cluster, wanted) in wanted {
                let scopes = progress.pods.entry(cluster.clone()).or_default();
                scopes.retain(|scope, _| wanted.contains(scope));
                for scope in wanted {
                    scopes.entry(scope.clone()).or_insert(Followed::NotYet(now));
                }
            }
            progress.pods != before
        });
    }

    /// Forgets what the watch of a scope told, be it that another takes its place.
    pub fn leave(&self, cluster: &ClusterName, scope: &Scope) {
        self.0.send_modify(|progress| {
            if let Some(scopes) = progress.pods.get_mut(cluster) {
                scopes.remove(scope);
            }
        });
    }

    /// Notes whether the pods of a scope are known. One that is not watched any more is left alone.
    pub fn pods(&self, cluster: &ClusterName, scope: &Scope, followed: Followed) {
        self.0.send_if_modified(|progress| {
            let Some(held) = progress.pods.get_mut(cluster).and_then(|scopes| scopes.get_mut(scope)) else {
                return false;
            };
            let followed = match (&*held, followed) {
                // The reason may be another; it has been so for as long.
                (Followed::NotYet(since) | Followed::Refused(_, since), Followed::Refused(reason, _)) => {
                    Followed::Refused(reason, *since)
                }
                (_, followed) => followed,
            };
            let is_news = *held != followed;
            *held = followed;
            is_news
        });
    }
}

/// Which workflows wait for which clusters.
#[derive(Default)]
pub struct Waiting(Mutex<HashMap<Uid, HashSet<ClusterName>>>);

impl Waiting {
    /// Notes all that one waits for.
    pub fn set(&self, uid: &Uid, clusters: HashSet<ClusterName>) {
        self.lock().insert(uid.clone(), clusters);
    }

    /// It waits for none.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Those that wait for this one.
    pub fn for_cluster(&self, name: &ClusterName) -> Vec<Uid> {
        self.lock().iter().filter(|(_, clusters)| clusters.contains(name)).map(|(uid, _)| uid.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, HashSet<ClusterName>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
