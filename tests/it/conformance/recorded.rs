//! `recorded/`: generated workflows and the status that Argo left. Pods end as their words say.

use std::{collections::BTreeMap, fs, path::Path};

use k8s_openapi::api::core::v1::Pod;
use landfall::api::{status::WorkflowStatus, workflow::Workflow};
use serde_json::json;

use crate::{
    conformance::{Outcome, case_name, files, folder, golden, known},
    support::world::{End, World},
};

/// What the kubelet says of a pod that it evicted.
const EVICTED: &str = "The node was low on resource: memory.";

#[test]
fn recorded_workflows_end_as_with_argo() {
    let Some(folder) = folder("recorded") else { return };
    let outcomes: BTreeMap<String, Outcome> =
        files(&folder.join("recorded")).iter().map(|file| (case_name(file), run(file))).collect();
    known::report("recorded", &outcomes);
}

fn run(file: &Path) -> Outcome {
    let mut workflow: Workflow =
        serde_json::from_str(&fs::read_to_string(file).unwrap()).map_err(|it| it.to_string())?;
    let recorded: WorkflowStatus = std::mem::take(&mut workflow.status);
    let mut world = World::new(workflow);
    world.run(|world| {
        let running = world.running();
        let ends = running.iter().map(|key| {
            words(&world.pods[key])
                .or_else(|| recorded.nodes.get(&world.node_of(key)).map(golden::end_of))
                .unwrap_or(End::Exit(0))
        });
        running.iter().cloned().zip(ends).collect()
    })?;
    if recorded.message != world.workflow.status.message {
        return Err(format!("message is {:?} instead of {:?}", world.workflow.status.message, recorded.message));
    }
    golden::compare(&recorded, &world.workflow.status, &mut |node| {
        json!({
            "name": node.name,
            "type": node.r#type,
            "phase": node.phase,
            "message": node.message,
            "children": node.children,
            "boundaryID": node.boundary_id,
            "inputs": node.inputs,
            "outputs": node.outputs,
            "nodeFlag": node.node_flag,
        })
    })
}

/// The end that a pod's arguments ask for, pairwise: `exit N`, `do evict`, `do delete`; without one it ends well.
fn words(pod: &Pod) -> Option<End> {
    let container = pod.spec.as_ref()?.containers.first()?;
    let arguments = container.args.as_ref()?;
    let mut end = End::Exit(0);
    for pair in arguments.chunks(2) {
        match pair {
            [verb, code] if verb == "exit" => end = End::Exit(code.parse().ok()?),
            [verb, what] if verb == "do" && what == "evict" => end = End::Failed(EVICTED.to_owned()),
            [verb, what] if verb == "do" && what == "delete" => end = End::Deleted,
            _ => (),
        }
    }
    Some(end)
}
