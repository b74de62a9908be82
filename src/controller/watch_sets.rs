//! What is watched in each cluster: our pods, what the namespaces say that they go to, and what is left behind. In all namespaces, or in those
//! alone that the cluster's settings name. It follows clusters as they come and go, and settings as they change, and wakes
//! the workflows that wait for a cluster when anything about it changes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use k8s_openapi::api::core::v1::{Namespace as Object, Pod};
use kube::Api;
use tokio::task::JoinSet;

use crate::{
    api::{
        contract::{LABEL_HOME_UID, LABEL_WORKFLOW_UID},
        ids::{ClusterName, Namespace},
    },
    clusters::{cluster::Cluster, settings::Settings},
    controller::{
        Controller, events, gather, index, leftovers, namespaces,
        watch::{Change, Source, follow},
        watched::{Followed, Scope},
        workflows::Uid,
    },
    engine::observed::ClusterState,
};

/// One watch of one connection.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Part {
    number: u64,
    cluster: ClusterName,
    kind: Kind,
    scope: Scope,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Pods,
    Namespaces,
    Leftovers,
}

/// Keeps all of them going until dropped.
pub async fn keep(controller: Arc<Controller>, managed: Option<Namespace>) {
    let mut versions = controller.clusters.subscribe();
    let mut progress = controller.watched.subscribe();
    let mut running: HashMap<Part, JoinSet<()>> = HashMap::new();
    let mut before = gather::States::default();
    loop {
        versions.mark_unchanged();
        progress.mark_unchanged();
        let wanted = wanted(&controller, managed.as_ref());
        let (stays, left) = running.into_iter().partition(|(part, _)| wanted.contains_key(part));
        running = stays;
        report_removed(&controller, &before);
        for (part, mut watch) in HashMap::into_iter(left) {
            // Once it has ended it adds nothing any more, and one that takes its place starts afterwards.
            watch.shutdown().await;
            leave(&controller, &part);
        }
        note_scopes(&controller, &wanted);
        for (part, cluster) in wanted {
            running.entry(part).or_insert_with_key(|part| {
                let mut watch = JoinSet::new();
                match part.kind {
                    Kind::Pods => watch.spawn(pods(controller.clone(), cluster, part.scope.clone())),
                    Kind::Namespaces => watch.spawn(facts(controller.clone(), cluster, part.scope.clone())),
                    Kind::Leftovers => watch.spawn(leftovers::collect(controller.clone(), cluster, part.scope.clone())),
                };
                watch
            });
        }
        let now = gather::states(&controller);
        for name in now.clusters.keys().chain(before.clusters.keys()) {
            if before.of_cluster(name) != now.of_cluster(name) {
                wake_waiting(&controller, name);
            }
            // Those that only have pods there take note of it, unless nothing but the reason is another.
            if before.clusters.get(name).map(is_ready) != now.clusters.get(name).map(is_ready) {
                controller.pods.of_cluster(name).iter().for_each(|uid| wake_known(&controller, uid));
            }
        }
        before = now;
        let changed = tokio::select! {
            changed = versions.changed() => changed,
            changed = progress.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

fn is_ready(state: &ClusterState) -> bool {
    *state == ClusterState::Ready
}

/// Says what is left in clusters that are no more, before it is forgotten.
fn report_removed(controller: &Controller, before: &gather::States) {
    let states = controller.clusters.states();
    for name in before.clusters.keys().filter(|name| !states.contains_key(*name)) {
        let (pods, workflows) = controller.pods.count(name);
        if pods > 0 {
            events::cluster_removed(controller, name, pods, workflows);
        }
    }
}

fn wanted(controller: &Controller, managed: Option<&Namespace>) -> HashMap<Part, Arc<Cluster>> {
    let mut wanted = HashMap::new();
    for cluster in controller.clusters.connections() {
        for scope in scopes(&cluster.settings(), managed) {
            for kind in [Kind::Pods, Kind::Namespaces, Kind::Leftovers] {
                let (number, name) = (cluster.number(), cluster.name().clone());
                wanted.insert(Part { number, cluster: name, kind, scope: scope.clone() }, cluster.clone());
            }
        }
    }
    wanted
}

/// Where pods may be, as far as settings and namespace mode say.
fn scopes(settings: &Settings, managed: Option<&Namespace>) -> Vec<Scope> {
    match (managed, &settings.namespaces) {
        (Some(managed), _) if !settings.allows(managed) => Vec::new(),
        (Some(managed), _) => vec![Some(managed.clone())],
        (None, Some(namespaces)) => namespaces.iter().cloned().map(Some).collect(),
        (None, None) => vec![None],
    }
}

fn note_scopes(controller: &Controller, wanted: &HashMap<Part, Arc<Cluster>>) {
    let connections = controller.clusters.connections();
    let mut by_cluster: BTreeMap<ClusterName, Vec<Scope>> =
        connections.iter().map(|cluster| (cluster.name().clone(), Vec::new())).collect();
    for part in wanted.keys().filter(|part| part.kind == Kind::Pods) {
        by_cluster.entry(part.cluster.clone()).or_default().push(part.scope.clone());
    }
    controller.watched.clusters_are(&by_cluster, controller.clusters.now());
}

/// A watch has ended for good, be it that another takes its place: nothing is known of what it showed any more, and the
/// workflows that had pods there decide anew.
fn leave(controller: &Controller, part: &Part) {
    match part.kind {
        Kind::Pods => {
            controller.watched.leave(&part.cluster, &part.scope);
            for uid in controller.pods.replace(&part.cluster, &part.scope, Vec::new()) {
                wake_known(controller, &uid);
            }
        }
        Kind::Namespaces => controller.namespaces.forget(&part.cluster, &part.scope),
        Kind::Leftovers => {}
    }
}

async fn pods(controller: Arc<Controller>, cluster: Arc<Cluster>, scope: Scope) {
    let name = cluster.name().clone();
    let labels = format!("{LABEL_WORKFLOW_UID},{LABEL_HOME_UID}={}", controller.home_uid);
    let of = scope.clone();
    let api = move |client| match &of {
        Some(namespace) => Api::<Pod>::namespaced(client, namespace.as_str()),
        None => Api::all(client),
    };
    let source = Source { api: Box::new(api), labels: Some(labels), fields: None, strip: index::strip };
    let tell = move |change| match change {
        Change::Listed(mut pods) => {
            pods.retain(|pod| concerns(&controller, pod));
            for uid in controller.pods.replace(&name, &scope, pods) {
                wake_known(&controller, &uid);
            }
            controller.watched.pods(&name, &scope, Followed::Known);
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
            controller.watched.pods(&name, &scope, Followed::Refused(reason, controller.clusters.now()));
        }
    };
    follow(cluster, source, tell).await;
}

/// The right to this may be missing: then policy gets no attributes of namespaces, and where consent is required, it can't
/// be seen.
async fn facts(controller: Arc<Controller>, cluster: Arc<Cluster>, scope: Scope) {
    let name = cluster.name().clone();
    let fields = scope.as_ref().map(|namespace| format!("metadata.name={namespace}"));
    let source = Source { api: Box::new(Api::<Object>::all), labels: None, fields, strip: namespaces::strip };
    let tell = move |change| {
        let is_news = match change {
            Change::Listed(objects) => controller.namespaces.replace(&name, &scope, objects),
            Change::Applied(object) => controller.namespaces.put(&name, &scope, object),
            Change::Deleted(object) => controller.namespaces.remove(&name, &scope, object),
            Change::Refused(reason) => controller.namespaces.refuse(&name, &scope, &reason),
        };
        if is_news {
            wake_waiting(&controller, &name);
        }
    };
    follow(cluster, source, tell).await;
}

/// Finished pods stay in their clusters for long; held are only those of workflows that may still ask for them.
fn concerns(controller: &Controller, pod: &Pod) -> bool {
    let uid = pod.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL_WORKFLOW_UID));
    !index::has_finished(pod)
        || !controller.watched.knows_workflows()
        || uid.is_some_and(|uid| controller.workflows.get(uid).is_some())
}

/// Pods of workflows that have ended concern nobody here.
fn wake_known(controller: &Controller, uid: &Uid) {
    if controller.workflows.get(uid).is_some() {
        controller.queue.wake(uid);
    }
}

fn wake_waiting(controller: &Controller, cluster: &ClusterName) {
    controller.waiting.for_cluster(cluster).iter().for_each(|uid| controller.queue.wake(uid));
}
