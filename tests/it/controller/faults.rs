//! Crashes between two writes, and writes that others were quicker with.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, PostParams},
};
use landfall::api::workflow::Workflow;
use serde_json::json;

use crate::controller::{
    gate::Gate,
    world::{ROLES, World, one_pod, outcome},
};

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

#[tokio::test]
async fn a_look_up_that_fails_is_made_again() {
    let mut world = World::new(ROLES).await;
    world.start();
    let workflow: Workflow = world.home.create("argo", one_pod("lost", json!({}))).await;
    let pod = world.home.pod("argo", |_| true).await;
    world.home.begin_pod(&pod).await;
    world.home.gate.send_replace(Gate::RefusePods);
    let mut refused = world.home.lost.subscribe();
    world.home.api::<Pod>("argo").delete(&pod.name_any(), &DeleteParams::default()).await.unwrap();
    refused.wait_for(|refused| 0 < *refused).await.unwrap();
    // Nothing happens any more that could wake the workflow; and what is not known is not taken for gone.
    let seen: Workflow = world.home.api("argo").get("lost").await.unwrap();
    assert_eq!(seen.status.finished_at, None);
    world.home.gate.send_replace(Gate::Open);
    assert!(outcome(&world.end_of(&workflow).await).starts_with("Error: pod deleted"));
    world.shutdown().await;
}

#[tokio::test]
async fn a_conflict_over_nothing_new_is_not_hammered() {
    let mut world = World::new(ROLES).await;
    world.home.gate.send_replace(Gate::Contest);
    let mut refused = world.home.lost.subscribe();
    world.start();
    let contested: Workflow = world.home.create("argo", one_pod("contested", json!({}))).await;
    refused.wait_for(|refused| 0 < *refused).await.unwrap();
    for name in (0..30).map(|number| format!("other-{number}")) {
        let workflow: Workflow = world.home.create("argo", one_pod(&name, json!({}))).await;
        let pod = world.home.pod("argo", |pod| pod.name_any() == name).await;
        world.home.end_pod(&pod, 0).await;
        assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");
    }
    // With pauses that double, this many are two minutes; without any, some milliseconds.
    let refused = *world.home.lost.borrow();
    assert!(refused < 16, "{refused} writes");
    world.home.gate.send_replace(Gate::Open);
    let pod = world.home.pod("argo", |pod| pod.name_any() == "contested").await;
    world.home.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&contested).await), "Succeeded: ");
    world.shutdown().await;
}

#[tokio::test]
async fn a_status_that_cannot_be_read_is_left_alone() {
    let mut world = World::new(ROLES).await;
    world.start();
    let mut strange = one_pod("strange", json!({}));
    strange["apiVersion"] = json!("argoproj.io/v1alpha1");
    strange["kind"] = json!("Workflow");
    strange["status"] = json!({"phase": "Running", "nodes": {"strange": {"id": "strange", "phase": "Dreaming"}}});
    let api: Api<DynamicObject> =
        Api::namespaced_with(world.home.client(), "argo", &ApiResource::erase::<Workflow>(&()));
    let before = api.create(&PostParams::default(), &serde_json::from_value(strange).unwrap()).await.unwrap();
    let after: Workflow = world.home.create("argo", one_pod("after", json!({}))).await;
    let pod = world.home.pod("argo", |_| true).await;
    world.home.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&after).await), "Succeeded: ");
    assert_eq!(api.get("strange").await.unwrap(), before);
    assert_eq!(world.home.pods("argo").await.len(), 1);
    world.shutdown().await;
}
