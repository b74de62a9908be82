//! `spec.shutdown`: what it does to nodes and pods at each stage.

use landfall::api::workflow::Workflow;
use serde_json::json;

use crate::support::world::World;

fn dag(shutdown: Option<&str>) -> World {
    let workflow: Workflow = serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "w", "namespace": "argo"},
        "spec": {"entrypoint": "main", "shutdown": shutdown, "templates": [
            {"name": "main", "dag": {"tasks": [
                {"name": "a", "template": "pod"},
                {"name": "b", "template": "pod", "dependencies": ["a"]},
            ]}},
            {"name": "pod", "container": {"image": "i", "command": ["c"]}},
        ]},
    }))
    .unwrap();
    World::new(workflow)
}

/// The outcome of one more pass: its actions, then the nodes and the workflow.
fn pass(world: &mut World) -> Vec<String> {
    let plan = world.pass();
    let mut lines: Vec<String> = plan.actions.iter().map(ToString::to_string).collect();
    let said = |message: &Option<String>| message.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    lines.extend(plan.status.nodes.values().map(|node| format!("{} {}{}", node.name, node.phase, said(&node.message))));
    lines.push(format!("{}{}", plan.status.phase, said(&plan.status.message)));
    lines
}

#[test]
fn a_pod_that_runs_is_deleted_and_its_node_failed() {
    for strategy in ["Stop", "Terminate"] {
        let mut world = dag(None);
        world.pass();
        let key = world.pods.keys().next().unwrap().clone();
        world.start(&key);
        world.pass();
        world.workflow.spec.shutdown = Some(strategy.to_owned().into());
        let uid = world.pods[&key].metadata.uid.clone().unwrap();
        let lines = pass(&mut world);
        let expected = [
            format!("delete pod {} ({uid}) in default/argo", key.name),
            "w Failed".to_owned(),
            format!("w.a Failed: workflow shutdown with strategy:  {strategy}"),
            "w.b Omitted: omitted: depends condition not met".to_owned(),
            format!("Failed: Stopped with strategy '{strategy}'"),
        ];
        assert_eq!(lines, expected);
    }
}

#[test]
fn nothing_is_created_any_more() {
    let mut world = dag(Some("Stop"));
    let lines = pass(&mut world);
    let expected = [
        "w Failed",
        "w.a Failed: workflow shutdown with strategy: Stop",
        "w.b Omitted: omitted: depends condition not met",
        "Failed: Stopped with strategy 'Stop'",
    ];
    assert_eq!(lines, expected);
    assert!(world.pods.is_empty());
}

#[test]
fn any_other_text_means_nothing() {
    let mut world = dag(Some("Halt"));
    world.pass();
    assert_eq!(world.pods.len(), 1);
}
