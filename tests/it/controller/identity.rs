//! Which cluster is which: homes that share a target, and clusters that take another's place.

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use landfall::{api::workflow::Workflow, clusters::settings};
use serde_json::json;

use crate::controller::{
    gate::Gate,
    world::{ROLES, Side, World, node, one_pod, outcome},
};

#[tokio::test]
async fn homes_of_one_name_share_a_target() {
    let mut one = World::new(ROLES).await;
    let mut two = World::new(ROLES).await;
    two.other = one.other.shared();
    one.start();
    two.start();
    let there = json!({"clusterName": "other"});
    let first: Workflow = one.home.create("argo", one_pod("twin", there.clone())).await;
    let second: Workflow = two.home.create("argo", one_pod("twin", there)).await;
    let (home_one, home_two) = (one.home.uid().await, two.home.uid().await);
    let of = |home: &str| {
        let home = home.to_owned();
        move |pod: &Pod| pod.labels()["landfall.dev/home-uid"] == home
    };
    let pod_one = one.other.pod("argo", of(&home_one)).await;
    let pod_two = one.other.pod("argo", of(&home_two)).await;
    assert_eq!(pod_one.labels()["landfall.dev/home-cluster"], pod_two.labels()["landfall.dev/home-cluster"]);

    one.home.api::<Workflow>("argo").delete("twin", &DeleteParams::default()).await.unwrap();
    one.home.until_gone(&first).await;
    let left = one.other.pods("argo").await;
    assert_eq!(left.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), [pod_two.name_any()]);
    one.other.end_pod(&pod_two, 0).await;
    assert_eq!(outcome(&two.end_of(&second).await), "Succeeded: ");
    one.shutdown().await;
    two.shutdown().await;
}

#[tokio::test]
async fn controller_that_may_not_know_its_home_says_which_right_it_needs() {
    let mut world = World::new(ROLES).await;
    world.home.gate.send_replace(Gate::RefuseNamespaces);
    world.start();
    let error = world.ended().await.unwrap_err().to_string();
    assert!(error.starts_with("the controller needs the right to get the namespace \"kube-system\""), "{error}");
    world.shutdown().await;
}

#[tokio::test]
async fn cluster_that_may_not_be_known_waits_for_the_right() {
    let mut world = World::new(ROLES).await;
    world.other.gate.send_replace(Gate::RefuseNamespaces);
    world.start();
    let waits: Workflow = world.home.create("argo", one_pod("waits", json!({"clusterName": "other"}))).await;
    world.cluster_says("other", "the right to get the namespace \"kube-system\"").await;
    world.other.gate.send_replace(Gate::Open);
    let pod = world.other.pod("argo", |_| true).await;
    world.other.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&waits).await), "Succeeded: ");
    world.shutdown().await;
}

#[tokio::test]
async fn nothing_is_done_in_a_cluster_that_took_anothers_place() {
    let mut world = World::new(ROLES).await;
    world.start();
    let there = json!({"clusterName": "other"});
    let (runs, pod) = world.begun(&world.other, "runs", "other").await;

    let stranger = Side::new("stranger");
    world.other.behind.send_replace(stranger.server.clone());
    let says = world.cluster_says("other", "another cluster answers").await;
    let (expected, answers) = (world.other.uid().await, stranger.uid().await);
    assert!(says.contains(&expected) && says.contains(&answers), "{says}");
    let waits: Workflow = world.home.create("argo", one_pod("waits", there)).await;
    let told = world.home.until(&waits, |workflow| !workflow.status.nodes.is_empty()).await;
    assert!(node(&told, "waits").starts_with("Pending: waiting for cluster \"other\": another cluster answers"));
    let still: Workflow = world.home.api("argo").get("runs").await.unwrap();
    assert!(node(&still, "runs").starts_with("Running"), "what the stranger lacks is not gone");
    assert!(stranger.pods("argo").await.is_empty());

    world.other.behind.send_replace(world.other.server.clone());
    world.other.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&runs).await), "Succeeded: ");
    let pod = world.other.pod("argo", |other| other.name_any() != pod.name_any()).await;
    world.other.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&waits).await), "Succeeded: ");
    assert!(stranger.pods("argo").await.is_empty());
    world.shutdown().await;
}

#[tokio::test]
async fn identity_is_remembered_in_the_secret_until_the_operator_confirms_another() {
    let mut world = World::new(ROLES).await;
    world.start();
    let (third, stranger) = (Side::new("third"), Side::new("stranger"));
    let (port, other_port) = (third.listen().await, stranger.listen().await);
    let data = json!({"third": third.rest_config(&port, json!({}))});
    let annotation = "clusters.landfall.dev/third";
    let settings = json!({annotation: r#"{"namespaces": ["argo"]}"#, "theirs": "stays"});
    let secret = json!({"metadata": {"name": "clusters", "annotations": settings}, "data": data});
    let secret: Secret = world.home.create("argo", secret).await;
    let remembers = |uid: String| {
        move |secret: &Secret| {
            let settings = settings::parse(&secret.annotations()[annotation]).unwrap();
            settings.uid == Some(uid.clone())
        }
    };
    let remembered = world.home.until(&secret, remembers(third.uid().await)).await;
    assert_eq!(remembered.annotations()["theirs"], "stays");
    assert!(remembered.annotations()[annotation].contains("\"namespaces\":[\"argo\"]"));
    assert_eq!(remembered.data, secret.data);

    // Removed and added again, it is still known which one is meant.
    world.home.patch::<Secret>("argo", "clusters", json!({"data": {"third": null}})).await;
    world.clusters_ready(&["default", "other"]).await;
    let moved = json!({"data": {"third": stranger.rest_config(&other_port, json!({}))}});
    world.home.patch::<Secret>("argo", "clusters", moved).await;
    let says = world.cluster_says("third", "another cluster answers").await;
    assert!(says.ends_with("until you accept it: landfall cluster confirm third"), "{says}");
    let waits: Workflow = world.home.create("argo", one_pod("waits", json!({"clusterName": "third"}))).await;
    world.home.until(&waits, |workflow| !workflow.status.nodes.is_empty()).await;
    assert!(stranger.pods("argo").await.is_empty());

    let confirmed = json!({"uid": stranger.uid().await}).to_string();
    let confirmed = json!({"metadata": {"annotations": {annotation: confirmed}}});
    world.home.patch::<Secret>("argo", "clusters", confirmed).await;
    let pod = stranger.pod("argo", |_| true).await;
    stranger.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&waits).await), "Succeeded: ");
    let third_pods: Api<Pod> = third.api("argo");
    assert!(third_pods.list(&ListParams::default()).await.unwrap().items.is_empty());
    world.shutdown().await;
}
