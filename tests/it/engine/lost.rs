//! A cluster that doesn't answer while pods run there: when its nodes say so, when they are given up, and what is left if
//! it comes back before or after that.

use jiff::SignedDuration;
use landfall::{
    api::{node::NodeStatus, workflow::Workflow},
    engine::plan::Action,
};
use serde_json::json;

use crate::support::world::{End, World};

/// A workflow of one pod in cluster `other`.
fn new() -> World {
    let workflow: Workflow = serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "w", "namespace": "argo"},
        "spec": {"entrypoint": "main", "templates": [
            {"name": "main", "clusterName": "other", "container": {"image": "i", "command": ["c"]}},
        ]},
    }))
    .unwrap();
    World::new(workflow)
}

/// One whose pod has been created.
fn created() -> World {
    let mut world = new();
    world.find("other");
    world.pass();
    assert_eq!(line(&world), "Pending");
    world
}

/// One whose pod runs.
fn running() -> World {
    let mut world = created();
    let pod = world.pods.keys().next().unwrap().clone();
    world.start(&pod);
    world.pass();
    assert_eq!(line(&world), "Running");
    world
}

fn node(world: &World) -> &NodeStatus {
    &world.workflow.status.nodes["w"]
}

/// Phase and message of the node.
fn line(world: &World) -> String {
    let node = node(world);
    let message = node.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    format!("{}{message}", node.phase)
}

fn pass_after(world: &mut World, seconds: i64) -> Vec<Action> {
    world.advance(SignedDuration::from_secs(seconds));
    world.pass().actions
}

const AWAY: &str = "Running: cluster \"other\" has not answered since 2027-01-01T00:00:00Z; the last known state is kept until 2027-01-01T00:10:00Z";

#[test]
fn a_short_absence_is_not_worth_a_word() {
    let mut world = running();
    world.lose("other", "connection refused");
    pass_after(&mut world, 0);
    assert_eq!(line(&world), "Running");
    assert_eq!(world.wake_at().unwrap().to_string(), "2027-01-01T00:00:30Z");
    world.find("other");
    pass_after(&mut world, 5);
    assert_eq!((line(&world).as_str(), world.wake_at()), ("Running", None));
}

#[test]
fn a_longer_one_is_told_once_and_over_when_the_cluster_is_back() {
    let mut world = running();
    world.lose("other", "connection refused");
    pass_after(&mut world, 30);
    assert_eq!(line(&world), AWAY);
    assert_eq!(world.wake_at().unwrap().to_string(), "2027-01-01T00:10:00Z");
    // Another reason, and a controller that was started anew: nothing to write.
    world.lose("other", "no answer within 5 s");
    let before = world.workflow.status.clone();
    pass_after(&mut world, 100);
    assert_eq!(world.workflow.status, before);
    world.find("other");
    pass_after(&mut world, 1);
    assert_eq!(line(&world), "Running");
    assert_eq!(node(&world).lost_since, None);
    let pod = world.running()[0].clone();
    world.end(&pod, &End::Exit(0));
    pass_after(&mut world, 1);
    assert_eq!(world.workflow.status.phase.to_string(), "Succeeded");
}

#[test]
fn after_the_timeout_the_node_is_an_error_of_its_own_kind() {
    let mut world = running();
    world.lose("other", "connection refused");
    pass_after(&mut world, 30);
    pass_after(&mut world, 569);
    assert_eq!(line(&world), AWAY);
    let actions = pass_after(&mut world, 1);
    assert!(actions.is_empty(), "{actions:?}");
    let pod = world.pods.keys().next().unwrap().name.clone();
    assert_eq!(
        line(&world),
        format!(
            "Error: cluster-lost: cluster \"other\" has not answered since 2027-01-01T00:00:00Z, which is longer than \
             clusterLostTimeout (10m); should pod {pod} still run there, it is deleted once the cluster is back"
        )
    );
    assert_eq!(world.workflow.status.phase.to_string(), "Error");
}

#[test]
fn a_pod_that_is_gone_when_the_cluster_is_back_was_deleted() {
    let mut world = running();
    world.lose("other", "connection refused");
    pass_after(&mut world, 30);
    let pod = world.running()[0].clone();
    world.end(&pod, &End::Deleted);
    world.find("other");
    pass_after(&mut world, 1);
    assert_eq!(line(&world), "Error: pod deleted");
}

#[test]
fn a_cluster_that_is_taken_out_of_the_configuration_is_lost_as_well() {
    let mut world = running();
    world.clusters.remove(&"other".parse().unwrap());
    pass_after(&mut world, 0);
    assert_eq!(line(&world), AWAY.replace("has not answered", "has not been configured any more"));
    pass_after(&mut world, 600);
    assert!(
        line(&world).starts_with("Error: cluster-lost: cluster \"other\" has not been configured"),
        "{}",
        line(&world)
    );
}

#[test]
fn a_pod_that_was_asked_for_may_be_there_and_one_that_was_not_is_not() {
    let mut world = created();
    world.lose("other", "connection refused");
    pass_after(&mut world, 30);
    assert_eq!(line(&world), AWAY.replace("Running", "Pending"));
    world.clusters.remove(&"other".parse().unwrap());
    assert!(pass_after(&mut world, 1).is_empty());
    assert_eq!(line(&world), AWAY.replace("Running", "Pending"));
    world.find("other");
    pass_after(&mut world, 1);
    assert_eq!(line(&world), "Pending");

    let mut world = new();
    world.lose("other", "connection refused");
    pass_after(&mut world, 0);
    assert_eq!(line(&world), "Pending: waiting for cluster \"other\": connection refused");
    world.clusters.remove(&"other".parse().unwrap());
    pass_after(&mut world, 1);
    assert_eq!(line(&world), "Error: cluster \"other\" is not known; known clusters: default");
}

#[test]
fn shutdown_does_not_wait_for_a_lost_cluster() {
    let mut world = running();
    world.lose("other", "connection refused");
    world.workflow.spec.shutdown = Some("Terminate".to_owned().into());
    let actions = pass_after(&mut world, 1);
    assert!(actions.is_empty(), "{actions:?}");
    assert_eq!(line(&world), "Failed: workflow shutdown with strategy:  Terminate");
    assert_eq!(world.workflow.status.message.as_deref(), Some("Stopped with strategy 'Terminate'"));
}
