//! What others do to the objects of workflows, and who else uses a target.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;

use crate::{
    real,
    real_runs::{World, edit, gone, phase, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn objects_may_be_edited_by_hand() {
    let Some([home, other]) = real::clusters().await else { return };
    let namespace = real::namespace("hands", &[home, other]).await;
    let mut world = World::start(home, other, namespace.clone(), "default").await;

    // What others put on pods and workflows stays, and disturbs nothing.
    let pods = world.run_halfway("labelled").await;
    let mark = json!({"metadata": {"labels": {"team": "a"}, "annotations": {"note": "by hand"}}});
    edit(other.admin(), &namespace, &pods[1].name_any(), mark.clone()).await;
    let finalizer = json!({"metadata": {"labels": {"team": "a"}, "finalizers": ["example.com/keep", "landfall.dev/pods-elsewhere"]}});
    world.workflows().patch("labelled", &PatchParams::default(), &Patch::Merge(finalizer)).await.unwrap();
    world.finish(&pods).await;
    world.succeeded("labelled").await;
    let workflow = world.workflows().get("labelled").await.unwrap();
    assert_eq!(workflow.labels()["team"], "a");
    world.workflows().delete("labelled", &DeleteParams::default()).await.unwrap();
    let cleaned = until(world.workflows(), "", |workflow| {
        workflow.name_any() == "labelled" && !workflow.finalizers().iter().any(|name| name.starts_with("landfall.dev"))
    })
    .await;
    assert_eq!(cleaned.finalizers(), ["example.com/keep"], "those of others stay");
    assert!(world.pods_of(other, "labelled").await.is_empty());
    let none = json!({"metadata": {"finalizers": null}});
    world.workflows().patch("labelled", &PatchParams::default(), &Patch::Merge(none)).await.unwrap();

    // A pod that is deleted by hand is what Argo makes of it.
    let pods = world.run_halfway("deleted").await;
    world.pods(other).delete(&pods[1].name_any(), &DeleteParams::default()).await.unwrap();
    assert!(real::kubelet::finish(&home.admin(), &pods[0]).await);
    let ended = world.ended("deleted").await;
    let there = ended.status.nodes.values().find(|node| node.display_name == "there").unwrap();
    assert_eq!((there.phase.as_str(), there.message.as_deref()), ("Error", Some("pod deleted")));

    // A pod that doesn't say whose it is any more is left alone, and not made twice.
    let pods = world.run_halfway("unlabelled").await;
    let bare = json!({"metadata": {"labels": {"landfall.dev/workflow-uid": null}}});
    edit(other.admin(), &namespace, &pods[1].name_any(), bare).await;
    assert!(real::kubelet::finish(&home.admin(), &pods[0]).await);
    let ended = world.ended("unlabelled").await;
    let there = ended.status.nodes.values().find(|node| node.display_name == "there").unwrap();
    assert_eq!(there.phase.as_str(), "Error");
    assert!(
        there.message.as_deref().unwrap().contains("exists already and belongs to nothing of this kind"),
        "{there:?}"
    );
    assert!(world.pods(other).get_opt(&pods[1].name_any()).await.unwrap().is_some());
    world.stop_controller().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_deleted_takes_its_pods_along() {
    let Some([home, other]) = real::clusters().await else { return };
    let namespace = real::namespace("gone", &[home, other]).await;
    let mut world = World::start(home, other, namespace.clone(), "default").await;
    let pods = world.run_halfway("halfway").await;
    let namespaces: Api<Namespace> = Api::all(other.admin());
    namespaces.delete(&namespace, &DeleteParams::default()).await.unwrap();
    assert!(real::kubelet::finish(&home.admin(), &pods[0]).await);
    let ended = world.ended("halfway").await;
    let there = ended.status.nodes.values().find(|node| node.display_name == "there").unwrap();
    assert_eq!((there.phase.as_str(), there.message.as_deref()), ("Error", Some("pod deleted")));
    // Nothing keeps the workflow, though its finalizer is of pods that can't be asked for any more.
    world.workflows().delete("halfway", &DeleteParams::default()).await.unwrap();
    gone(world.workflows(), &ended).await;
    world.stop_controller().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_homes_share_a_target() {
    let Some([home, other, second]) = real::clusters().await else { return };
    // Both are called alike, and so are their workflows: only what they are tells them apart.
    let namespace = real::namespace("shared", &[home, other, second]).await;
    let mut world = World::start(home, other, namespace.clone(), "default").await;
    let mut world_of_second = World::start(second, other, namespace.clone(), "default").await;
    let pods = world.run_halfway("same").await;
    world_of_second.create("same").await;
    let here = world_of_second.running(second, "same").await;
    let is_of_second = |pod: &Pod| phase(pod) == "Running" && pod.name_any() != pods[1].name_any();
    let there = until(world_of_second.pods(other), "workflows.argoproj.io/workflow=same", is_of_second).await;

    world.workflows().delete("same", &DeleteParams::default()).await.unwrap();
    gone(world.pods(other), &pods[1]).await;
    world_of_second.finish(&[here, there]).await;
    world_of_second.succeeded("same").await;
    world.stop_controller().await;
    world_of_second.stop_controller().await;
}
