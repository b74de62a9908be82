//! What must not stay behind: pods of workflows that are gone, ended early or were given up, and workflows whose time is
//! over. And what must: all that belongs to somebody else.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use landfall::api::workflow::Workflow;
use serde_json::{Value, json};

use crate::controller::{
    gate::Gate,
    world::{ROLES, World, node, one_pod, outcome},
};

/// A pod as the controller makes it, for a workflow and node.
fn pod(name: &str, home_uid: &str, workflow: &Workflow, node_id: &str) -> Value {
    json!({
        "metadata": {
            "name": name,
            "labels": {
                "landfall.dev/home-uid": home_uid,
                "landfall.dev/home-cluster": "default",
                "landfall.dev/home-namespace": workflow.namespace(),
                "landfall.dev/workflow-uid": workflow.uid(),
                "workflows.argoproj.io/workflow": workflow.name_any(),
            },
            "annotations": {"workflows.argoproj.io/node-id": node_id},
        },
        "spec": {"containers": [{"name": "main", "image": "busybox:1"}]},
    })
}

fn sleeper(name: &str, more: Value) -> Value {
    let mut workflow = one_pod(name, json!({"clusterName": "other"}));
    workflow["spec"].as_object_mut().expect("a spec").extend(more.as_object().expect("fields").clone());
    workflow
}

#[tokio::test]
async fn pods_that_nobody_wants_are_deleted_and_no_others() {
    let mut world = World::new(ROLES).await;
    let home_uid = world.home.uid().await;
    // One that has ended, one that still runs, and one that was deleted while nobody looked.
    let ended: Workflow = world.home.create("argo", one_pod("ended", json!({}))).await;
    let patch = json!({
        "metadata": {"labels": {"workflows.argoproj.io/completed": "true"}},
        "status": {"phase": "Error", "nodes": {"ended": {"id": "ended", "name": "ended", "type": "Pod", "phase": "Error"}}},
    });
    let api: Api<Workflow> = world.home.api("argo");
    api.patch("ended", &PatchParams::default(), &Patch::Merge(patch)).await.expect("it can be patched");
    let mut gone = ended.clone();
    gone.metadata.name = Some("gone".to_owned());
    gone.metadata.uid = Some("11111111-2222-3333-4444-555555555555".to_owned());
    let create = |name: &str, home: &str, workflow: &Workflow| {
        let pod = pod(name, home, workflow, "ended");
        let side = &world.other;
        async move { side.create::<Pod>("argo", pod).await }
    };
    create("of-gone", &home_uid, &gone).await;
    create("of-gone-finished", &home_uid, &gone).await;
    create("given-up", &home_uid, &ended).await;
    create("kept-for-its-log", &home_uid, &ended).await;
    create("of-another-home", "99999999-2222-3333-4444-555555555555", &gone).await;
    for name in ["of-gone-finished", "kept-for-its-log"] {
        world.other.end_pod(&world.other.api("argo").get(name).await.expect("it is there"), 0).await;
    }
    let spec = json!({"containers": [{"name": "main", "image": "busybox:1"}]});
    world.other.create::<Pod>("argo", json!({"metadata": {"name": "of-nobody"}, "spec": spec})).await;
    world.start();

    world.other.until_left::<Pod>("argo", &["kept-for-its-log", "of-another-home", "of-nobody"]).await;
    world.shutdown().await;
}

#[tokio::test]
async fn a_workflow_that_is_ended_early_takes_its_pods_elsewhere_with_it() {
    let mut world = World::new(ROLES).await;
    world.start();
    let workflow: Workflow = world.home.create("argo", sleeper("ended-early", json!({}))).await;
    let pod = world.other.pod("argo", |_| true).await;
    world.other.begin_pod(&pod).await;
    world
        .home
        .until(&workflow, |workflow: &Workflow| {
            !workflow.status.nodes.is_empty() && node(workflow, "ended-early") == "Running: "
        })
        .await;
    let api: Api<Workflow> = world.home.api("argo");
    let patch = Patch::Merge(json!({"spec": {"shutdown": "Terminate"}}));
    api.patch("ended-early", &PatchParams::default(), &patch).await.expect("it can be patched");
    let end = world.end_of(&workflow).await;
    assert_eq!(outcome(&end), "Failed: Stopped with strategy 'Terminate'");
    assert_eq!(node(&end, "ended-early"), "Failed: workflow shutdown with strategy:  Terminate");
    world.other.until_left::<Pod>("argo", &[]).await;
    world.shutdown().await;
}

#[tokio::test]
async fn a_workflow_that_is_ended_while_its_cluster_is_away_has_no_pods_when_it_is_back() {
    let mut world = World::new(ROLES).await;
    world.start();
    let workflow: Workflow = world.home.create("argo", sleeper("out-of-sight", json!({}))).await;
    let pod = world.other.pod("argo", |_| true).await;
    world.other.begin_pod(&pod).await;
    world
        .home
        .until(&workflow, |workflow: &Workflow| {
            !workflow.status.nodes.is_empty() && node(workflow, "out-of-sight") == "Running: "
        })
        .await;
    world.other.gate.send_replace(Gate::Closed);
    world.cluster_lost("other").await;
    let api: Api<Workflow> = world.home.api("argo");
    let patch = Patch::Merge(json!({"spec": {"shutdown": "Stop"}}));
    api.patch("out-of-sight", &PatchParams::default(), &patch).await.expect("it can be patched");
    assert_eq!(outcome(&world.end_of(&workflow).await), "Failed: Stopped with strategy 'Stop'");
    assert_eq!(world.other.pods("argo").await.len(), 1);
    world.other.gate.send_replace(Gate::Open);
    world.other.until_left::<Pod>("argo", &[]).await;
    world.shutdown().await;
}

#[tokio::test]
async fn a_workflow_goes_when_its_time_is_over_and_its_pods_elsewhere_with_it() {
    let mut world = World::new(ROLES).await;
    world.start();
    let brief = json!({"ttlStrategy": {"secondsAfterCompletion": 0}});
    let long = json!({"ttlStrategy": {"secondsAfterCompletion": 0, "secondsAfterSuccess": 3600}});
    for (name, more) in [("brief", brief), ("long", long)] {
        let workflow: Workflow = world.home.create("argo", sleeper(name, more)).await;
        let uid = workflow.uid().expect("a uid");
        let pod = world.other.pod("argo", |pod| pod.labels()["landfall.dev/workflow-uid"] == uid).await;
        world.other.end_pod(&pod, 0).await;
    }
    world.home.until_left::<Workflow>("argo", &["long"]).await;
    let left = world.other.pods("argo").await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].labels()["workflows.argoproj.io/workflow"], "long");
    world.shutdown().await;
}
