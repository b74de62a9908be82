//! `landfall cluster abandon`: only workflows that wait, only our finalizer, and only for clusters that don't answer.

use serde_json::{Value, json};

use crate::{
    cli::cluster::{NAMESPACE, World},
    golden,
};

const OURS: &str = "landfall.dev/pods-elsewhere";

/// A workflow that had a pod in each of the clusters, and is being deleted if that is said.
async fn workflow(world: &World, name: &str, clusters: &[&str], deleted: bool) {
    let nodes: serde_json::Map<String, Value> = clusters
        .iter()
        .map(|cluster| {
            let node = json!({
                "id": cluster, "name": cluster, "displayName": cluster, "type": "Pod", "phase": "Running",
                "podName": format!("{name}-pod"), "target": {"cluster": cluster, "namespace": "argo"},
            });
            ((*cluster).to_owned(), node)
        })
        .collect();
    let targets: Vec<Value> = clusters.iter().map(|cluster| json!({"cluster": cluster, "namespace": "argo"})).collect();
    let object = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": {},
        "metadata": {"name": name, "finalizers": ["example.com/theirs", OURS]},
        "status": {"phase": "Running", "nodes": nodes, "targets": targets},
    });
    world.home.create(object).await;
    if deleted {
        let api = world.home.api(Some(NAMESPACE), "argoproj.io/v1alpha1", "Workflow");
        api.delete(name, &Default::default()).await.unwrap();
    }
}

async fn finalizers(world: &World, name: &str) -> Vec<String> {
    let api = world.home.api(Some(NAMESPACE), "argoproj.io/v1alpha1", "Workflow");
    api.get(name).await.unwrap().metadata.finalizers.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_that_wait_for_a_dead_cluster_are_let_go() {
    let mut world = World::with_other().await;
    workflow(&world, "waits", &["other"], true).await;
    workflow(&world, "lives", &["other"], false).await;
    workflow(&world, "elsewhere", &["third"], true).await;
    let ended = world.cluster(&["abandon", "other", "--all", "--yes"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.starts_with("error: cluster other answers, so the pods there can be deleted\n"),
        "{}",
        ended.stderr
    );

    world.away.listening.take().unwrap().shutdown().await;
    // It may come back, so somebody must say so.
    let ended = world.cluster(&["abandon", "other", "--all"]).await;
    assert!(ended.stderr.contains("nobody can be asked"), "{}", ended.stderr);
    assert_eq!(finalizers(&world, "waits").await, ["example.com/theirs", OURS]);

    let ended = world.cluster(&["abandon", "other", "--all", "--yes"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let shown: Vec<&str> = ended.stderr.lines().filter(|line| !line.contains("and down:")).collect();
    golden::check("tests/cli/cluster-abandon.txt", &format!("{}\n{}", shown.join("\n"), ended.stdout));
    assert_eq!(finalizers(&world, "waits").await, ["example.com/theirs"]);
    assert_eq!(finalizers(&world, "lives").await, ["example.com/theirs", OURS]);
    assert_eq!(finalizers(&world, "elsewhere").await, ["example.com/theirs", OURS]);
    let ended = world.cluster(&["abandon", "other", "--all", "--yes"]).await;
    assert!(ended.stderr.starts_with("error: no workflow waits for other to be deleted\n"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_let_go_by_name() {
    let world = World::start().await;
    workflow(&world, "waits", &["gone"], true).await;
    workflow(&world, "lives", &["gone"], false).await;
    let abandon =
        async |cluster: &str, workflow: &str| world.cluster(&["abandon", cluster, "--workflow", workflow]).await;
    let check = async |cluster: &str, workflow: &str, expected: &str| {
        let ended = abandon(cluster, workflow).await;
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.starts_with(expected), "{}", ended.stderr);
    };
    check("gone", "argo/lives", "error: workflow argo/lives is not being deleted, or had no pods elsewhere\n").await;
    check("gone", "argo/nowhere", "error: there is no workflow argo/nowhere at home\n").await;
    check("other", "argo/waits", "error: workflow argo/waits had no pods in other\n").await;
    // The cluster isn't configured any more, so there is nothing to ask.
    assert_eq!(abandon("gone", "argo/waits").await.code, Some(0));
    assert_eq!(finalizers(&world, "waits").await, ["example.com/theirs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_can_be_deleted_keep_their_workflow() {
    let world = World::with_other().await;
    workflow(&world, "both", &["other", "gone"], true).await;
    let api = world.home.api(Some(NAMESPACE), "argoproj.io/v1alpha1", "Workflow");
    let workflow_uid = api.get("both").await.unwrap().metadata.uid.unwrap();
    let labels = json!({"landfall.dev/home-uid": world.home.uid().await, "landfall.dev/workflow-uid": workflow_uid});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "busybox:1"}]},
    });
    world.away.create(pod).await;
    let ended = world.cluster(&["abandon", "gone", "--all", "-o", "json"]).await;
    assert_eq!(ended.code, Some(1));
    let json = ended.json();
    assert_eq!(json["abandoned"], json!([]));
    assert_eq!(json["kept"][0]["waitsFor"], json!(["other/argo: 1 pod still to be deleted"]));
    assert_eq!(finalizers(&world, "both").await, ["example.com/theirs", OURS]);
    world.away.api(Some(NAMESPACE), "v1", "Pod").delete("p", &Default::default()).await.unwrap();
    let ended = world.cluster(&["abandon", "gone", "--all", "-o", "json"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.json()["abandoned"][0]["behind"], json!(["gone/argo/both-pod"]));
    assert_eq!(finalizers(&world, "both").await, ["example.com/theirs"]);
}
