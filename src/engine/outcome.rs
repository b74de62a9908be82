//! What pods say becomes what nodes are. Phases and messages are Argo's (v4.1.2, `workflow/controller/operator.go`,
//! `assessNodeStatus` and `inferFailedReason`).

use k8s_openapi::{
    api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod},
    apimachinery::pkg::apis::meta::v1::Time,
};

use crate::{
    api::{
        contract,
        node::{NodePhase, NodeStatus, NodeType},
    },
    engine::{lost, observed::PodState, pass::Pass},
};

/// Message of a node whose pod went away.
const POD_DELETED: &str = "pod deleted";

/// Takes over into the nodes what the pods of unfinished nodes say.
pub fn take_over(pass: &mut Pass<'_>) {
    let open: Vec<String> = pass
        .nodes
        .iter()
        .filter(|(_, node)| node.r#type == NodeType::Pod && !node.phase.is_fulfilled())
        .map(|(id, _)| id.clone())
        .collect();
    for id in open {
        match pass.pod_state(&id) {
            Some(PodState::Present(pod)) => assess(pass, &id, pod),
            Some(PodState::Gone) => pod_gone(pass, &id),
            Some(PodState::Foreign(owners)) => pass.nodes.mark(&id, NodePhase::Error, Some(owners.clone())),
            None => lost::assess(pass, &id),
        }
    }
}

/// A pod that was seen running and is gone takes its node with it. One that never was is created again.
fn pod_gone(pass: &mut Pass<'_>, id: &str) {
    if pass.nodes.get(id).is_some_and(|node| node.phase == NodePhase::Running) {
        pass.nodes.mark(id, NodePhase::Error, Some(POD_DELETED.to_owned()));
    }
    if let Some(node) = pass.nodes.get_mut(id) {
        node.lost_since = None;
    }
}

fn assess(pass: &mut Pass<'_>, id: &str, pod: &Pod) {
    let (phase, message) = phase_of(pod);
    let Some(node) = pass.nodes.get_mut(id) else { return };
    node.message = None;
    node.lost_since = None;
    let host = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    if host.is_some() {
        node.host_node_name = host;
    }
    if phase.is_fulfilled() {
        take_over_results(node, pod, phase);
    }
    pass.nodes.mark(id, phase, message);
}

fn take_over_results(node: &mut NodeStatus, pod: &Pod, phase: NodePhase) {
    let statuses = container_statuses(pod);
    let main = statuses.iter().find(|status| status.name == contract::CONTAINER_MAIN);
    if let Some(ended) = main.and_then(|status| terminated(status)) {
        node.outputs.get_or_insert_default().exit_code = Some(ended.exit_code.to_string());
    }
    node.finished_at = statuses
        .iter()
        .filter_map(|status| terminated(status)?.finished_at.as_ref())
        .map(|time| time.0)
        .max()
        .map(Time);
    if phase == NodePhase::Succeeded {
        node.progress = Some("1/1".to_owned());
    }
}

/// The node's phase and message.
fn phase_of(pod: &Pod) -> (NodePhase, Option<String>) {
    let pod_phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    match pod_phase {
        "Pending" => (NodePhase::Pending, pending_reason(pod)),
        "Running" => (NodePhase::Running, None),
        "Succeeded" => (NodePhase::Succeeded, None),
        "Failed" => failed_reason(pod),
        other => {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            (NodePhase::Error, Some(format!("Unexpected pod phase for {name}: {other}")))
        }
    }
}

/// Why a pod has not started: what a container waits for, or that no node takes it.
fn pending_reason(pod: &Pod) -> Option<String> {
    let waiting = container_statuses(pod).into_iter().find_map(|status| {
        let waiting = status.state.as_ref()?.waiting.as_ref()?;
        joined(waiting.reason.as_deref()?, waiting.message.as_deref())
    });
    waiting.or_else(|| {
        let conditions = pod.status.as_ref()?.conditions.as_ref()?;
        let unschedulable = conditions.iter().find(|it| it.reason.as_deref() == Some("Unschedulable"))?;
        joined("Unschedulable", unschedulable.message.as_deref())
    })
}

fn joined(reason: &str, message: Option<&str>) -> Option<String> {
    match message.filter(|message| !message.is_empty()) {
        Some(message) => Some(format!("{reason}: {message}")),
        None => Some(reason.to_owned()),
    }
}

/// Why a pod failed: the pod's own message, else the first container that did, init containers first and main before others.
fn failed_reason(pod: &Pod) -> (NodePhase, Option<String>) {
    let own = pod.status.as_ref().and_then(|status| status.message.clone());
    if let Some(message) = own.filter(|message| !message.is_empty()) {
        return (NodePhase::Failed, Some(message));
    }
    let statuses = container_statuses(pod);
    if statuses.is_empty() {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        return (NodePhase::Failed, Some(format!("can't find failed message for pod {name} namespace {namespace}")));
    }
    let init_count = pod.status.as_ref().and_then(|it| it.init_container_statuses.as_ref()).map_or(0, Vec::len);
    let (init, rest) = statuses.split_at(init_count.min(statuses.len()));
    let main = rest.iter().filter(|status| status.name == contract::CONTAINER_MAIN);
    let others = rest.iter().filter(|status| status.name != contract::CONTAINER_MAIN);
    let ranked = init.iter().map(|status| (*status, NodePhase::Error));
    let ranked = ranked.chain(main.chain(others).map(|status| (*status, NodePhase::Failed)));
    for (status, phase) in ranked {
        if let Some(found) = container_failure(status, phase) {
            return found;
        }
    }
    (NodePhase::Failed, Some("pod failed: main container did not complete successfully".to_owned()))
}

fn container_failure(status: &ContainerStatus, phase: NodePhase) -> Option<(NodePhase, Option<String>)> {
    let name = &status.name;
    if let Some(waiting) = status.state.as_ref().and_then(|state| state.waiting.as_ref()) {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let message = waiting.message.as_deref().unwrap_or_default();
        let text = format!("Pod failed before {name} container starts due to {reason}: {message}");
        return Some((NodePhase::Error, Some(text)));
    }
    let ended = terminated(status)?;
    if ended.exit_code == 0 {
        return None;
    }
    let reason = ended.reason.as_deref().unwrap_or_default();
    let mut text = format!("{name}: {reason} (exit code {})", ended.exit_code);
    if let Some(message) = ended.message.as_deref().filter(|message| !message.is_empty()) {
        text.push_str(&format!(": {message}"));
    }
    Some((phase, Some(text)))
}

/// Init containers first, as they run.
fn container_statuses(pod: &Pod) -> Vec<&ContainerStatus> {
    let Some(status) = &pod.status else { return Vec::new() };
    let init = status.init_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten()).collect()
}

fn terminated(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    status.state.as_ref()?.terminated.as_ref()
}
