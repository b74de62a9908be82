//! What is watched, and what each change does: it goes into the workflows or the index, and wakes whom it concerns.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::{Api, api::DynamicObject};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    api::{
        contract::{CLUSTERS_SECRET, CONFIG_MAP, LABEL_HOME_UID, LABEL_WORKFLOW_UID},
        ids::{ClusterName, Namespace},
    },
    clusters::cluster::Cluster,
    controller::{
        Controller,
        config::Reader,
        gather, index, status,
        watch::{Change, Source, follow},
        workflows::{self, Kind, Uid},
    },
    engine::observed::ClusterState,
};

/// Label by which several controllers share the workflows of one cluster, as Argo's.
const LABEL_INSTANCE_ID: &str = "workflows.argoproj.io/controller-instanceid";

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
    pods: HashMap<ClusterName, Followed>,
}

/// Whether the pods of a cluster are known.
#[derive(Clone, PartialEq)]
enum Followed {
    /// They have been asked for since then.
    NotYet(Timestamp),
    /// They are.
    Known,
    /// They can't be listed or watched, since then and for this reason.
    Refused(String, Timestamp),
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
        self.problem(home).map(|(reason, _)| reason)
    }

    fn problem(&self, cluster: &ClusterName) -> Option<(String, Option<Timestamp>)> {
        let not_yet = "its pods are not listed yet";
        match self.pods.get(cluster) {
            None => Some((not_yet.to_owned(), None)),
            Some(Followed::NotYet(since)) => Some((not_yet.to_owned(), Some(*since))),
            Some(Followed::Refused(reason, since)) => Some((reason.clone(), Some(*since))),
            Some(Followed::Known) => None,
        }
    }

    /// Whether the pods of a cluster are known, or why they can't be.
    pub fn is_told(&self, cluster: &ClusterName) -> bool {
        match self.pods.get(cluster) {
            None | Some(Followed::NotYet(_)) => false,
            Some(Followed::Known | Followed::Refused(..)) => true,
        }
    }
}

impl Watched {
    /// Why the pods of a cluster can't be followed, and since when if that has been noted.
    pub fn problem(&self, cluster: &ClusterName) -> Option<(String, Option<Timestamp>)> {
        self.0.borrow().problem(cluster)
    }

    /// Why not enough is known of home to begin; `None`: it is.
    pub fn home_problem(&self, home: &ClusterName) -> Option<String> {
        self.0.borrow().home_problem(home)
    }

    /// Returns once this holds.
    pub async fn until(&self, holds: impl FnMut(&Progress) -> bool) {
        // It fails only if the sender is gone, and this object holds it.
        drop(self.0.subscribe().wait_for(holds).await);
    }

    fn pods(&self, cluster: &ClusterName, followed: Followed) -> bool {
        self.0.send_if_modified(|progress| {
            let Some(held) = progress.pods.get_mut(cluster) else {
                progress.pods.insert(cluster.clone(), followed);
                return true;
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
        })
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

    fn for_cluster(&self, name: &ClusterName) -> Vec<Uid> {
        self.lock().iter().filter(|(_, clusters)| clusters.contains(name)).map(|(uid, _)| uid.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, HashSet<ClusterName>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows policy: the first set that comes into force wakes every workflow, because those that wait for it are not noted.
pub async fn policy(controller: Arc<Controller>) {
    let mut states = controller.policies.subscribe_state();
    let mut was_ready = states.borrow_and_update().is_ready();
    while states.changed().await.is_ok() {
        let is_ready = states.borrow_and_update().is_ready();
        if is_ready && !was_ready {
            controller.workflows.uids().iter().for_each(|uid| controller.queue.wake(uid));
        }
        was_ready = is_ready;
    }
}

/// Follows the workflows at home: all that bear the instance ID, or none where there is none.
pub async fn workflows(controller: Arc<Controller>, managed: Option<Namespace>, instance_id: Option<String>) {
    let home = controller.clusters.home().clone();
    let labels = match instance_id {
        Some(id) => format!("{LABEL_INSTANCE_ID}={id}"),
        None => format!("!{LABEL_INSTANCE_ID}"),
    };
    let source = Source {
        api: status::api(&home, managed.as_ref().map(Namespace::as_str)),
        labels: Some(labels),
        fields: None,
        strip: |object: &mut DynamicObject| object.metadata.managed_fields = None,
    };
    let tell = move |change| match change {
        Change::Listed(objects) => {
            let live = objects.into_iter().filter_map(|object| match workflows::sort(object) {
                Kind::Live(stored) => Some(stored),
                Kind::Ended(_) | Kind::Nameless => None,
            });
            let (news, gone) = controller.workflows.replace(live.collect());
            news.iter().for_each(|uid| controller.queue.wake(uid));
            gone.iter().for_each(|uid| controller.forget(uid));
            controller.watched.0.send_modify(|progress| progress.workflows = true);
            controller.pods.sweep(|uid| controller.workflows.get(uid).is_some());
        }
        Change::Applied(object) => match workflows::sort(object) {
            Kind::Live(stored) => {
                let uid = stored.uid.clone();
                if controller.workflows.put(stored) {
                    controller.queue.wake(&uid);
                }
            }
            Kind::Ended(uid) => gone(&controller, &uid),
            Kind::Nameless => {}
        },
        Change::Deleted(object) => {
            if let Some(uid) = object.metadata.uid.as_deref() {
                gone(&controller, &uid.into());
            }
        }
        Change::Refused(_) => {}
    };
    follow(home, source, tell).await;
}

fn gone(controller: &Controller, uid: &Uid) {
    controller.workflows.remove(uid);
    controller.forget(uid);
}

/// Follows our pods in every cluster, as clusters come and go, and wakes workflows when a cluster that they wait for does.
pub async fn pods(controller: Arc<Controller>, managed: Option<Namespace>) {
    let mut versions = controller.clusters.subscribe();
    let mut running: HashMap<u64, (ClusterName, JoinSet<()>)> = HashMap::new();
    let mut before: BTreeMap<ClusterName, ClusterState> = BTreeMap::new();
    loop {
        versions.mark_unchanged();
        let connections = controller.clusters.connections();
        let identities: HashSet<u64> = connections.iter().map(|cluster| cluster.identity()).collect();
        let (left, stays) = running.into_iter().partition(|(identity, _)| !identities.contains(identity));
        running = stays;
        for (name, mut watch) in HashMap::into_values(left) {
            // Once it has ended it adds nothing any more, and one that takes its place starts afterwards.
            watch.shutdown().await;
            leave(&controller, &name);
        }
        for cluster in connections {
            running.entry(cluster.identity()).or_insert_with(|| {
                let mut watch = JoinSet::new();
                let name = cluster.name().clone();
                controller.watched.pods(&name, Followed::NotYet(controller.clusters.now()));
                watch.spawn(pods_of(controller.clone(), cluster, managed.clone()));
                (name, watch)
            });
        }
        let now = gather::cluster_states(&controller);
        for name in now.keys().chain(before.keys()) {
            if before.get(name) != now.get(name) {
                wake_waiting(&controller, name);
            }
        }
        before = now;
        if versions.changed().await.is_err() {
            return;
        }
    }
}

/// A connection is gone, be it that another takes its place: nothing is known of its pods any more, and the workflows that
/// had some there decide anew.
fn leave(controller: &Controller, name: &ClusterName) {
    controller.watched.0.send_modify(|progress| drop(progress.pods.remove(name)));
    for uid in controller.pods.replace(name, Vec::new()) {
        wake_known(controller, &uid);
    }
}

async fn pods_of(controller: Arc<Controller>, cluster: Arc<Cluster>, managed: Option<Namespace>) {
    let name = cluster.name().clone();
    let api: Api<Pod> = match managed {
        Some(namespace) => Api::namespaced(cluster.client(), namespace.as_str()),
        None => Api::all(cluster.client()),
    };
    let labels = format!("{LABEL_WORKFLOW_UID},{LABEL_HOME_UID}={}", controller.home_uid);
    let source = Source { api, labels: Some(labels), fields: None, strip: index::strip };
    let tell = move |change| match change {
        Change::Listed(mut pods) => {
            pods.retain(|pod| concerns(&controller, pod));
            for uid in controller.pods.replace(&name, pods) {
                wake_known(&controller, &uid);
            }
            if controller.watched.pods(&name, Followed::Known) {
                wake_waiting(&controller, &name);
            }
        }
        Change::Applied(pod) if concerns(&controller, &pod) => {
            if let Some(uid) = controller.pods.put(&name, pod) {
                wake_known(&controller, &uid);
            }
        }
        Change::Applied(pod) | Change::Deleted(pod) => {
            if let Some(uid) = controller.pods.remove(&name, &pod) {
                wake_known(&controller, &uid);
            }
        }
        Change::Refused(reason) => {
            let reason = format!("its pods can't be followed: {reason}");
            controller.watched.pods(&name, Followed::Refused(reason, controller.clusters.now()));
        }
    };
    follow(cluster, source, tell).await;
}

/// Finished pods stay in their clusters for long; held are only those of workflows that may still ask for them.
fn concerns(controller: &Controller, pod: &Pod) -> bool {
    let uid = pod.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL_WORKFLOW_UID));
    !index::has_finished(pod)
        || !controller.watched.0.borrow().workflows
        || uid.is_some_and(|uid| controller.workflows.get(uid).is_some())
}

/// Pods of workflows that have ended, or of another home of the same name, concern nobody here.
fn wake_known(controller: &Controller, uid: &Uid) {
    if controller.workflows.get(uid).is_some() {
        controller.queue.wake(uid);
    }
}

fn wake_waiting(controller: &Controller, cluster: &ClusterName) {
    controller.waiting.for_cluster(cluster).iter().for_each(|uid| controller.queue.wake(uid));
}

/// Follows the Secret with the clusters.
pub async fn clusters(controller: Arc<Controller>, namespace: Namespace) {
    let home = controller.clusters.home().clone();
    let source = Source {
        api: Api::<Secret>::namespaced(home.client(), namespace.as_str()),
        labels: None,
        fields: Some(format!("metadata.name={CLUSTERS_SECRET}")),
        strip: |secret: &mut Secret| secret.metadata.managed_fields = None,
    };
    let tell = move |change| match change {
        Change::Listed(mut secrets) => {
            controller.clusters.update(&secrets.pop().unwrap_or_default());
            controller.watched.0.send_modify(|progress| progress.clusters = true);
        }
        Change::Applied(secret) => controller.clusters.update(&secret),
        Change::Deleted(_) => controller.clusters.update(&Secret::default()),
        Change::Refused(reason) => {
            let until_then = if controller.watched.0.borrow().clusters {
                "the clusters stay as they are"
            } else {
                "no workflow is worked on"
            };
            tracing::warn!(
                secret = %format_args!("{namespace}/{CLUSTERS_SECRET}"), reason,
                "the controller needs the right to list and watch this secret; until then {until_then}"
            );
        }
    };
    follow(home, source, tell).await;
}

/// Follows the ConfigMap.
pub async fn configuration(controller: Arc<Controller>, namespace: Namespace) {
    let home = controller.clusters.home().clone();
    let source = Source {
        api: Api::<ConfigMap>::namespaced(home.client(), namespace.as_str()),
        labels: None,
        fields: Some(format!("metadata.name={CONFIG_MAP}")),
        strip: |config_map: &mut ConfigMap| config_map.metadata.managed_fields = None,
    };
    let mut reader = Reader::default();
    let tell = move |change| match change {
        Change::Listed(mut found) => reader.take(&controller, &namespace, found.pop()),
        Change::Applied(config_map) => reader.take(&controller, &namespace, Some(config_map)),
        Change::Deleted(_) => reader.take(&controller, &namespace, None),
        Change::Refused(_) => {}
    };
    follow(home, source, tell).await;
}
