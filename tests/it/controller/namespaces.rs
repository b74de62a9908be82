//! Clusters that pods may be in some namespaces of: what is watched there, what is refused, and that it can change.

use k8s_openapi::api::core::v1::Secret;
use landfall::api::workflow::Workflow;
use serde_json::{Value, json};

use crate::controller::{
    gate::Gate,
    world::{ROLES, Side, World, one_pod, outcome},
};

fn namespaces(names: &[&str]) -> Value {
    json!({"metadata": {"annotations": {"clusters.landfall.dev/third": json!({"namespaces": names}).to_string()}}})
}

#[tokio::test]
async fn pods_go_to_the_namespaces_of_the_cluster_and_to_no_others() {
    let mut world = World::new(ROLES).await;
    world.start();
    let third = Side::new("third");
    let port = third.listen().await;
    let mut secret = namespaces(&["argo"]);
    secret["metadata"]["name"] = json!("clusters");
    secret["data"] = json!({"third": third.rest_config(&port, json!({}))});
    world.home.create::<Secret>("argo", secret).await;
    let to = |namespace: &str| json!({"clusterName": "third", "namespace": namespace});
    let runs: Workflow = world.home.create("argo", one_pod("runs", to("argo"))).await;
    let pod = third.pod("argo", |_| true).await;
    third.begin_pod(&pod).await;
    let refused = world.run_to_end("argo", one_pod("refused", to("other-ns"))).await;
    let expected = "Error: namespace \"other-ns\" is none of those that cluster \"third\" was added with (argo); to allow it: \
                    landfall cluster add third CONTEXT --target-namespace argo --target-namespace other-ns";
    assert_eq!(outcome(&refused), expected);
    assert!(third.pods("other-ns").await.is_empty());

    // It takes effect at once, and what runs is not disturbed.
    let connection = world.cluster("third");
    world.home.patch::<Secret>("argo", "clusters", namespaces(&["argo", "other-ns"])).await;
    let mut versions = world.clusters.as_ref().unwrap().subscribe();
    while !connection.settings().allows(&"other-ns".parse().unwrap()) {
        versions.changed().await.unwrap();
    }
    let allowed: Workflow = world.home.create("argo", one_pod("allowed", to("other-ns"))).await;
    let there = third.pod("other-ns", |_| true).await;
    third.end_pod(&there, 0).await;
    assert_eq!(outcome(&world.end_of(&allowed).await), "Succeeded: ");
    third.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&runs).await), "Succeeded: ");
    assert_eq!(world.cluster("third").number(), connection.number());
    world.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_namespace_that_was_taken_away_are_followed_to_their_end() {
    let mut world = World::new(ROLES).await;
    world.start();
    let (workflow, pod) = world.begun(&world.other, "runs", "other").await;
    let settings = landfall::clusters::settings::parse(r#"{"namespaces": ["other-ns"]}"#).unwrap();
    world.cluster("other").set_settings(settings);
    world.other.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");
    world.shutdown().await;
}

#[tokio::test]
async fn the_right_to_watch_namespaces_may_be_missing() {
    let mut world = World::new(ROLES).await;
    world.home.gate.send_replace(Gate::RefuseNamespaceWatches);
    world.other.gate.send_replace(Gate::RefuseNamespaceWatches);
    world.start();
    for (name, there) in [("here", json!({})), ("there", json!({"clusterName": "other"}))] {
        let workflow: Workflow = world.home.create("argo", one_pod(name, there)).await;
        let side = if name == "here" { &world.home } else { &world.other };
        let pod = side.pod("argo", |_| true).await;
        side.end_pod(&pod, 0).await;
        assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");
    }
    world.shutdown().await;
}
