//! Ending a workflow early: `spec.shutdown`, which `argo stop` and `argo terminate` set on one that runs. Messages are
//! Argo's (v4.1.2, `workflow/controller/exec_control.go` and `workflowpod.go`). There are no exit handlers yet, so both
//! strategies do the same.

use crate::{
    api::{
        node::{NodePhase, NodeType},
        workflow::ShutdownStrategy,
    },
    engine::{nodes, observed::PodState, pass::Pass, plan::Action},
};

/// Ends every node with a pod, and the pods. Where a cluster doesn't answer, its pods are deleted when it is back.
pub fn end_pods(pass: &mut Pass<'_>) {
    let Some(strategy) = strategy(pass) else { return };
    let open: Vec<String> = pass
        .nodes
        .iter()
        .filter(|(_, node)| node.r#type == NodeType::Pod && !node.phase.is_fulfilled())
        .map(|(id, _)| id.clone())
        .collect();
    for id in open {
        match pass.pod_state(&id) {
            Some(PodState::Present(pod)) => {
                let uid = pod.metadata.uid.clone().unwrap_or_default();
                let key = pass.nodes.get(&id).and_then(|node| nodes::pod_of(pass.home(), pass.workflow, node));
                if let Some(key) = key {
                    pass.act(Action::DeletePod { target: key.target, name: key.name, uid });
                }
                pass.nodes.mark(&id, NodePhase::Failed, Some(message(strategy, "  ")));
            }
            // It never came to be, or is somebody else's: the call that wants it is refused below.
            Some(PodState::Gone | PodState::Foreign(_)) => (),
            None if is_out_of_sight(pass, &id) => {
                pass.nodes.mark(&id, NodePhase::Failed, Some(message(strategy, "  ")));
            }
            // A look-up that failed is made again.
            None => (),
        }
    }
}

/// Why no pod may be created any more, as the node says it.
pub fn refusal(pass: &Pass<'_>) -> Option<String> {
    strategy(pass).map(|strategy| message(strategy, " "))
}

/// The message of a workflow that did not succeed because it was ended early.
pub fn outcome(pass: &Pass<'_>) -> Option<String> {
    strategy(pass).map(|strategy| format!("Stopped with strategy '{strategy}'"))
}

/// Any other text than these two means nothing, as in Argo.
fn strategy<'a>(pass: &Pass<'a>) -> Option<&'a str> {
    match pass.workflow.spec.shutdown.as_ref()? {
        strategy @ (ShutdownStrategy::Terminate | ShutdownStrategy::Stop) => Some(strategy.as_str()),
        ShutdownStrategy::Other(_) => None,
    }
}

fn is_out_of_sight(pass: &Pass<'_>, id: &str) -> bool {
    let key = pass.nodes.get(id).and_then(|node| nodes::pod_of(pass.home(), pass.workflow, node));
    key.is_some_and(|key| !pass.is_ready(&key.target))
}

/// Argo has two spaces where there was a pod, and one where there was none.
fn message(strategy: &str, space: &str) -> String {
    format!("workflow shutdown with strategy:{space}{strategy}")
}
