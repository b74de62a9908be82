//! Pods elsewhere: whose they are, what happens while a cluster is away, and that they go with their workflow.

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use landfall::api::workflow::Workflow;
use serde_json::json;

use crate::controller::{
    gate::Gate,
    world::{ROLES, Side, World, node, one_pod, outcome},
};

#[tokio::test]
async fn workflow_waits_for_its_cluster_and_others_do_not() {
    let mut world = World::new(ROLES).await;
    world.other.gate.send_replace(Gate::Closed);
    world.start();
    let there = json!({"clusterName": "other"});
    let waits: Workflow = world.home.create("argo", one_pod("waits", there)).await;
    let says = |workflow: &Workflow| {
        !workflow.status.nodes.is_empty() && node(workflow, "waits").contains("refused by the gate")
    };
    let seen = world.home.until(&waits, says).await;
    assert!(node(&seen, "waits").starts_with("Pending: "), "{}", node(&seen, "waits"));

    let goes_on: Workflow = world.home.create("argo", one_pod("goes-on", json!({}))).await;
    let pod = world.home.pod("argo", |_| true).await;
    world.home.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&goes_on).await), "Succeeded: ");

    world.other.gate.send_replace(Gate::Open);
    let pod = world.other.pod("argo", |_| true).await;
    world.other.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&waits).await), "Succeeded: ");
    world.shutdown().await;
}

#[tokio::test]
async fn cluster_that_can_only_be_listed_is_of_no_use() {
    let mut world = World::new(ROLES).await;
    world.other.gate.send_replace(Gate::RefuseWatches);
    world.start();
    let waits: Workflow = world.home.create("argo", one_pod("waits", json!({"clusterName": "other"}))).await;
    let says = |workflow: &Workflow| {
        !workflow.status.nodes.is_empty() && node(workflow, "waits").contains("can't watch: forbidden by the gate")
    };
    world.home.until(&waits, says).await;
    assert!(world.other.pods("argo").await.is_empty());
    world.other.gate.send_replace(Gate::Open);
    let pod = world.other.pod("argo", |_| true).await;
    world.other.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&waits).await), "Succeeded: ");
    world.shutdown().await;
}

#[tokio::test]
async fn unknown_cluster_is_an_error_that_names_those_known() {
    let mut world = World::new(ROLES).await;
    world.start();
    let workflow = world.run_to_end("argo", one_pod("lost", json!({"clusterName": "atlantis"}))).await;
    let expected = "Error: cluster \"atlantis\" is not known; known clusters: default, other";
    assert_eq!(outcome(&workflow), expected);
    world.shutdown().await;
}

#[tokio::test]
async fn pod_in_another_namespace_wakes_its_workflow() {
    let mut world = World::new(ROLES).await;
    world.start();
    let workflow: Workflow = world.home.create("argo", one_pod("wide", json!({"namespace": "elsewhere"}))).await;
    let pod = world.home.pod("elsewhere", |_| true).await;
    assert!(pod.owner_references().is_empty());
    world.home.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");
    world.shutdown().await;
}

#[tokio::test]
async fn workflows_of_one_name_share_a_target() {
    let mut world = World::new(ROLES).await;
    world.start();
    let there = json!({"clusterName": "other", "namespace": "other-ns"});
    let one: Workflow = world.home.create("argo", one_pod("twin", there.clone())).await;
    let two: Workflow = world.home.create("elsewhere", one_pod("twin", there)).await;
    for (workflow, exit_code) in [(&one, 0), (&two, 1)] {
        let uid = workflow.uid().expect("a uid");
        let pod = world.other.pod("other-ns", |pod| pod.labels()["landfall.dev/workflow-uid"] == uid).await;
        world.other.end_pod(&pod, exit_code).await;
    }
    assert_eq!(outcome(&world.end_of(&one).await), "Succeeded: ");
    assert_eq!(outcome(&world.end_of(&two).await), "Failed: main: Error (exit code 1)");
    assert_eq!(world.other.pods("other-ns").await.len(), 2);
    world.shutdown().await;
}

#[tokio::test]
async fn foreign_pod_of_the_same_name_is_left_alone() {
    let mut world = World::new(ROLES).await;
    let spec = json!({"containers": [{"name": "main", "image": "theirs"}]});
    let theirs: Pod = world.home.create("argo", json!({"metadata": {"name": "taken"}, "spec": spec})).await;
    world.start();
    let workflow = world.run_to_end("argo", one_pod("taken", json!({}))).await;
    let text = outcome(&workflow);
    assert!(text.starts_with("Error: pod \"taken\" exists already and belongs to nothing of this kind"), "{text}");
    assert!(text.contains(&workflow.uid().expect("a uid")), "{text}");
    let still = world.home.api::<Pod>("argo").get("taken").await.expect("it is there");
    assert_eq!(still.uid(), theirs.uid());
    world.shutdown().await;
}

#[tokio::test]
async fn deleting_a_workflow_deletes_its_pods_elsewhere() {
    let mut world = World::new(ROLES).await;
    world.start();
    let there = json!({"clusterName": "other"});
    let keeps: Workflow = world.home.create("argo", one_pod("keeps", there.clone())).await;
    let goes: Workflow = world.home.create("argo", one_pod("goes", there)).await;
    for workflow in [&keeps, &goes] {
        let uid = workflow.uid().expect("a uid");
        world.other.pod("argo", |pod| pod.labels()["landfall.dev/workflow-uid"] == uid).await;
    }
    // Somebody else's finalizer has to stay.
    let api: Api<Workflow> = world.home.api("argo");
    let mut object = api.get("goes").await.expect("it is there");
    object.finalizers_mut().push("example.org/mine".to_owned());
    api.replace("goes", &PostParams::default(), &object).await.expect("nobody else writes now");

    world.other.gate.send_replace(Gate::Closed);
    api.delete("goes", &DeleteParams::default()).await.expect("it is deleted");
    let says =
        |workflow: &Workflow| workflow.status.message.as_deref().is_some_and(|text| text.starts_with("deletion waits"));
    world.home.until(&goes, says).await;
    assert_eq!(world.other.pods("argo").await.len(), 2);

    world.other.gate.send_replace(Gate::Open);
    let released = world.home.until(&goes, |workflow| workflow.finalizers().len() == 1).await;
    assert_eq!(released.finalizers(), ["example.org/mine"]);
    let left: Vec<_> =
        world.other.pods("argo").await.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].labels()["landfall.dev/workflow-uid"], keeps.uid().expect("a uid"));
    world.shutdown().await;
}

#[tokio::test]
async fn cluster_that_was_away_tells_what_was_missed() {
    let mut world = World::new(ROLES).await;
    world.start();
    let there = json!({"clusterName": "other"});
    let ends: Workflow = world.home.create("argo", one_pod("ends", there.clone())).await;
    let robbed: Workflow = world.home.create("argo", one_pod("robbed", there)).await;
    let of = |workflow: &Workflow| {
        let uid = workflow.uid().expect("a uid");
        move |pod: &Pod| pod.labels()["landfall.dev/workflow-uid"] == uid
    };
    let (to_end, to_delete) = (world.other.pod("argo", of(&ends)).await, world.other.pod("argo", of(&robbed)).await);
    for (workflow, pod) in [(&ends, &to_end), (&robbed, &to_delete)] {
        world.other.begin_pod(pod).await;
        let runs = |workflow: &Workflow| workflow.status.nodes.values().any(|node| node.phase.as_str() == "Running");
        world.home.until(workflow, runs).await;
    }

    world.other.gate.send_replace(Gate::Closed);
    world.cluster_lost("other").await;
    world.other.end_pod(&to_end, 0).await;
    let pods: Api<Pod> = world.other.api("argo");
    pods.delete(&to_delete.name_any(), &DeleteParams::default().grace_period(0)).await.expect("it is deleted");
    world.other.gate.send_replace(Gate::Open);
    assert_eq!(outcome(&world.end_of(&ends).await), "Succeeded: ");
    assert_eq!(outcome(&world.end_of(&robbed).await), "Error: pod deleted");
    world.shutdown().await;
}

#[tokio::test]
async fn nothing_is_decided_before_the_secret_is_read() {
    let mut world = World::new(ROLES).await;
    world.home.gate.send_replace(Gate::RefuseSecrets);
    let mut refused = world.home.lost.subscribe();
    let workflow: Workflow = world.home.create("argo", one_pod("early", json!({"clusterName": "third"}))).await;
    world.start();
    refused.wait_for(|refused| 1 < *refused).await.expect("the gate is there");
    let third = Side::new("third");
    let listening = third.server.listen("127.0.0.1:0".parse().expect("an address")).await.expect("a port");
    let config = json!({"Host": format!("http://{}", listening.address()), "BearerToken": third.server.token()});
    let data = json!({"third": STANDARD.encode(config.to_string())});
    let _: Secret = world.home.create("argo", json!({"metadata": {"name": "clusters"}, "data": data})).await;
    world.home.gate.send_replace(Gate::Open);
    let pod = third.pod("argo", |_| true).await;
    third.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");
    world.shutdown().await;
}

#[tokio::test]
async fn secret_adds_and_removes_a_cluster_while_running() {
    let mut world = World::new(ROLES).await;
    world.start();
    let third = Side::new("third");
    let listening = third.server.listen("127.0.0.1:0".parse().expect("an address")).await.expect("a port");
    let config = json!({"Host": format!("http://{}", listening.address()), "BearerToken": third.server.token()});
    let secret = json!({"metadata": {"name": "clusters"}, "data": {
        "third": STANDARD.encode(config.to_string()), "broken": STANDARD.encode("{}"),
    }});
    let created: Secret = world.home.create("argo", secret).await;

    let lost = one_pod("lost", json!({"clusterName": "broken"}));
    let lost: Workflow = world.home.create("argo", lost).await;
    let fixed = json!({"data": {"broken": null}});
    let secrets: Api<Secret> = world.home.api("argo");
    secrets.patch(&created.name_any(), &PatchParams::default(), &Patch::Merge(fixed)).await.expect("it is there");
    world.clusters_ready(&["default", "other", "third"]).await;
    let text = outcome(&world.end_of(&lost).await);
    assert!(text.starts_with("Error: cluster \"broken\" is not known"), "{text}");

    let workflow: Workflow = world.home.create("argo", one_pod("new", json!({"clusterName": "third"}))).await;
    let pod = third.pod("argo", |_| true).await;
    // Another connection to the same cluster: the pod is found again through it.
    let moved = json!({"Host": format!("http://{}/", listening.address()), "BearerToken": third.server.token()});
    let moved = json!({"data": {"third": STANDARD.encode(moved.to_string())}});
    let mut versions = world.clusters.as_ref().expect("a controller runs").subscribe();
    secrets.patch(&created.name_any(), &PatchParams::default(), &Patch::Merge(moved)).await.expect("it is there");
    versions.changed().await.expect("clusters go on");
    third.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");

    secrets.delete("clusters", &DeleteParams::default()).await.expect("it is there");
    world.clusters_ready(&["default", "other"]).await;
    world.shutdown().await;
}
