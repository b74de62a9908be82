//! `landfall cluster add`: what it shows, makes and stores, and what it refuses.

use std::fs;

use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    core::v1::{Namespace, Pod, Secret, ServiceAccount},
};
use kube::{Api, Client, api::PostParams};
use landfall::clusters::{
    connect,
    rest_config::{Allowed, parse},
};
use serde_json::{Value, json};

use crate::{
    cli::cluster::{NAMESPACE, World},
    golden,
};

#[tokio::test(flavor = "multi_thread")]
async fn it_shows_what_it_would_do_and_does_nothing() {
    let world = World::start().await;
    let ended = world.cluster(&["add", "other", "away", "--dry-run"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    golden::check("tests/cli/cluster-add-dry-run.txt", &world.settled(&ended.stdout).await);
    let json = world.cluster(&["add", "other", "away", "--dry-run", "-o", "json"]).await.json();
    assert_eq!(json["kind"], "List");
    assert_eq!(json["items"].as_array().unwrap().last().unwrap()["kind"], "Secret");
    let ended = world.cluster(&["add", "other", "away"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("add --yes once you have read what it would do"), "{}", ended.stderr);
    assert!(world.secret().await.is_none());
    assert!(world.away.ours("ServiceAccount").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_makes_what_is_needed_and_stores_a_token_once() {
    let world = World::start().await;
    let ended = world.cluster(&["add", "other", "away", "--yes"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr, "");
    golden::check("tests/cli/cluster-add.txt", &world.settled(&ended.stdout).await);

    let (config, settings) = world.stored("other").await;
    assert_eq!(config["Host"], world.away.listening.as_ref().unwrap().url());
    assert_eq!(settings["uid"], world.away.uid().await);
    assert_eq!(settings["requireConsent"], true);
    assert_eq!(settings["namespaces"], json!([NAMESPACE]));
    assert_eq!(settings["account"], json!({"namespace": "landfall", "name": "landfall-default"}));
    assert!(settings["tokenExpires"].as_str().is_some_and(|end| end.parse::<jiff::Timestamp>().is_ok()), "{settings}");

    world.consent().await;
    let ended = world.cluster(&["add", "other", "away", "--yes"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    golden::check("tests/cli/cluster-add-again.txt", &world.settled(&ended.stdout).await);
}

/// A client as the controller makes it.
async fn controller(world: &World, name: &str) -> Client {
    let (config, _) = world.stored(name).await;
    let config = parse(config.to_string().as_bytes(), &Allowed::default()).unwrap();
    connect::client(&config).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_may_do_what_the_controller_does_and_no_more() {
    let world = World::with_other().await;
    let client = controller(&world, "other").await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "serviceAccountName": "workflow", "containers": [{"name": "main", "image": "busybox:1"}],
    }});
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    assert_eq!(pods.list(&Default::default()).await.unwrap().items.len(), 1);
    pods.delete("p", &Default::default()).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.get("kube-system").await.unwrap();
    namespaces.list(&kube::api::ListParams::default().fields("metadata.name=argo")).await.unwrap();

    assert!(namespaces.list(&Default::default()).await.is_err());
    assert!(namespaces.get("default").await.is_err());
    assert!(Api::<Pod>::all(client.clone()).list(&Default::default()).await.is_err());
    assert!(Api::<Secret>::namespaced(client.clone(), NAMESPACE).list(&Default::default()).await.is_err());
    assert!(Api::<Secret>::namespaced(client, "landfall").list(&Default::default()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_beside_it_in_the_secret_stays() {
    let world = World::start().await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "data": {"theirs": "e30="},
        "metadata": {"name": "clusters", "labels": {"l": "x"}, "annotations": {"a": "x", "clusters.landfall.dev/theirs": "{}"}},
    });
    world.home.create(secret).await;
    assert_eq!(world.cluster(&["add", "other", "away", "--yes", "-o", "json"]).await.code, Some(0));
    let secret = world.secret().await.unwrap();
    let keys: Vec<String> = secret.data.unwrap().into_keys().collect();
    assert_eq!(keys, ["other", "theirs"]);
    let keys: Vec<String> = secret.metadata.annotations.unwrap().into_keys().collect();
    assert_eq!(keys, ["a", "clusters.landfall.dev/other", "clusters.landfall.dev/theirs"]);
    assert_eq!(secret.metadata.labels.unwrap()["l"], "x");
    world.cluster(&["remove", "other", "--yes"]).await;
    let secret = world.secret().await.unwrap();
    let keys: Vec<String> = secret.metadata.annotations.unwrap().into_keys().collect();
    assert_eq!(keys, ["a", "clusters.landfall.dev/theirs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_not_needed_any_more_are_taken_away() {
    let world = World::start().await;
    world.away.server.ensure_namespace("team-a");
    let add = async |flags: &[&str]| {
        let ended = world.cluster(&[&["add", "other", "away", "--yes", "-o", "json"], flags].concat()).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let mut changes: Vec<String> = Vec::new();
        for object in ended.json()["objects"].as_array().unwrap() {
            let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
            if text("change") == "delete" {
                changes.push(format!("{} {}/{}", text("kind"), text("namespace"), text("name")));
            }
        }
        changes
    };
    assert!(add(&["-t", "argo", "-t", "team-a"]).await.is_empty());
    assert_eq!(
        add(&["--target-namespace", "argo"]).await,
        ["RoleBinding team-a/landfall-default", "Role team-a/landfall-default"]
    );
    assert_eq!(add(&["--all-namespaces"]).await, ["RoleBinding argo/landfall-default", "Role argo/landfall-default"]);
    let (_, settings) = world.stored("other").await;
    assert_eq!(settings.get("namespaces"), None);
    let client = controller(&world, "other").await;
    Api::<Pod>::all(client.clone()).list(&Default::default()).await.unwrap();
    Api::<Namespace>::all(client).list(&Default::default()).await.unwrap();
    assert_eq!(
        world.away.ours("Role").await,
        ["argo/landfall:pods", "landfall/landfall-default-token", "team-a/landfall:pods",]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_homes_share_a_target() {
    let world = World::with_other().await;
    // Another home whose name is the same would have the same account.
    let second = World::start().await;
    let mut kubeconfig: Value = serde_json::from_str(&fs::read_to_string(second.kubeconfig()).unwrap()).unwrap();
    let away: Value = serde_json::from_str(&fs::read_to_string(world.kubeconfig()).unwrap()).unwrap();
    for list in ["clusters", "users", "contexts"] {
        kubeconfig[list][1] = away[list][1].clone();
    }
    fs::write(second.kubeconfig(), kubeconfig.to_string()).unwrap();
    let ended = second.cluster(&["add", "other", "away", "--yes"]).await;
    assert_eq!(ended.code, Some(1));
    let expected = format!(
        "it belongs to the controller in namespace argo of home default (kube-system UID {})",
        world.home.uid().await
    );
    assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
    let (before, _) = world.stored("other").await;

    let config_map = json!({"data": {"cluster": "second"}});
    let api = second.home.api(Some(NAMESPACE), "v1", "ConfigMap");
    let patch = kube::api::Patch::Merge(config_map);
    api.patch("workflow-controller-configmap", &Default::default(), &patch).await.unwrap();
    let ended = second.cluster(&["add", "other", "away", "--yes"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(world.away.ours("ClusterRole").await, ["landfall-default", "landfall-second"]);
    // What the second made goes with it, and the first goes on.
    let ended = second.cluster(&["remove", "other", "--purge", "away", "--yes"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(world.away.ours("ClusterRole").await, ["landfall-default"]);
    assert_eq!(world.away.ours("ServiceAccount").await, ["argo/workflow", "landfall/landfall-default"]);
    assert_eq!(world.stored("other").await.0, before);
    world.consent().await;
    let ended = world.cluster(&["check", "other"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_stored_as_it_is_where_that_is_asked_for() {
    let world = World::start().await;
    let ended = world.cluster(&["add", "other", "away", "--as-is", "--no-consent", "--yes"]).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let (config, settings) = world.stored("other").await;
    assert_eq!(config["BearerToken"], world.away.server.token());
    assert_eq!(settings, json!({"uid": world.away.uid().await, "namespaces": ["argo"]}));
    assert!(world.away.ours("ServiceAccount").await.is_empty());
    assert!(!ended.stdout.contains("annotate namespace"), "{}", ended.stdout);
    let ended = world.cluster(&["rotate", "other"]).await;
    assert!(ended.stderr.contains("is not a token of an account that `cluster add` made"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_make_roles_uses_what_the_owner_made() {
    let world = World::with_other().await;
    world.cluster(&["remove", "other", "--yes"]).await;
    // Somebody who may read two namespaces and ask for tokens of that one account.
    world.away.server.ensure_service_account("argo", "robot");
    let rbac = "rbac.authorization.k8s.io/v1";
    let rules = json!([
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system", "argo"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": ["landfall-default"], "verbs": ["create"]},
    ]);
    let role = json!({"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": "robot"}, "rules": rules});
    let binding = json!({
        "apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": {"name": "robot"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "robot"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "argo"}],
    });
    for object in [role, binding] {
        let api = world.away.api(None, rbac, object["kind"].as_str().unwrap());
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    }
    let accounts: Api<ServiceAccount> = Api::namespaced(world.away.client(), "argo");
    let token = accounts.create_token_request("robot", &PostParams::default(), &TokenRequest::default()).await.unwrap();
    let mut kubeconfig: Value = serde_json::from_str(&fs::read_to_string(world.kubeconfig()).unwrap()).unwrap();
    kubeconfig["users"][1]["user"] = json!({"token": token.status.unwrap().token});
    fs::write(world.kubeconfig(), kubeconfig.to_string()).unwrap();

    let ended = world.cluster(&["add", "other", "away", "--yes"]).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("  unseen    Role argo/landfall-default: "), "{}", ended.stdout);
    assert!(ended.stdout.contains("let its owner apply what --dry-run prints"), "{}", ended.stdout);
    world.consent().await;
    assert_eq!(world.cluster(&["check", "other"]).await.code, Some(0));
    // Without what the owner makes there is no token.
    let account: Api<ServiceAccount> = Api::namespaced(world.away.client(), "landfall");
    account.delete("landfall-default", &Default::default()).await.unwrap();
    let ended = world.cluster(&["add", "other", "away", "--yes"]).await;
    assert!(ended.stderr.contains("error: a token of service account landfall/landfall-default: "), "{}", ended.stderr);
}

/// As EKS and GKE do it: a program gives the credential.
#[tokio::test(flavor = "multi_thread")]
async fn a_plug_in_is_used_here_and_not_stored() {
    let world = World::start().await;
    let given = world.folder.path().join("credential.json");
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {"token": world.away.server.token()},
    });
    fs::write(&given, credential.to_string()).unwrap();
    let mut kubeconfig: Value = serde_json::from_str(&fs::read_to_string(world.kubeconfig()).unwrap()).unwrap();
    kubeconfig["users"][1]["user"] = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "cat", "args": [given], "interactiveMode": "Never",
    }});
    fs::write(world.kubeconfig(), kubeconfig.to_string()).unwrap();
    let ended = world.cluster(&["add", "other", "away", "--yes"]).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let (config, _) = world.stored("other").await;
    assert_ne!(config["BearerToken"], world.away.server.token());
    world.consent().await;
    assert_eq!(world.cluster(&["check", "other"]).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_refuses_what_could_not_work() {
    let world = World::start().await;
    let check = async |arguments: &[&str], expected: &str| {
        let ended = world.cluster(&[&["add"], arguments, &["--yes"]].concat()).await;
        assert_eq!(ended.code, Some(1), "{arguments:?}: {}", ended.stdout);
        assert!(ended.stderr.contains(expected), "{arguments:?}: {}", ended.stderr);
    };
    check(&["other", "nowhere"], "error: the kubeconfig has no context \"nowhere\"\n\nhint: it has home, away;").await;
    check(&["other", "home"], "error: context \"home\" leads to the home cluster itself").await;
    check(&["default", "away"], "error: default is the name of the home cluster").await;
    check(&["third", "away"], "error: no namespace of cluster third is named, here or in namespaceRoles").await;
    check(
        &["other", "away", "-t", "nowhere"],
        "error: the cluster has no namespace nowhere\n\nhint: make it first:\n  kubectl --context away create namespace nowhere",
    )
    .await;
    check(&["other", "away", "--ca", "nowhere.pem"], "error: reading nowhere.pem").await;
    check(
        &["other", "away", "--server", "http://far.example"],
        "the controller would refuse this connection: field `Host`",
    )
    .await;
    assert!(world.secret().await.is_none());
    assert!(world.away.ours("Role").await.is_empty());

    let mut kubeconfig: Value = serde_json::from_str(&fs::read_to_string(world.kubeconfig()).unwrap()).unwrap();
    kubeconfig["users"][1]["user"] = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "aws", "interactiveMode": "Never",
    }});
    fs::write(world.kubeconfig(), kubeconfig.to_string()).unwrap();
    check(&["other", "away", "--as-is"], "has an exec plug-in (aws), which only this machine can run").await;

    kubeconfig["users"][1]["user"] = json!({"token": "planted"});
    kubeconfig["clusters"][1]["cluster"]["insecure-skip-tls-verify"] = json!(true);
    fs::write(world.kubeconfig(), kubeconfig.to_string()).unwrap();
    check(&["other", "away"], "error: context \"away\" does not check whose certificate the cluster has").await;

    // What the cluster refuses comes after what was made there; the same call goes on from there.
    let world = World::start().await;
    let ended = world.cluster(&["add", "other", "away", "--token-duration", "1s", "--yes"]).await;
    assert!(ended.stderr.contains("may not specify a duration less than 10 minutes"), "{}", ended.stderr);
    assert!(world.secret().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_does_not_take_a_name() {
    let world = World::with_other().await;
    let uid = world.away.uid().await;
    let known = json!({"metadata": {"annotations": {"clusters.landfall.dev/other": "{\"uid\":\"somebody\"}"}}});
    world.patch_secret(known).await;
    let ended = world.cluster(&["add", "other", "away", "--yes"]).await;
    assert_eq!(ended.code, Some(1));
    let expected = format!(
        "error: other is another cluster: its kube-system has UID somebody, and that of context \"away\" has {uid}"
    );
    assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
}
