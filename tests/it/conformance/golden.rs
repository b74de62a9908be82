//! `golden/`: workflows with a status that some version of Argo recorded.

use std::{collections::BTreeMap, fs, path::Path};

use landfall::{
    api::{
        manifest,
        node::{NodePhase, NodeStatus},
        status::WorkflowStatus,
        workflow::Workflow,
    },
    engine::observed::PodKey,
};
use serde_json::{Value, json};

use crate::{
    conformance::{Outcome, case_name, files, folder, known, without_empties},
    support::world::{End, World},
};

#[test]
fn recorded_statuses_are_reached_and_kept() {
    let Some(folder) = folder("golden") else { return };
    let outcomes: BTreeMap<String, Outcome> =
        files(&folder.join("golden")).iter().map(|file| (case_name(file), run(file))).collect();
    known::report("golden", &outcomes);
}

fn run(file: &Path) -> Outcome {
    let mut case = manifest::parse(&fs::read_to_string(file).unwrap()).unwrap().remove(0).value;
    let workflow: Workflow = serde_json::from_value(case["workflow"].take()).map_err(|error| error.to_string())?;
    if workflow.status.phase.is_completed() { replay(workflow) } else { go_on(workflow) }
}

/// From the spec to the end: the same nodes.
fn replay(mut workflow: Workflow) -> Outcome {
    let recorded = std::mem::take(&mut workflow.status);
    let mut world = World::new(workflow);
    let nodes = recorded.nodes.clone();
    world.run(|world| next_end(world, &nodes).into_iter().collect())?;
    compare(&recorded, &world.workflow.status, &mut |node| {
        let mut children = node.children.clone();
        children.sort();
        json!({
            "name": node.name,
            "displayName": node.display_name,
            "type": node.r#type,
            "phase": node.phase,
            "boundaryID": node.boundary_id,
            "children": children,
        })
    })
}

/// The pod whose node ended first, with that end.
fn next_end(world: &World, nodes: &BTreeMap<String, NodeStatus>) -> Option<(PodKey, End)> {
    let running = world.running();
    let recorded = |key: &PodKey| nodes.get(&world.node_of(key));
    let first = running.iter().min_by_key(|key| recorded(key).and_then(|node| node.finished_at.clone()))?;
    let end = match recorded(first) {
        Some(node) => end_of(node),
        // A pod that Argo never made: it ends well, and the comparison tells.
        None => End::Exit(0),
    };
    Some((first.clone(), end))
}

/// How the pod of a recorded node ended.
pub fn end_of(node: &NodeStatus) -> End {
    let exit_code = node.outputs.as_ref().and_then(|it| it.exit_code.as_deref()).and_then(|it| it.parse().ok());
    match (node.phase, exit_code) {
        (NodePhase::Succeeded, _) => End::Exit(0),
        (_, Some(code)) if code != 0 => End::Exit(code),
        (_, _) if node.message.as_deref() == Some("pod deleted") => End::Deleted,
        (_, _) => End::Failed(node.message.clone().unwrap_or_default()),
    }
}

/// One pass over a workflow that runs: what its nodes are stays.
fn go_on(workflow: Workflow) -> Outcome {
    let before = workflow.status.clone();
    let mut world = World::new(workflow);
    world.pass();
    world.supported()?;
    let after = &world.workflow.status.nodes;
    for (id, node) in &before.nodes {
        let Some(now) = after.get(id) else { return Err(format!("node {} is gone", node.name)) };
        let same = now.id == node.id && now.name == node.name && now.r#type == node.r#type;
        let same_phase = !node.phase.is_fulfilled() || now.phase == node.phase;
        if !same || !same_phase {
            return Err(format!(
                "node {} {} {} became {} {} {}",
                node.name, node.r#type, node.phase, now.name, now.r#type, now.phase
            ));
        }
    }
    Ok(())
}

/// Compares phase and nodes; of each node what `shown` takes.
pub fn compare(
    expected: &WorkflowStatus,
    found: &WorkflowStatus,
    shown: &mut dyn FnMut(&NodeStatus) -> Value,
) -> Outcome {
    if expected.phase != found.phase {
        let message = found.message.as_deref().unwrap_or_default();
        return Err(format!("phase is {} ({message}) instead of {}", found.phase, expected.phase));
    }
    let mut differences = Vec::new();
    for (id, node) in &expected.nodes {
        let Some(other) = found.nodes.get(id) else {
            differences.push(format!("node {} is missing", node.name));
            continue;
        };
        let (mut expected, mut found) = (shown(node), shown(other));
        without_empties(&mut expected);
        without_empties(&mut found);
        if expected != found {
            differences.push(format!("node {} is {found} instead of {expected}", node.name));
        }
    }
    let more = found.nodes.iter().filter(|(id, _)| !expected.nodes.contains_key(*id));
    differences.extend(more.map(|(_, node)| format!("node {} is too many", node.name)));
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}
