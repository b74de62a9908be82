//! Connections that change under running work: tokens, silence, outages, removal.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::ResourceExt;
use landfall::{
    api::workflow::Workflow,
    clusters::{health::State, settings},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::controller::{
    gate::Gate,
    world::{ACCOUNT, ROLES, Side, World, node, one_pod, outcome},
};

/// Of which a frozen cluster is noticed at the latest: ten seconds of silence, and a probe of five.
const NOTICED: Duration = Duration::from_secs(15);
/// Within which a recovery is noticed: the longest pause between probes.
const RECOVERED: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn frozen_cluster_is_noticed_by_its_silence_and_its_return_at_once() {
    let mut world = World::new(ROLES).await;
    world.start();
    let there = json!({"clusterName": "other"});
    let (frozen, pod) = world.begun(&world.other, "frozen", "other").await;

    let begun = Instant::now();
    world.other.gate.send_replace(Gate::Frozen);
    world.cluster_lost("other").await;
    assert!(begun.elapsed() <= NOTICED, "{:?}", begun.elapsed());
    world.other.end_pod(&pod, 0).await;
    let waits: Workflow = world.home.create("argo", one_pod("waits", there)).await;
    let told = world.home.until(&waits, |workflow| !workflow.status.nodes.is_empty()).await;
    assert!(node(&told, "waits").starts_with("Pending: waiting for cluster \"other\": no answer within"));

    // Everybody else goes on, for as long as it takes.
    for number in 0..10 {
        let workflow: Workflow = world.home.create("argo", one_pod(&format!("goes-on-{number}"), json!({}))).await;
        let begun = Instant::now();
        let pod = world.home.pod("argo", |pod| pod.metadata.name == workflow.metadata.name).await;
        world.home.end_pod(&pod, 0).await;
        assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        tokio::time::advance(Duration::from_secs(6)).await;
    }

    let back = Instant::now();
    world.other.gate.send_replace(Gate::Open);
    assert_eq!(outcome(&world.end_of(&frozen).await), "Succeeded: ");
    let pod = world.other.pod("argo", |other| other.metadata.name != pod.metadata.name).await;
    assert!(back.elapsed() <= RECOVERED, "{:?}", back.elapsed());
    world.other.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&waits).await), "Succeeded: ");
    assert_eq!(world.other.pods("argo").await.len(), 2);
    world.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn cluster_that_is_frozen_for_too_long_is_given_up() {
    let mut world = World::new(ROLES).await;
    let soon = json!({"data": {"clusterLostTimeout": "1m"}});
    world.home.patch::<ConfigMap>("argo", "workflow-controller-configmap", soon).await;
    world.start();
    let there = json!({"clusterName": "other"});
    let (runs, pod) = world.begun(&world.other, "runs", "other").await;
    let created: Workflow = world.home.create("argo", one_pod("created", there)).await;
    world.other.pod("argo", |other| other.metadata.name != pod.metadata.name).await;
    world.home.until(&created, |workflow| !workflow.status.nodes.is_empty()).await;

    world.other.gate.send_replace(Gate::Frozen);
    world.cluster_lost("other").await;
    for (workflow, name, phase) in [(&runs, "runs", "Running"), (&created, "created", "Pending")] {
        let says = format!("{phase}: cluster \"other\" has not answered since");
        world.home.until(workflow, |workflow| node(workflow, name).starts_with(&says)).await;
    }
    for workflow in [&runs, &created] {
        let outcome = outcome(&world.end_of(workflow).await);
        assert!(outcome.starts_with("Error: cluster-lost: cluster \"other\" has not answered since"), "{outcome}");
    }
    world.other.gate.send_replace(Gate::Open);
    world.other.until_left::<Pod>("argo", &[]).await;
    world.shutdown().await;
}

#[tokio::test]
async fn other_token_for_the_same_cluster_disturbs_nothing() {
    let mut world = World::new(ROLES).await;
    world.start();
    let third = Side::new("third");
    let port = third.listen().await;
    let data = json!({"third": third.rest_config(&port, json!({}))});
    world.home.create::<Secret>("argo", json!({"metadata": {"name": "clusters"}, "data": data})).await;
    let (workflow, pod) = world.begun(&third, "runs", "third").await;
    let connection = world.cluster("third");
    let mut clients = connection.subscribe_client();

    // A token that is none: unavailable like a network that broke, and nothing is forgotten.
    let bad = json!({"data": {"third": third.rest_config(&port, json!({"BearerToken": "wrong"}))}});
    world.home.patch::<Secret>("argo", "clusters", bad).await;
    let says = world.cluster_says("third", "HTTP 401").await;
    assert!(!says.contains("wrong"), "{says}");
    third.end_pod(&pod, 0).await;
    let still: Workflow = world.home.api("argo").get("runs").await.unwrap();
    assert!(node(&still, "runs").starts_with("Running"));

    clients.mark_unchanged();
    let good = json!({"data": {"third": third.rest_config(&port, json!({"UserAgent": "another"}))}});
    world.home.patch::<Secret>("argo", "clusters", good).await;
    assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");
    clients.changed().await.unwrap();
    assert_eq!(world.cluster("third").number(), connection.number());
    assert!(!connection.cancelled().is_cancelled());
    world.shutdown().await;
}

#[tokio::test]
async fn another_credential_is_taken_up_without_an_outage() {
    let mut world = World::new(ROLES).await;
    world.start();
    let third = Side::new("third");
    let port = third.listen().await;
    let data = json!({"third": third.rest_config(&port, json!({}))});
    world.home.create::<Secret>("argo", json!({"metadata": {"name": "clusters"}, "data": data})).await;
    world.clusters_ready(&["default", "other", "third"]).await;
    let workflow: Workflow = world.home.create("argo", one_pod("runs", json!({"clusterName": "third"}))).await;
    let pod = third.pod("argo", |_| true).await;
    let connection = world.cluster("third");
    let mut clients = connection.subscribe_client();
    clients.mark_unchanged();
    let agent = json!({"data": {"third": third.rest_config(&port, json!({"UserAgent": "another"}))}});
    world.home.patch::<Secret>("argo", "clusters", agent).await;
    clients.changed().await.unwrap();
    assert_eq!(connection.state(), State::Ready);
    third.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");
    world.shutdown().await;
}

#[tokio::test]
async fn token_is_renewed_and_what_runs_goes_on() {
    let mut world = World::new(ROLES).await;
    world.start();
    let third = Side::new("third");
    let port = third.listen().await;
    let old = third.account_token().await;
    let key = "clusters.landfall.dev/third";
    let secret = json!({
        "metadata": {"name": "clusters", "annotations": {key: r#"{"namespaces": ["argo"]}"#}},
        "data": {"third": third.rest_config(&port, json!({"BearerToken": old, "QPS": 7}))},
    });
    let secret: Secret = world.home.create("argo", secret).await;
    let (workflow, pod) = world.begun(&third, "runs", "third").await;
    let connection = world.cluster("third");
    let mut clients = connection.subscribe_client();
    clients.mark_unchanged();

    let due = json!({"metadata": {"annotations": {key: ACCOUNT}}});
    world.home.patch::<Secret>("argo", "clusters", due).await;
    let config =
        |secret: &Secret| -> Value { serde_json::from_slice(&secret.data.as_ref().unwrap()["third"].0).unwrap() };
    let renewed = world.home.until(&secret, |secret| config(secret)["BearerToken"] != json!(old)).await;
    assert_eq!(config(&renewed)["QPS"], json!(7));
    let settings = settings::parse(&renewed.annotations()[key]).unwrap();
    assert!(settings.token_expires.unwrap() > Timestamp::now(), "{settings:?}");
    assert!(settings.account.is_some());

    clients.changed().await.unwrap();
    assert_eq!(connection.state(), State::Ready);
    third.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");
    assert_eq!(world.cluster("third").number(), connection.number());
    world.shutdown().await;
}

#[tokio::test]
async fn removal_of_a_cluster_with_pods_is_told() {
    let mut world = World::new(ROLES).await;
    world.start();
    let third = Side::new("third");
    let port = third.listen().await;
    let entry = third.rest_config(&port, json!({}));
    let secret = json!({"metadata": {"name": "clusters"}, "data": {"third": entry}});
    world.home.create::<Secret>("argo", secret).await;
    let (runs, pod) = world.begun(&third, "runs", "third").await;

    world.home.patch::<Secret>("argo", "clusters", json!({"data": {"third": null}})).await;
    let event = world.home.first_event(|event| event.reason.as_deref() == Some("ClusterRemoved")).await;
    assert_eq!(event.involved_object.name.as_deref(), Some("clusters"));
    let expected = "cluster \"third\" is removed while pods of ours are there (1, of workflows: 1): nothing is known of them \
                    until it is added again";
    assert_eq!(event.message.as_deref(), Some(expected));
    let says = |workflow: &Workflow| node(workflow, "runs").contains("configured any more");
    let told = world.home.until(&runs, says).await;
    assert!(node(&told, "runs").starts_with("Running: "), "{}", node(&told, "runs"));

    third.end_pod(&pod, 0).await;
    world.home.patch::<Secret>("argo", "clusters", json!({"data": {"third": entry}})).await;
    assert_eq!(outcome(&world.end_of(&runs).await), "Succeeded: ");
    world.shutdown().await;
}
