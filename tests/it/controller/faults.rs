//! Crashes between two writes, and writes that others were quicker with.

use kube::ResourceExt;
use landfall::api::workflow::Workflow;
use serde_json::json;

use crate::controller::world::{Gate, ROLES, World, one_pod, outcome};

#[tokio::test]
async fn controller_killed_between_status_and_create_makes_one_pod() {
    let mut world = World::new(ROLES).await;
    world.home.gate.send_replace(Gate::LosePods);
    let mut lost = world.home.lost.subscribe();
    world.start();
    let workflow: Workflow = world.home.create("argo", one_pod("crashed", json!({}))).await;
    lost.wait_for(|lost| 0 < *lost).await.expect("the gate is there");
    // The intent is durable, and the pod is not there.
    let seen = world.home.api::<Workflow>("argo").get("crashed").await.expect("it is there");
    assert_eq!(seen.status.nodes.len(), 1);
    assert!(world.home.pods("argo").await.is_empty());
    world.kill().await;

    world.home.gate.send_replace(Gate::Open);
    world.start();
    let pod = world.home.pod("argo", |_| true).await;
    world.home.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");
    assert_eq!(world.home.pods("argo").await.len(), 1);
    world.shutdown().await;
}

#[tokio::test]
async fn stale_write_is_refused_and_made_again() {
    let mut world = World::new(ROLES).await;
    world.home.gate.send_replace(Gate::Meddle);
    world.start();
    let workflow: Workflow = world.home.create("argo", one_pod("meddled", json!({}))).await;
    let pod = world.home.pod("argo", |_| true).await;
    world.home.end_pod(&pod, 0).await;
    let ended = world.end_of(&workflow).await;
    assert_eq!(outcome(&ended), "Succeeded: ");
    assert_eq!(ended.labels()["meddled"], "yes");
    assert_eq!(world.home.pods("argo").await.len(), 1);
    world.shutdown().await;
}

#[tokio::test]
async fn outage_of_home_delays_and_loses_nothing() {
    let mut world = World::new(ROLES).await;
    world.start();
    let workflow: Workflow = world.home.create("argo", one_pod("patient", json!({}))).await;
    let pod = world.home.pod("argo", |_| true).await;
    world.home.gate.send_replace(Gate::Closed);
    world.cluster_lost("default").await;
    world.home.end_pod(&pod, 0).await;
    let created_meanwhile: Workflow = world.home.create("argo", one_pod("meanwhile", json!({}))).await;
    world.home.gate.send_replace(Gate::Open);
    assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");
    let pod = world.home.pod("argo", |pod| pod.name_any() == "meanwhile").await;
    world.home.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&created_meanwhile).await), "Succeeded: ");
    world.shutdown().await;
}
