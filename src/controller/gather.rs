//! Everything that the engine may know of the world for one pass. A pod is looked up in the index, and where it isn't
//! there, by a live GET: "gone" is never concluded from a cache.

use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use crate::{
    api::{
        contract::{
            ANNOTATION_NODE_ID, LABEL_HOME_CLUSTER, LABEL_HOME_NAMESPACE, LABEL_HOME_UID, LABEL_WORKFLOW,
            LABEL_WORKFLOW_UID,
        },
        ids::{ClusterName, Target},
        node::NodeStatus,
        status::WorkflowStatus,
        workflow::Workflow,
    },
    clusters::{call::CallError, health},
    controller::{Controller, index, workflows::Stored},
    engine::{
        nodes::pod_of,
        observed::{ClusterState, Observed, PodKey, PodState},
    },
    policy::state::State,
};

/// Live GETs at once in one pass. They are rare: after a restart, or when pods were deleted.
const GETS_AT_ONCE: usize = 16;

/// What was found, and whether that is all.
pub struct Gathered {
    /// What is known.
    pub observed: Observed,
    /// A cluster that should have answered did not, or pods are where nothing is watched any more: no event will tell, so
    /// somebody must look again.
    pub is_incomplete: bool,
}

/// Looks around for one workflow.
pub async fn gather(controller: &Controller, stored: &Stored) -> Gathered {
    let states = states(controller);
    let workflow = &stored.workflow;
    let mut pods = BTreeMap::new();
    let mut missing = Vec::new();
    for (node, key) in open_pods(controller.home(), workflow) {
        let is_ready = states.of(&key.target) == Some(&ClusterState::Ready);
        match controller.pods.get(&stored.uid, &key) {
            // What was seen of it before its cluster went away is still true only if it had ended.
            Some(pod) if is_ready || index::has_finished(&pod) => {
                let state = claim(controller, workflow, &node.id, pod);
                pods.insert(key, state);
            }
            None if is_ready => missing.push((node.id.clone(), key)),
            // Its workflows are woken when it is back.
            Some(_) | None => {}
        }
    }
    let looked_up: Vec<_> = stream::iter(missing)
        .map(|(node_id, key)| async move {
            let state = look_up(controller, stored, &node_id, &key).await;
            (key, state)
        })
        .buffer_unordered(GETS_AT_ONCE)
        .collect()
        .await;
    // What no watch shows is looked up again and again.
    let is_unwatched = |key: &PodKey| !controller.watched.covers(&key.target);
    let is_incomplete = looked_up.iter().any(|(key, state)| match state {
        None => true,
        Some(PodState::Present(pod)) => is_unwatched(key) && !index::has_finished(pod),
        Some(PodState::Gone | PodState::Foreign(_)) => false,
    });
    pods.extend(looked_up.into_iter().filter_map(|(key, state)| Some((key, state?))));
    let observed = Observed {
        home: Some(controller.home().clone()),
        home_uid: controller.home_uid.clone(),
        pods,
        denials: BTreeMap::new(),
        refusals: controller.refusals.of(&stored.uid),
        on_hold: on_hold(&controller.policies.state()),
        holds: BTreeMap::new(),
        clusters: states.clusters,
        targets: states.targets,
        lost_after: controller.settings.borrow().cluster_lost_timeout,
    };
    Gathered { observed, is_incomplete }
}

/// A denial is final, so while no policy is in force nobody is asked: pods wait until there is one.
fn on_hold(policy: &State) -> Option<String> {
    if policy.is_ready() {
        return None;
    }
    let why = policy.refusal.as_ref().map_or_else(String::new, |refusal| format!(": {}", refusal.reason));
    Some(format!("waiting for a policy to be in force{why}"))
}

/// The unfinished nodes that stand for a pod, with that pod.
pub fn open_pods<'a>(
    home: &'a ClusterName,
    workflow: &'a Workflow,
) -> impl Iterator<Item = (&'a NodeStatus, PodKey)> + 'a {
    let open = workflow.status.nodes.values().filter(|node| !node.phase.is_fulfilled());
    open.filter_map(move |node| Some((node, pod_of(home, workflow, node)?)))
}

/// The targets of the unfinished nodes that stand for a pod; `status` is the next one of the workflow.
pub fn open_targets<'a>(
    status: &'a WorkflowStatus,
    home: &'a ClusterName,
    workflow: &'a Workflow,
) -> impl Iterator<Item = Target> + 'a {
    let open = status.nodes.values().filter(|node| !node.phase.is_fulfilled());
    open.filter_map(move |node| Some(pod_of(home, workflow, node)?.target))
}

/// What can be created where, now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct States {
    /// By cluster.
    pub clusters: BTreeMap<ClusterName, ClusterState>,
    /// Where it is not as in the rest of the cluster.
    pub targets: BTreeMap<Target, ClusterState>,
}

impl States {
    /// Whether pods can be created in a target; `None`: its cluster is not known.
    pub fn of(&self, target: &Target) -> Option<&ClusterState> {
        self.targets.get(target).or_else(|| self.clusters.get(&target.cluster))
    }

    /// All that concerns one cluster.
    pub fn of_cluster(&self, name: &ClusterName) -> (Option<&ClusterState>, Vec<(&Target, &ClusterState)>) {
        (self.clusters.get(name), self.targets.iter().filter(|(target, _)| target.cluster == *name).collect())
    }
}

/// What can be created where, now. Where pods can't be watched, none is created: their ends would go unnoticed.
pub fn states(controller: &Controller) -> States {
    let now = controller.clusters.now();
    let states = controller.clusters.states().into_iter();
    let sum_up = |(name, state): (ClusterName, health::State)| {
        let state = match state {
            health::State::Unavailable { reason, since } => ClusterState::Unavailable { reason, since },
            health::State::Ready => match controller.watched.problem(&name, now) {
                Some((reason, since)) => ClusterState::Unavailable { reason, since },
                None => ClusterState::Ready,
            },
        };
        (name, state)
    };
    let clusters: BTreeMap<ClusterName, ClusterState> = states.map(sum_up).collect();
    let problems = controller.watched.problems().into_iter();
    let targets = problems.filter(|(target, _)| clusters.get(&target.cluster) == Some(&ClusterState::Ready));
    let targets = targets.map(|(target, (reason, since))| (target, ClusterState::Unavailable { reason, since }));
    States { targets: targets.collect(), clusters }
}

/// Asks the cluster itself; `None`: it doesn't answer, so nothing is known.
async fn look_up(controller: &Controller, stored: &Stored, node_id: &str, key: &PodKey) -> Option<PodState> {
    let cluster = controller.clusters.get(&key.target.cluster)?;
    let api: Api<Pod> = Api::namespaced(cluster.client(), key.target.namespace.as_str());
    match cluster.call(api.get(&key.name)).await {
        Ok(mut pod) => {
            index::strip(&mut pod);
            let pod = Arc::new(pod);
            let state = claim(controller, &stored.workflow, node_id, pod.clone());
            if let PodState::Present(_) = &state
                && controller.watched.covers(&key.target)
            {
                // The watch will bring it too, but maybe later than the next pass.
                controller.pods.put_answer(&key.target.cluster, Pod::clone(&pod));
            }
            Some(state)
        }
        Err(CallError::Refused(status)) if status.code == 404 => Some(PodState::Gone),
        Err(error) => {
            tracing::warn!(
                workflow = controller.name_of(stored), node = node_id, cluster = %key.target.cluster,
                error = %error, "can't look up pod {}", key.name
            );
            None
        }
    }
}

/// Whether a pod is the one of this home, workflow and node: by UIDs and node ID, never by name.
pub fn claim(controller: &Controller, workflow: &Workflow, node_id: &str, pod: Arc<Pod>) -> PodState {
    let uid = workflow.metadata.uid.as_deref().unwrap_or_default();
    let is_of_home = label(&pod, LABEL_HOME_UID) == controller.home_uid;
    if is_of_home && label(&pod, LABEL_WORKFLOW_UID) == uid && annotation(&pod, ANNOTATION_NODE_ID) == node_id {
        return PodState::Present(pod);
    }
    let theirs = match label(&pod, LABEL_WORKFLOW_UID) {
        "" => "nothing of this kind".to_owned(),
        uid => format!(
            "workflow {}/{} (uid {uid}) of home cluster \"{}\" (uid {}), node {}",
            label(&pod, LABEL_HOME_NAMESPACE),
            label(&pod, LABEL_WORKFLOW),
            label(&pod, LABEL_HOME_CLUSTER),
            label(&pod, LABEL_HOME_UID),
            annotation(&pod, ANNOTATION_NODE_ID),
        ),
    };
    PodState::Foreign(format!(
        "pod \"{}\" exists already and belongs to {theirs}, not to workflow {}/{} (uid {uid}) of home cluster \"{}\" (uid {}), node {node_id}",
        pod.metadata.name.as_deref().unwrap_or_default(),
        workflow.metadata.namespace.as_deref().unwrap_or_default(),
        workflow.metadata.name.as_deref().unwrap_or_default(),
        controller.home(),
        controller.home_uid,
    ))
}

fn label<'a>(pod: &'a Pod, name: &str) -> &'a str {
    pod.metadata.labels.as_ref().and_then(|labels| labels.get(name)).map_or("", String::as_str)
}

fn annotation<'a>(pod: &'a Pod, name: &str) -> &'a str {
    pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(name)).map_or("", String::as_str)
}
