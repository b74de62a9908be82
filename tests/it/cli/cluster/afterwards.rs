//! `landfall cluster list`, `check`, `rotate`, `confirm` and `remove`.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::{Value, json};

use crate::{
    cli::{
        binary::Ended,
        cluster::{NAMESPACE, World},
    },
    golden,
};

/// A pod of a workflow of this home in the other cluster.
async fn run_pod(world: &World, name: &str) {
    let labels = json!({"landfall.dev/home-uid": world.home.uid().await, "landfall.dev/workflow-uid": "w"});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
        "spec": {"serviceAccountName": "workflow", "containers": [{"name": "main", "image": "busybox:1"}]},
    });
    world.away.create(pod).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_are_listed_as_they_are() {
    let mut world = World::with_other().await;
    run_pod(&world, "p").await;
    let check = |row: &Value, expected: Value| {
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&row[field], value, "{field} of {row}");
        }
    };
    let list = async |world: &World| world.cluster(&["list", "-o", "json"]).await.json()["clusters"].clone();
    let rows = list(&world).await;
    check(
        &rows[0],
        json!({"name": "other", "state": "ready", "pods": 1, "renewed": true, "requireConsent": true, "namespaces": ["argo"]}),
    );
    assert!(rows[0]["version"].as_str().unwrap().starts_with('v'));
    assert!(rows[0]["latencyMilliseconds"].is_u64());
    assert!(rows[0]["tokenMade"].is_string());

    world
        .patch_secret(json!({
            "data": {"bad": "e30=", "odd": "e30="},
            "metadata": {"annotations": {"clusters.landfall.dev/odd": "{\"consent\":true}"}},
        }))
        .await;
    let rows = list(&world).await;
    check(&rows[0], json!({"name": "bad", "state": "refused", "reason": "field `Host`: is missing"}));
    assert!(rows[1]["reason"].as_str().unwrap().contains("unknown field `consent`"), "{rows}");
    let ended = world.cluster(&["list"]).await;
    let shown = world.settled(&ended.stdout).await;
    let heading = "NAME   STATE    VERSION";
    assert!(shown.starts_with(heading), "{shown}");

    // One that takes connections and says nothing keeps nobody waiting for long, and the others are asked all the same.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut config, _) = world.stored("other").await;
    config["Host"] = json!(format!("http://{}", silent.local_addr().unwrap()));
    world.patch_secret(json!({"data": {"silent": base64(&config, "planted-token")}})).await;
    let rows = list(&world).await;
    check(&rows[3], json!({"name": "silent", "state": "unreachable", "reason": "no answer within 5 s"}));
    check(&rows[2], json!({"name": "other", "state": "ready"}));
    world.patch_secret(json!({"data": {"silent": null}})).await;

    world.away.listening.take().unwrap().shutdown().await;
    let rows = list(&world).await;
    check(&rows[2], json!({"name": "other", "state": "unreachable", "version": null}));
    assert_eq!(world.cluster(&["list"]).await.code, Some(0));
}

/// The lines of a check that failed, with what mends them.
fn failed(ended: &Ended) -> Vec<String> {
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let failed = lines.iter().enumerate().filter(|(_, line)| line.starts_with("  FAIL"));
    failed.map(|(at, line)| format!("{} / {}", line.trim_start_matches("  FAIL "), lines[at + 1].trim())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_what_is_wrong_and_what_mends_it() {
    let mut world = World::with_other().await;
    world.consent().await;
    let ended = world.cluster(&["check", "other"]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    golden::check("tests/cli/cluster-check.txt", &world.settled(&ended.stdout).await);

    let rbac = "rbac.authorization.k8s.io/v1";
    world.away.api(Some(NAMESPACE), rbac, "RoleBinding").delete("landfall-default", &Default::default()).await.unwrap();
    let namespaces = world.away.api(None, "v1", "Namespace");
    let patch = json!({"metadata": {"annotations": {"landfall.dev/accept-from": "default/team-a"}}});
    namespaces.patch(NAMESPACE, &Default::default(), &kube::api::Patch::Merge(patch)).await.unwrap();
    let ended = world.cluster(&["check", "other"]).await;
    assert_eq!(ended.code, Some(1));
    golden::check("tests/cli/cluster-check-failed.txt", &world.settled(&ended.stdout).await);
    let json = world.cluster(&["check", "other", "-o", "json"]).await;
    assert_eq!((json.code, &json.json()["ok"]), (Some(1), &json!(false)));

    let config = world.stored("other").await.0;
    world.away.listening.take().unwrap().shutdown().await;
    let ended = world.cluster(&["check", "other"]).await;
    let found = failed(&ended);
    assert_eq!(found.len(), 1, "{}", ended.stdout);
    assert!(found[0].starts_with("connection: ") && found[0].contains("--server"), "{found:?}");
    assert_eq!(world.stored("other").await.0, config, "a check changes nothing");
    let ended = world.cluster(&["check", "third"]).await;
    assert_eq!(ended.stderr, "error: secret argo/clusters has no cluster third\n\nhint: there are other\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_replaced_and_revoked() {
    let world = World::with_other().await;
    let bearer = async || world.stored("other").await.0["BearerToken"].as_str().unwrap().to_owned();
    let is_good = async |token: &str| {
        let mut config = kube::Config::new(world.away.listening.as_ref().unwrap().url().parse().unwrap());
        config.auth_info.token = Some(token.to_owned().into());
        let client = kube::Client::try_from(config).unwrap();
        Api::<Pod>::namespaced(client, NAMESPACE).list(&Default::default()).await.is_ok()
    };
    let first = bearer().await;
    let ended = world.cluster(&["rotate", "other", "--token-duration", "24h"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    golden::check("tests/cli/cluster-rotate.txt", &world.settled(&ended.stdout).await);
    let second = bearer().await;
    assert!(first != second && is_good(&first).await && is_good(&second).await);

    let ended = world.cluster(&["rotate", "other", "away", "--revoke"]).await;
    assert!(ended.stderr.contains("nobody can be asked"), "{}", ended.stderr);
    let ended = world.cluster(&["rotate", "other", "away", "--revoke", "--yes", "-o", "json"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.json()["revoked"], true);
    let third = bearer().await;
    assert!(is_good(&third).await && !is_good(&first).await && !is_good(&second).await);
    // Who has no good token any more can't ask for one; a context can.
    world.patch_secret(json!({"data": {"other": base64(&world.stored("other").await.0, &first)}})).await;
    let ended = world.cluster(&["rotate", "other"]).await;
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        failed(&world.cluster(&["check", "other"]).await),
        ["connection: Unauthorized (HTTP 401) / fix: landfall cluster rotate other CONTEXT -n argo",]
    );
    assert_eq!(world.cluster(&["rotate", "other", "away"]).await.code, Some(0));
    assert!(is_good(&bearer().await).await);
}

/// A stored value with another token, as a Secret holds it.
fn base64(config: &Value, token: &str) -> String {
    use base64::Engine as _;
    let mut config = config.clone();
    config["BearerToken"] = json!(token);
    base64::engine::general_purpose::STANDARD.encode(config.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_behind_a_name_is_confirmed() {
    let world = World::with_other().await;
    let (_, mut settings) = world.stored("other").await;
    let uid = settings["uid"].take();
    settings["uid"] = json!("0-before");
    world
        .patch_secret(json!({"metadata": {"annotations": {"clusters.landfall.dev/other": settings.to_string()}}}))
        .await;
    let rows = world.cluster(&["list", "-o", "json"]).await.json();
    assert_eq!(rows["clusters"][0]["state"], "other");
    let ended = world.cluster(&["check", "other"]).await;
    let shown = world.settled(&failed(&ended)[0]).await;
    assert_eq!(
        shown,
        "identity: another cluster answers: its kube-system has UID UID-OF-AWAY, and 0-before is remembered / fix: if that is \
         meant: landfall cluster confirm other -n argo"
    );
    let ended = world.cluster(&["rotate", "other"]).await;
    assert!(ended.stderr.contains("leads to another cluster than other"), "{}", ended.stderr);
    let ended = world.cluster(&["confirm", "other"]).await;
    assert_eq!(ended.code, Some(1));
    golden::check("tests/cli/cluster-confirm.txt", &world.settled(&ended.stderr).await);
    let ended = world.cluster(&["confirm", "other", "--yes", "-o", "json"]).await;
    assert_eq!(ended.json(), json!({"name": "other", "before": "0-before", "uid": uid, "changed": true}));
    settings["uid"] = uid;
    assert_eq!(world.stored("other").await.1, settings, "nothing else is changed");
    assert_eq!(world.cluster(&["confirm", "other", "-o", "json"]).await.json()["changed"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_pods_is_not_forgotten() {
    let world = World::with_other().await;
    run_pod(&world, "p").await;
    let ended = world.cluster(&["remove", "other", "--yes"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with("error: 1 pod of this home in cluster other: argo/p\n"), "{}", ended.stderr);
    Api::<Pod>::namespaced(world.away.client(), NAMESPACE).delete("p", &Default::default()).await.unwrap();
    let workflow = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {"name": "w", "finalizers": ["landfall.dev/pods-elsewhere"]}, "spec": {},
        "status": {"phase": "Succeeded", "targets": [{"cluster": "other", "namespace": "argo"}]},
    });
    world.home.create(workflow).await;
    let ended = world.cluster(&["remove", "other", "--yes"]).await;
    assert!(ended.stderr.starts_with("error: 1 workflow had pods in cluster other: argo/w\n"), "{}", ended.stderr);
    assert_eq!(world.stored("other").await.0["TLSClientConfig"], json!({}));

    let ended = world.cluster(&["remove", "other", "--force", "--purge", "away", "--yes"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    golden::check("tests/cli/cluster-remove.txt", &world.settled(&(ended.stderr + &ended.stdout)).await);
    for kind in ["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"] {
        assert!(world.away.ours(kind).await.is_empty(), "{kind}");
    }
    let secret = world.secret().await.unwrap();
    assert!(secret.data.unwrap_or_default().is_empty());
    assert!(secret.metadata.annotations.unwrap_or_default().is_empty());
    // The rest of an interrupted call can be done later.
    assert_eq!(world.cluster(&["remove", "other", "--purge", "away", "--yes"]).await.code, Some(0));
    assert_eq!(world.cluster(&["remove", "other", "--yes"]).await.code, Some(1));
}
