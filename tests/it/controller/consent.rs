//! Clusters in which a namespace takes pods only if its owner says so: what is denied, what its owner does about it, and that
//! it takes effect at once.

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use landfall::{
    api::workflow::Workflow,
    clusters::settings,
    local::apiserver::Listening,
    policy::{self, Policies, audit::Record},
};
use serde_json::{Value, json};

use crate::{
    controller::{
        gate::Gate,
        world::{ROLES, Side, World, node, one_pod, outcome},
    },
    support::modules::DENY_ALL,
};

/// A cluster that requires consent, beside the two of the world.
async fn add_third(world: &World) -> (Side, Listening) {
    let third = Side::new("third");
    let port = third.listen().await;
    let settings = json!({"requireConsent": true}).to_string();
    let secret = json!({
        "metadata": {"name": "clusters", "annotations": {"clusters.landfall.dev/third": settings}},
        "data": {"third": third.rest_config(&port, json!({}))},
    });
    world.home.create::<Secret>("argo", secret).await;
    world.clusters_ready(&["default", "other", "third"]).await;
    (third, port)
}

/// Changes what the owner of a namespace says there; `null` takes it back.
async fn say(side: &Side, namespace: &str, annotations: Value) {
    let api: Api<Namespace> = Api::all(side.client());
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    api.patch(namespace, &PatchParams::default(), &patch).await.expect("it is there");
}

fn to(cluster: &str, namespace: &str) -> Value {
    json!({"clusterName": cluster, "namespace": namespace})
}

/// Runs a workflow of one pod, which succeeds if it is created at all.
async fn try_it(world: &World, side: &Side, name: &str, template: Value) -> String {
    let namespace = template["namespace"].as_str().expect("a namespace").to_owned();
    let workflow: Workflow = world.home.create("argo", one_pod(name, template)).await;
    let uid = workflow.metadata.uid.clone().expect("a uid");
    let end_pods = async {
        let pod = side
            .pod(&namespace, |pod| pod.metadata.labels.as_ref().expect("labels")["landfall.dev/workflow-uid"] == uid);
        side.end_pod(&pod.await, 0).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = world.end_of(&workflow) => outcome(&ended),
        () = end_pods => unreachable!("it never ends"),
    }
}

#[tokio::test]
async fn without_consent_a_pod_is_denied_with_the_line_that_gives_it() {
    let mut world = World::new(ROLES).await;
    let mut records = world.policies.subscribe_records();
    world.start();
    let (third, _port) = add_third(&world).await;
    let text = try_it(&world, &third, "denied", to("third", "argo")).await;
    let line = "kubectl --context third annotate namespace argo landfall.dev/accept-from=default/argo";
    let expected = format!(
        "Error: denied by policy module \"core\" (generation 1): no-consent: namespace \"argo\" of cluster \"third\" takes no \
         pods from elsewhere, so none of workflows in namespace \"argo\" of home \"default\"; its owner can consent by: {line}"
    );
    assert_eq!(text, expected);
    assert!(third.pods("argo").await.is_empty());
    let record: Record = Record::clone(&records.try_recv().expect("it was recorded"));
    assert_eq!((record.module.as_str(), record.modules.len()), ("core", 0));
    let event = world.home.first_event(|event| event.reason.as_deref() == Some("PolicyDenied")).await;
    assert!(event.message.as_deref().unwrap_or_default().contains(line), "{event:?}");

    // The owner does as the line says: it counts from then on, and not for other workflows, or other accounts.
    say(&third, "argo", json!({"landfall.dev/accept-from": "default/argo"})).await;
    assert_eq!(try_it(&world, &third, "allowed", to("third", "argo")).await, "Succeeded: ");
    let elsewhere = one_pod("elsewhere", to("third", "argo"));
    let elsewhere = world.run_to_end("elsewhere", elsewhere).await;
    assert!(outcome(&elsewhere).contains("landfall.dev/accept-from=default/argo,default/elsewhere --overwrite"));

    say(&third, "argo", json!({"landfall.dev/accept-service-accounts": "workflow"})).await;
    let text = try_it(&world, &third, "as-default", to("third", "argo")).await;
    assert!(text.contains("no-consent: ") && text.contains("not use service account \"default\""), "{text}");
    let mut template = to("third", "argo");
    template["serviceAccountName"] = json!("workflow");
    assert_eq!(try_it(&world, &third, "as-workflow", template).await, "Succeeded: ");
    world.shutdown().await;
}

#[tokio::test]
async fn consent_that_is_taken_back_counts_no_more() {
    let mut world = World::new(ROLES).await;
    world.start();
    let (third, _port) = add_third(&world).await;
    say(&third, "argo", json!({"landfall.dev/accept-from": "default"})).await;
    assert_eq!(try_it(&world, &third, "before", to("third", "argo")).await, "Succeeded: ");
    say(&third, "argo", json!({"landfall.dev/accept-from": null})).await;
    // The watch is only a moment behind.
    let mut number = 0;
    let text = loop {
        number += 1;
        let text = try_it(&world, &third, &format!("after-{number}"), to("third", "argo")).await;
        if text != "Succeeded: " {
            break text;
        }
    };
    assert!(text.contains("takes no pods from elsewhere"), "{text}");

    // The next namespace has an owner of its own.
    say(&third, "other-ns", json!({"landfall.dev/accept-from": "nobody, default/argo"})).await;
    assert_eq!(try_it(&world, &third, "other", to("third", "other-ns")).await, "Succeeded: ");
    world.shutdown().await;
}

#[tokio::test]
async fn a_namespace_that_is_not_there_is_told_as_such() {
    let mut world = World::new(ROLES).await;
    world.start();
    let (third, _port) = add_third(&world).await;
    let text = try_it(&world, &third, "nowhere", to("third", "atlantis")).await;
    let expected = "Error: denied by policy module \"core\" (generation 1): no-namespace: there is no namespace \"atlantis\" of \
                    cluster \"third\"; whoever may make it runs: kubectl --context third create namespace atlantis, and then: \
                    kubectl --context third annotate namespace atlantis landfall.dev/accept-from=default/argo";
    assert_eq!(text, expected);
    third.server.ensure_namespace("atlantis");
    say(&third, "atlantis", json!({"landfall.dev/accept-from": "default/argo"})).await;
    assert_eq!(try_it(&world, &third, "found", to("third", "atlantis")).await, "Succeeded: ");
    let namespaces: Api<Namespace> = Api::all(third.client());
    namespaces.delete("elsewhere", &DeleteParams::default()).await.expect("it is there");
    let text = try_it(&world, &third, "gone", to("third", "elsewhere")).await;
    assert!(text.contains("no-namespace: ") || text.contains("no-consent: "), "{text}");
    world.shutdown().await;
}

#[tokio::test]
async fn home_and_clusters_that_require_none_ask_nobody() {
    let mut world = World::new(ROLES).await;
    world.start();
    let (_third, _port) = add_third(&world).await;
    assert_eq!(try_it(&world, &world.home, "home", to("default", "argo")).await, "Succeeded: ");
    assert_eq!(try_it(&world, &world.home, "beside", to("default", "elsewhere")).await, "Succeeded: ");
    assert_eq!(try_it(&world, &world.other, "other", to("other", "argo")).await, "Succeeded: ");
    let text = try_it(&world, &world.other, "nowhere", to("other", "atlantis")).await;
    assert!(text.starts_with("Error: pod can't be created in other/atlantis: "), "{text}");
    world.shutdown().await;
}

#[tokio::test]
async fn consent_that_can_not_be_seen_is_waited_for() {
    let mut world = World::new(ROLES).await;
    world.other.gate.send_replace(Gate::RefuseNamespaceWatches);
    world.start();
    let settings = settings::parse(r#"{"requireConsent": true}"#).expect("settings");
    world.cluster("other").set_settings(settings);
    say(&world.other, "argo", json!({"landfall.dev/accept-from": "default"})).await;
    let workflow: Workflow = world.home.create("argo", one_pod("waits", to("other", "argo"))).await;
    let says = |workflow: &Workflow| {
        let text = workflow.status.nodes.values().next().and_then(|node| node.message.clone()).unwrap_or_default();
        text.contains("waiting to see whether namespace \"argo\" of cluster \"other\" consents: ")
            && text.contains("forbidden by the gate")
    };
    let seen = world.home.until(&workflow, says).await;
    assert!(node(&seen, "waits").starts_with("Pending: "), "{}", node(&seen, "waits"));
    // Others go on.
    assert_eq!(try_it(&world, &world.home, "goes-on", to("default", "argo")).await, "Succeeded: ");
    assert!(world.other.pods("argo").await.is_empty());
    world.other.gate.send_replace(Gate::Open);
    let pod = world.other.pod("argo", |_| true).await;
    world.other.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");
    world.shutdown().await;
}

#[tokio::test]
async fn modules_are_told_what_is_for_them_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("guest.wasm"), DENY_ALL).unwrap();
    let chain = "modules: [{file: guest.wasm, settings: [tells-attributes]}]";
    let config = policy::config::Config::parse(Some(ROLES), Some(chain)).unwrap().0;
    let options = policy::Options { folder: Some(folder.path().to_owned()), config, ..policy::Options::default() };
    let mut world = World::new(ROLES).await;
    world.policies = Policies::start(options).unwrap();
    let mut records = world.policies.subscribe_records();
    let facts = json!({"policy.landfall.dev/tier": "gold", "team": "hunter2"});
    for side in [&world.home, &world.other] {
        let api: Api<Namespace> = Api::all(side.client());
        let notes = json!({"policy.landfall.dev/note": "any, text", "kubectl.kubernetes.io/last": "hunter2"});
        let patch = Patch::Merge(json!({"metadata": {"labels": facts, "annotations": notes}}));
        api.patch("argo", &PatchParams::default(), &patch).await.expect("it is there");
    }
    world.start();
    for (side, cluster) in [(&world.home, "default"), (&world.other, "other")] {
        let text = try_it(&world, side, cluster, to(cluster, "argo")).await;
        let told = "target-label:policy.landfall.dev/tier=gold target-annotation:policy.landfall.dev/note=any, text";
        let expected = format!("Error: denied by policy module \"guest\" (generation 1): attributes: {told}");
        assert_eq!(text, expected);
        let record = records.try_recv().expect("it was recorded");
        let recorded = serde_json::to_string(record.as_ref()).unwrap();
        assert!(
            recorded.contains("target-label:policy.landfall.dev/tier") && !recorded.contains("hunter2"),
            "{recorded}"
        );
    }
    let long = json!({"policy.landfall.dev/note": "x".repeat(9000)});
    say(&world.other, "argo", long).await;
    let mut number = 0;
    loop {
        number += 1;
        let text = try_it(&world, &world.other, &format!("long-{number}"), to("other", "argo")).await;
        if text.contains("module \"core\"") {
            assert!(text.contains("attributes-limit: "), "{text}");
            break;
        }
    }
    world.shutdown().await;
}
