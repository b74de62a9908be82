//! What an operator sees of policy: Events, the ConfigMap with conditions, probes and numbers.

use std::path::Path;

use k8s_openapi::{
    api::core::v1::{ConfigMap, Event, Secret},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{Api, ResourceExt, api::DeleteParams};
use landfall::{
    api::workflow::Workflow,
    policy::{self, Policies, config::Config, recorder::Sink, rotation::Limits},
};
use serde_json::json;

use crate::{
    controller::{
        gate::Gate,
        world::{ROLES, Side, World, node, one_pod, outcome},
    },
    support::modules,
};

const STATUS: &str = "landfall-policy-status";
const SITE_ALLOWS: &str = "{builtin: false, modules: [{file: site.wasm, settings: [allow]}]}";

/// A policy that is what the folder holds, as this text configures it.
fn of_folder(folder: &Path, policies: &str, records: Sink) -> Policies {
    let (config, _) = Config::parse(None, Some(policies)).unwrap();
    let options = policy::Options { folder: Some(folder.to_owned()), config, records, ..policy::Options::default() };
    Policies::start(options).unwrap()
}

/// A world whose ConfigMap says the same.
async fn world_of(folder: &Path, policies: &str) -> World {
    let mut world = World::new(ROLES).await;
    let api: Api<ConfigMap> = world.home.api("argo");
    api.delete("workflow-controller-configmap", &DeleteParams::default()).await.unwrap();
    let data = json!({"metadata": {"name": "workflow-controller-configmap"}, "data": {"policies": policies}});
    world.home.create::<ConfigMap>("argo", data).await;
    world.policies = of_folder(folder, policies, Sink::Off);
    world
}

fn condition(status: &ConfigMap, name: &str) -> Condition {
    let conditions = &status.data.as_ref().unwrap()["conditions"];
    let conditions: Vec<Condition> = serde_json::from_str(conditions).unwrap();
    conditions.into_iter().find(|condition| condition.type_ == name).unwrap()
}

/// Waits until the ConfigMap says so: generation, `InForce`, `Refused`.
async fn until(home: &Side, generation: &str, in_force: &str, refused: &str) -> ConfigMap {
    let named = serde_json::from_value(json!({"metadata": {"name": STATUS, "namespace": "argo"}})).unwrap();
    let says = |status: &ConfigMap| {
        let found = [condition(status, "InForce"), condition(status, "Refused")].map(|condition| condition.status);
        status.data.as_ref().unwrap()["generation"] == generation && found == [in_force, refused]
    };
    home.until(&named, says).await
}

/// The lines of the metric that says what has to be mended.
fn refused_by(reason: &str) -> [String; 3] {
    ["ModuleRefused", "FolderRefused", "ConfigurationRefused"]
        .map(|known| format!("landfall_policy_refused{{reason=\"{known}\"}} {}", u8::from(known == reason)))
}

#[track_caller]
fn has_lines(text: &str, lines: &[impl AsRef<str>]) {
    for line in lines {
        let line = line.as_ref();
        assert!(text.lines().any(|found| found == line), "no line {line:?} in:\n{text}");
    }
}

#[tokio::test]
async fn a_refused_set_is_told_everywhere_and_so_is_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site.wasm");
    std::fs::write(&site, modules::DENY_ALL).unwrap();
    let mut world = world_of(folder.path(), SITE_ALLOWS).await;
    world.start();
    let status = until(&world.home, "1", "True", "False").await;
    assert_eq!(condition(&status, "InForce").message, "generation 1 in force: site");
    let state = world.policies.state();
    assert_eq!(status.data.as_ref().unwrap()["setDigest"], state.set_digest);
    let listed: serde_json::Value = serde_json::from_str(&status.data.as_ref().unwrap()["modules"]).unwrap();
    assert_eq!((&listed[0]["name"], &listed[0]["digest"]), (&json!("site"), &json!(state.modules[0].digest)));

    std::fs::write(&site, modules::core_module()).unwrap();
    let status = until(&world.home, "1", "True", "True").await;
    let refused = condition(&status, "Refused");
    assert_eq!(refused.reason, "ModuleRefused");
    let message = refused.message;
    for part in ["policy module \"site\" (", "site.wasm): a core module", "env#now", " (hint: "] {
        assert!(message.contains(part), "no {part:?} in {message}");
    }
    let warning = world.home.first_event(|event: &Event| event.reason.as_deref() == Some("PolicyRefused")).await;
    assert_eq!(warning.type_.as_deref(), Some("Warning"));
    let about = warning.involved_object;
    let configured: ConfigMap = world.home.api("argo").get("workflow-controller-configmap").await.unwrap();
    assert_eq!((about.kind.as_deref(), about.uid), (Some("ConfigMap"), configured.uid()));
    let (code, text) = world.get("/readyz").await;
    assert_eq!(code, 200, "{text}");
    has_lines(&text, &["ready", "policy: generation 1 in force: site"]);
    assert!(text.contains("\npolicy refused: policy module \"site\" (") && text.contains("\nhint: "), "{text}");
    let (_, numbers) = world.get("/metrics").await;
    let standing = ["landfall_policy_in_force 1", "landfall_policy_generation 1"];
    has_lines(&numbers, &standing);
    has_lines(&numbers, &refused_by("ModuleRefused"));
    has_lines(&numbers, &["landfall_policy_reloads_total{outcome=\"refused\"} 1", "# EOF"]);

    std::fs::write(&site, modules::DENY_ALL).unwrap();
    let mended = until(&world.home, "1", "True", "False").await;
    assert_eq!(condition(&mended, "InForce").last_transition_time, condition(&status, "InForce").last_transition_time);
    assert!(!world.get("/readyz").await.1.contains("refused"));
    has_lines(&world.get("/metrics").await.1, &refused_by("nothing"));

    // A restart is no news; a new set is.
    world.kill().await;
    world.start();
    world.home.first_event(|event: &Event| event.message.as_deref() == Some("generation 1 in force: site")).await;
    world.policies.configure(Config::parse(None, Some("{modules: []}")).unwrap().0);
    world.home.first_event(|event: &Event| event.message.as_deref() == Some("generation 2 in force: builtin")).await;
    let about_policy = |event: &String| event.contains(" Policy");
    let events: Vec<_> = world.home.events().await.into_iter().filter(about_policy).collect();
    let start = |event: &String| event.chars().take(100).collect::<String>();
    let expected = [
        "Normal PolicyInForce workflow-controller-configmap: generation 1 in force: site",
        "Warning PolicyRefused workflow-controller-configmap: policy module \"site\" (",
        "Normal PolicyInForce workflow-controller-configmap: generation 1 in force: site",
        "Normal PolicyInForce workflow-controller-configmap: generation 2 in force: builtin",
    ];
    assert_eq!(events.len(), expected.len(), "{events:#?}");
    for (event, expected) in events.iter().map(start).zip(expected) {
        assert!(event.starts_with(expected), "{event}");
    }
    world.shutdown().await;
}

#[tokio::test]
async fn what_has_to_be_mended_has_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site.wasm");
    std::fs::write(&site, modules::DENY_ALL).unwrap();
    let mut world = world_of(folder.path(), SITE_ALLOWS).await;
    world.start();
    until(&world.home, "1", "True", "False").await;
    has_lines(&world.get("/metrics").await.1, &refused_by("nothing"));
    // The last file is gone; and a configuration that can't be read.
    std::fs::remove_file(&site).unwrap();
    assert_eq!(condition(&until(&world.home, "1", "True", "True").await, "Refused").reason, "FolderRefused");
    has_lines(&world.get("/metrics").await.1, &refused_by("FolderRefused"));
    std::fs::write(&site, modules::DENY_ALL).unwrap();
    until(&world.home, "1", "True", "False").await;
    world.policies.refuse("policies line 1: no".to_owned());
    assert_eq!(condition(&until(&world.home, "1", "True", "True").await, "Refused").reason, "ConfigurationRefused");
    has_lines(&world.get("/metrics").await.1, &refused_by("ConfigurationRefused"));
    world.policies.configure(Config::parse(None, Some(SITE_ALLOWS)).unwrap().0);
    until(&world.home, "1", "True", "False").await;
    world.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_written_down_is_written_later() {
    let mut world = World::new(ROLES).await;
    world.home.gate.send_replace(Gate::RefuseApplies);
    let mut refused = world.home.lost.subscribe();
    world.start();
    refused.wait_for(|refused| 0 < *refused).await.unwrap();
    // Nobody else waits for it.
    let workflow = world.home.create("argo", one_pod("goes-on", json!({}))).await;
    let pod = world.home.pod("argo", |_| true).await;
    world.home.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");
    world.home.gate.send_replace(Gate::Open);
    until(&world.home, "1", "True", "False").await;
    world.shutdown().await;
}

#[tokio::test]
async fn not_ready_until_there_is_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world_of(folder.path(), "{builtin: false}").await;
    world.start();
    let status = until(&world.home, "0", "False", "True").await;
    assert_eq!(condition(&status, "Refused").reason, "FolderRefused");
    assert_eq!(condition(&status, "InForce").message, "nothing in force: no pod is created");
    assert_eq!(world.get("/healthz").await, (200, "ok\n".to_owned()));
    let (code, text) = world.get("/readyz").await;
    assert_eq!(code, 503, "{text}");
    has_lines(&text, &["not ready", "policy: nothing in force: no pod is created"]);
    assert!(text.contains("policy refused: ") && text.contains("holds no .wasm file"), "{text}");
    has_lines(&world.get("/metrics").await.1, &["landfall_policy_in_force 0", "landfall_policy_generation 0"]);

    std::fs::write(folder.path().join("site.wasm"), modules::DENY_ALL).unwrap();
    until(&world.home, "1", "True", "False").await;
    world.clusters_ready(&["default", "other"]).await;
    let workflow = world.run_to_end("argo", one_pod("known", json!({}))).await;
    assert!(outcome(&workflow).starts_with("Error: denied"), "{}", outcome(&workflow));
    let (code, text) = world.get("/readyz").await;
    assert_eq!(
        (code, text.as_str()),
        (200, "ready\nhome default: its workflows and pods are known\npolicy: generation 1 in force: site\n")
    );
    world.shutdown().await;
}

#[tokio::test]
async fn not_ready_until_home_is_known() {
    let mut world = World::new(ROLES).await;
    world.home.gate.send_replace(Gate::RefuseSecrets);
    let mut refused = world.home.lost.subscribe();
    world.start();
    refused.wait_for(|refused| 0 < *refused).await.unwrap();
    let (code, text) = world.get("/readyz").await;
    assert_eq!(code, 503, "{text}");
    assert!(text.starts_with("not ready\nhome default: its ") || text.contains("the secret \"clusters\""), "{text}");
    world.home.gate.send_replace(Gate::Open);
    let workflow = world.home.create("argo", one_pod("known", json!({}))).await;
    let pod = world.home.pod("argo", |_| true).await;
    assert_eq!(world.get("/readyz").await.0, 200);
    world.home.end_pod(&pod, 0).await;
    world.end_of(&workflow).await;

    world.home.gate.send_replace(Gate::Closed);
    world.cluster_lost("default").await;
    let (code, text) = world.get("/readyz").await;
    assert_eq!(code, 503, "{text}");
    assert!(text.contains("connection refused by the gate"), "{text}");
    world.home.gate.send_replace(Gate::Open);
    world.shutdown().await;
}

#[tokio::test]
async fn a_denial_is_told_once_and_says_it_all() {
    let narrow = "[{namespace: argo, rules: [{clusterNames: [default], namespaces: [argo]}]}]";
    let mut world = World::new(narrow).await;
    world.start();
    let container = json!({"image": "argoproj/argosay:v2"});
    let workflow = json!({
        "metadata": {"name": "two"},
        "spec": {"entrypoint": "main", "templates": [
            {"name": "main", "dag": {"failFast": false, "tasks": [{"name": "this", "template": "this"}, {"name": "other", "template": "other"}]}},
            {"name": "this", "container": container},
            {"name": "other", "clusterName": "other", "namespace": "argo", "container": container},
        ]},
    });
    let workflow: Workflow = world.home.create("argo", workflow).await;
    let denied = |workflow: &Workflow| {
        workflow.status.nodes.values().any(|node| node.display_name == "other" && node.phase.is_fulfilled())
    };
    world.home.until(&workflow, denied).await;
    // More passes.
    let pod = world.home.pod("argo", |_| true).await;
    world.home.begin_pod(&pod).await;
    world.home.end_pod(&pod, 0).await;
    let ended = world.end_of(&workflow).await;
    world.home.first_event(|event: &Event| event.reason.as_deref() == Some("WorkflowFailed")).await;
    let told: Vec<_> = world.home.events().await.into_iter().filter(|event| event.contains("PolicyDenied")).collect();
    let message = node(&ended, "other");
    let message = message.strip_prefix("Error: ").unwrap();
    assert!(
        message.starts_with("denied by policy module \"builtin\" (generation 1): no-rule: no rule for "),
        "{message}"
    );
    assert_eq!(told, [format!("Warning PolicyDenied two: node two.other in other/argo: {message}")]);
    let numbers = world.get("/metrics").await.1;
    has_lines(
        &numbers,
        &[
            "landfall_policy_decisions_total{verdict=\"deny\",code=\"no-rule\"} 1",
            "landfall_policy_decisions_total{verdict=\"allow\",code=\"\"} 1",
            "landfall_policy_decision_seconds_count 2",
            "landfall_policy_records_lost_total 0",
            "landfall_policy_shadows_skipped_total 0",
            "landfall_clusters{state=\"ready\"} 2",
            "landfall_clusters{state=\"unavailable\"} 0",
            "argo_workflows_gauge{phase=\"Error\"} 1",
            "argo_workflows_total_count{phase=\"Running\"} 1",
            "argo_workflows_total_count{phase=\"Error\"} 1",
            "argo_workflows_queue_depth_gauge{queue_name=\"workflow_queue\"} 0",
            "argo_workflows_is_leader 1",
        ],
    );
    world.shutdown().await;
}

#[tokio::test]
async fn nothing_that_is_secret_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("site.wasm"), modules::DENY_ALL).unwrap();
    let file = folder.path().join("decisions.jsonl");
    let records = Sink::File { path: file.clone(), limits: Limits { bytes: 1_000_000, files: 2 } };
    let policies = "{builtin: false, modules: [{file: site.wasm, settings: [pod, allow, hunter2-settings]}]}";
    let mut world = world_of(folder.path(), policies).await;
    world.policies = of_folder(folder.path(), policies, records);
    let mut seen = world.policies.subscribe_records();
    world.start();
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"key": "hunter2-secret"}});
    world.home.create::<Secret>("argo", secret).await;
    let env = json!([
        {"name": "A", "value": "hunter2-value"},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
    ]);
    let container = json!({"image": "argoproj/argosay:v2", "env": env, "args": ["echo", "hunter2-argument"]});
    // The second is denied with a reason that quotes all of the pod.
    let mut quoting = one_pod("quoted", json!({"container": container}));
    quoting["spec"]["entrypoint"] = json!("pod");
    quoting["spec"]["templates"][0]["name"] = json!("pod");
    let allowed = world.home.create("argo", one_pod("allowed", json!({"container": container}))).await;
    let pod = world.home.pod("argo", |_| true).await;
    assert!(serde_json::to_string(&pod).unwrap().contains("hunter2-value"));
    world.home.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&allowed).await), "Succeeded: ");
    let quoted = world.run_to_end("argo", quoting).await;
    assert!(outcome(&quoted).contains("hunter2-argument"), "{}", outcome(&quoted));
    let of_quoted = |event: &Event, reason: &str| {
        event.reason.as_deref() == Some(reason) && event.involved_object.name.as_deref() == Some("quoted")
    };
    let failed = world.home.first_event(|event: &Event| of_quoted(event, "WorkflowFailed")).await;
    assert_eq!(failed.message.as_deref(), Some("denied by policy: the node's message says why"));
    let denied = world.home.first_event(|event: &Event| of_quoted(event, "PolicyDenied")).await;
    assert_eq!(
        denied.message.as_deref(),
        Some(
            "node quoted in default/argo: denied by policy module \"site\" (generation 1): pod: why is told in the node's \
             message only, because the module was given the pod"
        )
    );
    let mut told = world.home.events().await.join("\n");
    told += &format!("{:?} {:?}", world.policies.state(), seen.recv().await.unwrap());
    told += &format!("{:?}", seen.recv().await.unwrap());
    for path in ["/readyz", "/metrics"] {
        told += &world.get(path).await.1;
    }
    let status: ConfigMap = world.home.api("argo").get(STATUS).await.unwrap();
    told += &serde_json::to_string(&status).unwrap();
    let policies = world.policies.clone();
    world.shutdown().await;
    policies.end_records().await;
    let records = std::fs::read_to_string(file).unwrap();
    assert_eq!(records.lines().count(), 2, "{records}");
    told += &records;
    assert!(!told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn what_shadows_would_have_done_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("next.wasm"), modules::DENY_ALL).unwrap();
    let mut world = world_of(folder.path(), "{modules: [{file: next.wasm, mode: shadow}]}").await;
    let mut seen = world.policies.subscribe_records();
    world.start();
    let status = until(&world.home, "1", "True", "False").await;
    assert_eq!(condition(&status, "InForce").message, "generation 1 in force: builtin, next (shadow)");
    let workflow = world.home.create("argo", one_pod("allowed", json!({}))).await;
    let pod = world.home.pod("argo", |_| true).await;
    world.home.end_pod(&pod, 0).await;
    assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");
    seen.recv().await.unwrap();
    let expected = "landfall_policy_shadow_differences_total{module=\"next\",kind=\"would-deny\"} 1";
    has_lines(&world.get("/metrics").await.1, &[expected]);
    world.shutdown().await;
}
