//! Steps: groups in order, the steps of a group in parallel.

use crate::{
    api::{
        node::{NodeFlag, NodePhase, NodeType},
        steps::{ContinueOn, ParallelSteps, WorkflowStep},
    },
    engine::{
        execute::{self, Call, Fault, Frame},
        inputs,
        nodes::NewNode,
        pass::Pass,
        scope,
    },
    expr::Variables,
};

/// Goes on with a steps node: through its groups until one is not done. A group that couldn't be carried out ends the
/// node as Failed.
pub fn execute(pass: &mut Pass<'_>, frame: &Frame<'_>) {
    let mut variables = Variables::new();
    let mut previous: Option<String> = None;
    for (index, group) in frame.template.steps.iter().enumerate() {
        let name = format!("{}[{index}]", frame.call.node_name);
        let group_id = start_group(pass, frame, &name, previous.as_deref());
        execute_group(pass, frame, &group_id, group, &variables);
        let Some(node) = pass.nodes.get(&group_id) else { return };
        if !node.is_fulfilled() {
            return;
        }
        if node.phase.is_failed_or_error() {
            let message = node.message.clone();
            finish(pass, frame, NodePhase::Failed, message);
            return;
        }
        for step in &group.0 {
            let child_name = format!("{name}.{}", step.name);
            if let Some(child) = pass.nodes.by_name(&child_name) {
                scope::add_node(&mut variables, &format!("steps.{}", step.name), child);
            }
        }
        previous = Some(group_id);
    }
    finish(pass, frame, NodePhase::Succeeded, None);
}

/// The node of a group. The first hangs on the steps node, each other on the leaves of the group before it.
fn start_group(pass: &mut Pass<'_>, frame: &Frame<'_>, name: &str, previous: Option<&str>) -> String {
    let id = match pass.nodes.by_name(name) {
        Some(node) => node.id.clone(),
        None => {
            let new = NewNode {
                node_type: NodeType::StepGroup,
                phase: NodePhase::Running,
                boundary_id: Some(frame.node_id.clone()),
                template_scope: execute::template_scope(pass),
                flag: Some(NodeFlag::default()),
                ..NewNode::default()
            };
            pass.nodes.add(name, new)
        }
    };
    for parent in parents(pass, frame, previous) {
        pass.nodes.link(&parent, &id);
    }
    id
}

fn parents(pass: &Pass<'_>, frame: &Frame<'_>, previous: Option<&str>) -> Vec<String> {
    let Some(previous) = previous else { return vec![frame.node_id.clone()] };
    let children = pass.nodes.get(previous).map(|node| node.children.clone()).unwrap_or_default();
    if children.is_empty() {
        return vec![previous.to_owned()];
    }
    children.iter().flat_map(|child| pass.nodes.outbound(child)).collect()
}

/// Calls every step of a group, then looks whether the group has ended.
fn execute_group(pass: &mut Pass<'_>, frame: &Frame<'_>, group_id: &str, group: &ParallelSteps, variables: &Variables) {
    let Some(group_node) = pass.nodes.get(group_id) else { return };
    if group_node.is_fulfilled() {
        return;
    }
    let group_name = group_node.name.clone();
    for step in &group.0 {
        let child_name = format!("{group_name}.{}", step.name);
        let called = call(frame, step, child_name.clone(), variables).and_then(|call| execute::execute(pass, &call));
        let child_id = pass.nodes.id_of(&child_name);
        if pass.nodes.by_name(&child_name).is_some() {
            pass.nodes.link(group_id, &child_id);
        }
        if let Err(Fault(fault)) = called {
            let message = format!("step group deemed errored due to child {child_name} error: {fault}");
            pass.nodes.mark(group_id, NodePhase::Error, Some(message));
            return;
        }
    }
    end_group(pass, group_id, &group_name, group);
}

fn call(frame: &Frame<'_>, step: &WorkflowStep, node_name: String, variables: &Variables) -> Result<Call, Fault> {
    let lookup = |name: &str| variables.get(name).map(String::as_str);
    let locals = Variables::from([("steps.name".to_owned(), step.name.clone())]);
    Ok(Call {
        node_name,
        template_name: step.template.clone().unwrap_or_default(),
        arguments: inputs::substitute(&step.arguments, &lookup).map_err(Fault)?,
        locals,
        boundary_id: Some(frame.node_id.clone()),
        depth: frame.call.depth + 1,
    })
}

/// A group ends when all of its children have, and fails with the first of them that failed.
fn end_group(pass: &mut Pass<'_>, group_id: &str, group_name: &str, group: &ParallelSteps) {
    let mut failed = None;
    for step in &group.0 {
        let Some(child) = pass.nodes.by_name(&format!("{group_name}.{}", step.name)) else { return };
        if !child.is_fulfilled() {
            return;
        }
        let stops = child.phase.is_failed_or_error() && !continues_on(step.continue_on.as_ref(), child.phase);
        if failed.is_none() && stops {
            failed = Some(child.id.clone());
        }
    }
    match failed {
        Some(child) => {
            pass.nodes.mark(group_id, NodePhase::Failed, Some(format!("child '{child}' failed")));
        }
        None => pass.nodes.mark(group_id, NodePhase::Succeeded, None),
    }
}

/// Whether a `continueOn` lets what comes after go on despite this phase.
pub fn continues_on(continue_on: Option<&ContinueOn>, phase: NodePhase) -> bool {
    let Some(continue_on) = continue_on else { return false };
    match phase {
        NodePhase::Error => continue_on.error == Some(true),
        NodePhase::Failed => continue_on.failed == Some(true),
        NodePhase::Pending | NodePhase::Running | NodePhase::Succeeded | NodePhase::Skipped | NodePhase::Omitted => {
            false
        }
    }
}

/// Ends the steps node; what comes after it hangs on the leaves of its last group.
fn finish(pass: &mut Pass<'_>, frame: &Frame<'_>, phase: NodePhase, message: Option<String>) {
    let last = (0..frame.template.steps.len())
        .rev()
        .find_map(|index| pass.nodes.by_name(&format!("{}[{index}]", frame.call.node_name)));
    let children = last.map(|group| group.children.clone()).unwrap_or_default();
    let outbound = children.iter().flat_map(|child| pass.nodes.outbound(child)).collect();
    if let Some(node) = pass.nodes.get_mut(&frame.node_id) {
        node.outbound_nodes = outbound;
    }
    pass.nodes.mark(&frame.node_id, phase, message);
}
