//! The node of a pod: where it goes, whether it can go there now, and the pod to be created.

use crate::{
    api::{
        ids::{ClusterName, Namespace, Target},
        node::{NodePhase, NodeType},
        template::Template,
    },
    engine::{
        execute::{Call, Fault, new_node},
        nodes,
        observed::{ClusterState, PodState},
        pass::Pass,
        plan::{Action, CreatePod},
        shutdown,
    },
    pods::{self, Identity, name},
};

/// Progress of a pod that has not succeeded.
const PENDING_PROGRESS: &str = "0/1";

/// Whether the pod of an existing node is known not to be there although the node waits for it: it was never created,
/// because its cluster was down or the controller stopped between writing the status and creating the pod.
pub fn needs_pod(pass: &Pass<'_>, node_id: &str) -> bool {
    let Some(node) = pass.nodes.get(node_id) else { return false };
    if node.phase != NodePhase::Pending {
        return false;
    }
    match pass.pod_state(node_id) {
        Some(PodState::Gone) => true,
        Some(PodState::Present(_) | PodState::Foreign(_)) => false,
        // There may be one in a cluster that doesn't answer: `lost.rs` sees to that.
        None if node.pod_requested == Some(true) => false,
        // None was asked for, but the node must still say why it waits.
        None => nodes::pod_of(pass.home(), pass.workflow, node)
            .is_some_and(|key| !matches!(pass.observed.state_of(&key.target), Some(ClusterState::Ready))),
    }
}

/// The name that the pod of a call has or gets. `template` may hold variables that only the pod's name resolves.
///
/// # Errors
/// If the template names no valid target.
pub fn pod_name(pass: &Pass<'_>, call: &Call, template: &Template) -> Result<String, String> {
    if let Some(name) = pass.nodes.by_name(&call.node_name).and_then(|node| node.pod_name.clone()) {
        return Ok(name);
    }
    let target = target(pass, template)?;
    let workflow_name = pass.workflow_name();
    if !pods::is_beside_workflow(pass.home(), pass.workflow, &target) {
        let uid = pass.workflow.metadata.uid.as_deref().unwrap_or_default();
        let names = [workflow_name, call.template_name.as_str(), call.node_name.as_str()];
        return Ok(name::elsewhere(pass.home(), uid, names));
    }
    let has_long_id = pass.nodes.id_of(&call.node_name) != nodes::node_id(workflow_name, &call.node_name);
    let at_home = if has_long_id { name::at_home_long } else { name::at_home };
    Ok(at_home(workflow_name, &call.template_name, &call.node_name))
}

/// Makes the node and its pod, or goes on with a node whose pod is not there yet; gives the node's ID.
///
/// # Errors
/// If the template can't become a pod.
pub fn execute(pass: &mut Pass<'_>, call: &Call, template: &Template) -> Result<String, Fault> {
    let target = target(pass, template).map_err(Fault)?;
    let pod_name = pod_name(pass, call, template).map_err(Fault)?;
    let node_id = pass.nodes.id_of(&call.node_name);
    let identity = Identity {
        home: pass.home(),
        home_uid: &pass.observed.home_uid,
        workflow: pass.workflow,
        node_id: &node_id,
        node_name: &call.node_name,
        target: &target,
        pod_name: &pod_name,
    };
    let pod = Box::new(pods::build(identity, template).map_err(Fault)?);
    if pass.nodes.by_name(&call.node_name).is_none() {
        add_node(pass, call, template, &target, &pod_name);
    }
    if let Some(message) = shutdown::refusal(pass) {
        pass.nodes.mark(&node_id, NodePhase::Failed, Some(message));
        return Ok(node_id);
    }
    if let Some(message) = refused(pass, &node_id) {
        pass.nodes.mark(&node_id, NodePhase::Error, Some(message));
        return Ok(node_id);
    }
    match pass.observed.state_of(&target) {
        None => {
            let message = unknown_cluster(pass, &target.cluster);
            pass.nodes.mark(&node_id, NodePhase::Error, Some(message));
        }
        Some(ClusterState::Unavailable { reason, .. }) => {
            let message = format!("waiting for cluster \"{}\": {reason}", target.cluster);
            pass.nodes.mark(&node_id, NodePhase::Pending, Some(message));
        }
        Some(ClusterState::Ready) => {
            if let Some(why) = pass.observed.on_hold.as_ref().or_else(|| pass.observed.holds.get(&node_id)) {
                pass.nodes.mark(&node_id, NodePhase::Pending, Some(why.clone()));
                return Ok(node_id);
            }
            let is_elsewhere = target.cluster != *pass.home();
            if let Some(node) = pass.nodes.get_mut(&node_id) {
                node.message = None;
                node.pod_requested = is_elsewhere.then_some(true);
            }
            pass.act(Action::CreatePod(CreatePod {
                node_id: node_id.clone(),
                node_name: call.node_name.clone(),
                template: call.template_name.clone(),
                target,
                pod,
            }));
        }
    }
    Ok(node_id)
}

/// The durable intent: a node with target and pod name, written before the pod is created.
fn add_node(pass: &mut Pass<'_>, call: &Call, template: &Template, target: &Target, pod_name: &str) {
    let new = new_node(pass, call, NodeType::Pod, NodePhase::Pending);
    let id = pass.nodes.add(&call.node_name, new);
    let is_beside = pods::is_beside_workflow(pass.home(), pass.workflow, target);
    let has_own_name = pod_name != name::at_home(pass.workflow_name(), &call.template_name, &call.node_name);
    if !is_beside {
        pass.touch(target);
    }
    if let Some(node) = pass.nodes.get_mut(&id) {
        node.inputs = Some(template.inputs.clone()).filter(|inputs| *inputs != Default::default());
        node.progress = Some(PENDING_PROGRESS.to_owned());
        node.task_result_synced = Some(true);
        node.target = (!is_beside).then(|| target.clone());
        node.pod_name = has_own_name.then(|| pod_name.to_owned());
    }
}

/// Why the pod may never be created: policy denied it, or the target's API refused it.
fn refused(pass: &Pass<'_>, node_id: &str) -> Option<String> {
    if let Some(denial) = pass.observed.denials.get(node_id) {
        return Some(denial.to_string());
    }
    pass.observed.refusals.get(node_id).cloned()
}

/// Where a template's pod goes: what it names, else home and the workflow's namespace.
fn target(pass: &Pass<'_>, template: &Template) -> Result<Target, String> {
    let at = |field: &str| format!("templates.{}.{field}", template.name);
    let cluster = match template.cluster_name.as_deref() {
        Some(name) => name.parse().map_err(|error| format!("{}: {error}", at("clusterName")))?,
        None => pass.home().clone(),
    };
    let own_namespace = pass.workflow.metadata.namespace.as_deref().unwrap_or_default();
    let namespace = template.namespace.as_deref().unwrap_or(own_namespace);
    let namespace: Namespace = namespace.parse().map_err(|error| format!("{}: {error}", at("namespace")))?;
    Ok(Target { cluster, namespace })
}

fn unknown_cluster(pass: &Pass<'_>, cluster: &ClusterName) -> String {
    let known: Vec<&str> = pass.observed.clusters.keys().map(ClusterName::as_str).collect();
    format!("cluster \"{cluster}\" is not known; known clusters: {}", known.join(", "))
}
