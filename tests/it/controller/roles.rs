//! What policy says while the controller runs.

use k8s_openapi::api::core::v1::{ConfigMap, Event};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use landfall::{
    api::workflow::Workflow,
    policy::{self, Policies},
};
use serde_json::{Value, json};

use crate::{
    controller::{
        gate::Gate,
        world::{ROLES, World, node, one_pod, outcome},
    },
    support::modules::DENY_ALL,
};

/// As the document shows them.
const NARROW: &str = "
- namespace: argo
  rules:
    - {clusterNames: [default], namespaces: [argo]}
    - {clusterNames: [other], namespaces: [other-ns]}
";
const WIDER: &str = "
- namespace: argo
  rules:
    - {clusterNames: [default], namespaces: [argo]}
    - {clusterNames: [other], namespaces: [argo, other-ns]}
";

async fn set_roles(world: &World, roles: &str) {
    set(world, json!({"namespaceRoles": roles})).await;
}

async fn set(world: &World, data: Value) {
    let api: Api<ConfigMap> = world.home.api("argo");
    let patch = Patch::Merge(json!({"data": data}));
    api.patch("workflow-controller-configmap", &PatchParams::default(), &patch).await.expect("it is there");
}

#[tokio::test]
async fn denial_ends_the_node_and_nothing_is_created() {
    let mut world = World::new(NARROW).await;
    world.start();
    let elsewhere = json!({"clusterName": "other", "namespace": "argo"});
    let workflow = world.run_to_end("argo", one_pod("denied", elsewhere)).await;
    let expected = "Error: denied by policy module \"builtin\" (generation 1): no-rule: no rule for workflows of namespace \
         \"argo\" allows cluster \"other\", namespace \"argo\"; allowed there: namespaces \"other-ns\"";
    assert_eq!((outcome(&workflow).as_str(), node(&workflow, "denied").as_str()), (expected, expected));
    assert!(world.other.pods("argo").await.is_empty());
    world.shutdown().await;
}

#[tokio::test]
async fn wider_roles_let_the_next_workflow_run() {
    let mut world = World::new(NARROW).await;
    world.start();
    let elsewhere = json!({"clusterName": "other", "namespace": "argo"});
    let before = world.run_to_end("argo", one_pod("before", elsewhere.clone())).await;
    assert!(outcome(&before).starts_with("Error: denied"), "{}", outcome(&before));

    let mut states = world.policies.subscribe_state();
    let generation = world.policies.state().generation;
    set_roles(&world, WIDER).await;
    states.wait_for(|state| state.generation > generation).await.expect("policy goes on");

    let after = world.home.create("argo", one_pod("after", elsewhere)).await;
    let pod = world.other.pod("argo", |_| true).await;
    world.other.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&after).await), "Succeeded: ");
    world.shutdown().await;
}

#[tokio::test]
async fn broken_roles_leave_the_last_good_ones_and_say_why() {
    let mut world = World::new(WIDER).await;
    world.start();
    let mut states = world.policies.subscribe_state();
    let generation = world.policies.state().generation;
    set_roles(&world, "- namespace: argo\n  rulez: []\n").await;
    let state = states.wait_for(|state| state.refusal.is_some()).await.expect("policy goes on").clone();
    assert_eq!(state.generation, generation);
    let said = |event: &Event| event.reason.as_deref() == Some("PolicyRefused");
    let event = world.home.first_event(said).await;
    assert!(event.message.as_deref().unwrap_or_default().contains("rulez"), "{event:?}");

    let elsewhere = json!({"clusterName": "other", "namespace": "argo"});
    let workflow = world.home.create("argo", one_pod("still", elsewhere)).await;
    let pod = world.other.pod("argo", |_| true).await;
    world.other.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");
    world.shutdown().await;
}

#[tokio::test]
async fn refused_or_deleted_config_map_changes_nothing() {
    let mut world = World::new(WIDER).await;
    world.start();
    let mut states = world.policies.subscribe_state();
    let generation = world.policies.state().generation;
    set(&world, json!({"namespaceRoles": "[]", "cluster": "East"})).await;
    let refused = |text: &'static str| {
        move |state: &policy::state::State| state.refusal.as_ref().is_some_and(|refusal| refusal.reason.contains(text))
    };
    let state = states.wait_for(refused("\"East\" is not a DNS label")).await.expect("policy goes on").clone();
    assert_eq!(state.generation, generation);

    let api: Api<ConfigMap> = world.home.api("argo");
    api.delete("workflow-controller-configmap", &DeleteParams::default()).await.expect("it is there");
    let gone = "config map argo/workflow-controller-configmap is gone: the last good configuration stays in force";
    let state = states.wait_for(refused(gone)).await.expect("policy goes on").clone();
    assert_eq!(state.generation, generation);

    let data = json!({"metadata": {"name": "workflow-controller-configmap"}, "data": {"namespaceRoles": NARROW}});
    world.home.create::<ConfigMap>("argo", data).await;
    let good = |state: &policy::state::State| state.generation == generation + 1 && state.refusal.is_none();
    states.wait_for(good).await.expect("policy goes on");
    world.shutdown().await;
}

#[tokio::test]
async fn without_a_policy_pods_wait_and_the_first_one_wakes_them() {
    let folder = tempfile::tempdir().unwrap();
    let options = policy::Options { folder: Some(folder.path().to_owned()), ..policy::Options::default() };
    let mut world = World::new(ROLES).await;
    world.policies = Policies::start(options).unwrap();
    world.start();
    let workflow: Workflow = world.home.create("argo", one_pod("patient", json!({}))).await;
    let waits = |workflow: &Workflow| node(workflow, "patient").contains("waiting for a policy to be in force: ");
    world.home.until(&workflow, waits).await;
    assert!(world.home.pods("argo").await.is_empty());

    std::fs::write(folder.path().join("guest.wasm"), DENY_ALL).unwrap();
    let ended = world.end_of(&workflow).await;
    assert!(
        outcome(&ended).starts_with("Error: denied by policy module \"guest\" (generation 1)"),
        "{}",
        outcome(&ended)
    );
    world.shutdown().await;
}

/// The workflow's status is written between the question to policy and the create: there the controller is held up.
#[tokio::test]
async fn policy_that_changed_since_the_question_is_asked_again() {
    let mut world = World::new(WIDER).await;
    world.home.gate.send_replace(Gate::HoldWorkflows);
    let mut held = world.home.lost.subscribe();
    let mut records = world.policies.subscribe_records();
    world.start();
    let elsewhere = json!({"clusterName": "other", "namespace": "argo"});
    let workflow: Workflow = world.home.create("argo", one_pod("overtaken", elsewhere)).await;
    held.wait_for(|held| 0 < *held).await.expect("the gate is there");
    let asked = records.try_recv().expect("policy was asked");
    assert_eq!((asked.generation, asked.module.as_str()), (1, "builtin"));

    let mut states = world.policies.subscribe_state();
    set_roles(&world, NARROW).await;
    states.wait_for(|state| state.generation == 2).await.expect("policy goes on");
    world.home.gate.send_replace(Gate::Open);
    let ended = world.end_of(&workflow).await;
    let start = "Error: denied by policy module \"builtin\" (generation 2): no-rule: ";
    assert!(node(&ended, "overtaken").starts_with(start), "{}", node(&ended, "overtaken"));
    assert!(world.other.pods("argo").await.is_empty());
    world.shutdown().await;
}

/// The same with a set that changed and allows it all the same: the pod is created, once.
#[tokio::test]
async fn policy_that_changed_and_still_allows_only_delays() {
    let mut world = World::new(NARROW).await;
    world.home.gate.send_replace(Gate::HoldWorkflows);
    let mut held = world.home.lost.subscribe();
    let mut records = world.policies.subscribe_records();
    world.start();
    let workflow: Workflow = world.home.create("argo", one_pod("delayed", json!({}))).await;
    held.wait_for(|held| 0 < *held).await.expect("the gate is there");
    let mut states = world.policies.subscribe_state();
    set_roles(&world, WIDER).await;
    states.wait_for(|state| state.generation == 2).await.expect("policy goes on");
    world.home.gate.send_replace(Gate::Open);
    let pod = world.home.pod("argo", |_| true).await;
    world.home.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");
    let generations = [records.try_recv(), records.try_recv()].map(|record| record.expect("it was asked").generation);
    assert_eq!(generations, [1, 2]);
    assert_eq!(world.home.pods("argo").await.len(), 1);
    world.shutdown().await;
}
