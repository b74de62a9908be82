//! Whether the workflow has ended, and as what: the root node's phase and message are the workflow's.

use crate::{
    api::{node::NodePhase, status::WorkflowPhase},
    engine::{execute::Fault, pass::Pass, shutdown},
};

/// Message of a root node that still ran when the workflow became an Error.
const OPERATION_ERROR: &str = "Workflow operation error";

/// Ends the workflow if its entrypoint has come to an end.
pub fn assess(pass: &mut Pass<'_>, entry: Result<String, Fault>) {
    let root_id = match entry {
        Ok(id) => id,
        Err(Fault(fault)) => {
            let root = pass.nodes.by_name(pass.workflow_name()).map(|node| (node.id.clone(), node.is_fulfilled()));
            if let Some((id, false)) = root {
                pass.nodes.mark(&id, NodePhase::Error, Some(OPERATION_ERROR.to_owned()));
            }
            pass.end(WorkflowPhase::Error, Some(format!("error in entry template execution: {fault}")));
            return;
        }
    };
    let Some(root) = pass.nodes.get(&root_id) else { return };
    if !root.is_fulfilled() {
        return;
    }
    let message = root.message.clone();
    match root.phase {
        NodePhase::Succeeded | NodePhase::Skipped | NodePhase::Omitted => pass.end(WorkflowPhase::Succeeded, None),
        NodePhase::Failed => pass.end(WorkflowPhase::Failed, shutdown::outcome(pass).or(message)),
        NodePhase::Error => pass.end(WorkflowPhase::Error, shutdown::outcome(pass).or(message)),
        NodePhase::Pending | NodePhase::Running => (),
    }
}
