//! Workflows from create to end.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{Api, ResourceExt, api::DeleteParams};
use landfall::api::workflow::Workflow;
use serde_json::json;

use crate::controller::world::{ROLES, World, node, one_pod, outcome};

#[tokio::test]
async fn one_pod_succeeds() {
    let world = World::running(ROLES).await;
    let workflow = world.run_to_end("argo", one_pod("one", json!({}))).await;
    assert_eq!(outcome(&workflow), "Succeeded: ");
    assert_eq!(workflow.labels()["workflows.argoproj.io/completed"], "true");
    assert_eq!(workflow.finalizers(), [""; 0]);
    let pods = world.home.pods("argo").await;
    assert_eq!(pods.len(), 1);
    assert_eq!(pods[0].owner_references()[0].uid, workflow.uid().expect("a uid"));
    world.shutdown().await;
}

#[tokio::test]
async fn dag_over_two_clusters_succeeds() {
    let world = World::running(ROLES).await;
    let container = json!({"image": "argoproj/argosay:v2"});
    let workflow = json!({
        "metadata": {"generateName": "multi-cluster-"},
        "spec": {"entrypoint": "main", "templates": [
            {"name": "main", "dag": {"tasks": [{"name": "this", "template": "this"}, {"name": "other", "template": "other"}]}},
            {"name": "this", "container": container},
            {"name": "other", "clusterName": "other", "namespace": "argo", "serviceAccount": "workflow", "container": container},
        ]},
    });
    let workflow = world.run_to_end("argo", workflow).await;
    assert_eq!(outcome(&workflow), "Succeeded: ");
    assert_eq!(node(&workflow, "other"), "Succeeded: ");
    assert_eq!(workflow.finalizers(), ["landfall.dev/pods-elsewhere"]);
    assert_eq!(world.home.pods("argo").await.len(), 1);
    let there = world.other.pods("argo").await;
    assert_eq!(there.len(), 1);
    assert!(there[0].owner_references().is_empty());
    assert_eq!(there[0].labels()["landfall.dev/workflow-uid"], workflow.uid().expect("a uid"));
    world.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_read_fails_by_itself() {
    let mut world = World::new(ROLES).await;
    world.start();
    let mut misspelt = one_pod("misspelt", json!({}));
    misspelt["spec"]["templates"][0]["container"]["comand"] = json!(["x"]);
    let mistyped = json!({"metadata": {"name": "mistyped"}, "spec": {"templates": "none"}});
    let good: Workflow = world.home.create("argo", one_pod("good", json!({}))).await;
    for (object, expected) in [
        (misspelt, "Failed: invalid spec: spec.templates[0].container.comand: "),
        (mistyped, "Failed: invalid spec: spec.templates: "),
    ] {
        let api: Api<kube::api::DynamicObject> =
            Api::namespaced_with(world.home.client(), "argo", &kube::api::ApiResource::erase::<Workflow>(&()));
        let mut object = object;
        object["apiVersion"] = json!("argoproj.io/v1alpha1");
        object["kind"] = json!("Workflow");
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        api.create(&Default::default(), &serde_json::from_value(object).expect("an object"))
            .await
            .expect("it is created");
        let condition = |object: Option<&kube::api::DynamicObject>| {
            object.is_some_and(|object| object.data.pointer("/status/finishedAt").is_some())
        };
        kube::runtime::wait::await_condition(api.clone(), &name, condition).await.expect("it ends");
        let ended = api.get(&name).await.expect("it is there").data;
        let text = format!("{}: {}", ended["status"]["phase"], ended["status"]["message"]).replace('"', "");
        assert!(text.starts_with(expected), "{text}");
    }
    let pod = world.home.pod("argo", |_| true).await;
    world.home.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&good).await), "Succeeded: ");
    world.shutdown().await;
}

#[tokio::test]
async fn failed_pod_fails_its_workflow_and_says_so() {
    let mut world = World::new(ROLES).await;
    world.start();
    let workflow: Workflow = world.home.create("argo", one_pod("fails", json!({}))).await;
    let pod = world.home.pod("argo", |_| true).await;
    world.home.end_pod(&pod, 3).await;
    assert_eq!(outcome(&world.end_of(&workflow).await), "Failed: main: Error (exit code 3)");
    let said = |event: &Event| event.reason.as_deref() == Some("WorkflowFailed");
    let event = world.home.first_event(said).await;
    assert_eq!(event.message.as_deref(), Some("main: Error (exit code 3)"));
    let about_it = |event: &&String| event.contains(" fails: ");
    assert!(world.home.events().await.iter().filter(about_it).count() <= 2);
    world.shutdown().await;
}

#[tokio::test]
async fn pod_deleted_by_hand_is_an_error() {
    let mut world = World::new(ROLES).await;
    world.start();
    let workflow: Workflow = world.home.create("argo", one_pod("robbed", json!({}))).await;
    let pod = world.home.pod("argo", |_| true).await;
    world.home.begin_pod(&pod).await;
    world
        .home
        .until(&workflow, |workflow| {
            !workflow.status.nodes.is_empty() && node(workflow, "robbed").starts_with("Running")
        })
        .await;
    let api: Api<Pod> = world.home.api("argo");
    api.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await.expect("it is deleted");
    assert_eq!(outcome(&world.end_of(&workflow).await), "Error: pod deleted");
    world.shutdown().await;
}
