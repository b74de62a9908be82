//! Creating and updating: identity, versions, conflicts, defaults, refusals.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, api::PostParams};
use serde_json::{Value, json};

use crate::apiserver::{Place, api, config_map, config_maps, create, object, pod, pods, refused, version};

both!(
    writes:
    a_created_object_has_an_identity,
    names_are_generated,
    refusals_read_as_kubernetes_writes_them,
    invalid_objects_are_refused_with_causes,
    a_stale_update_conflicts,
    an_update_that_changes_nothing_is_no_change,
    what_the_server_owns_stays,
    status_is_written_apart,
    pods_get_defaults_and_keep_their_spec,
    a_pod_needs_its_service_account,
    objects_have_a_largest_size,
    a_dry_run_leaves_nothing,
);

async fn a_created_object_has_an_identity(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let first = create(&api, &config_map("a", json!({}))).await;
    assert_eq!(first.metadata.namespace.as_deref(), Some(&*namespace));
    assert_eq!(first.metadata.uid.as_ref().map(String::len), Some(36));
    assert!(first.metadata.creation_timestamp.is_some());
    let second = create(&api, &config_map("b", json!({}))).await;
    let number = |object: &_| version(object).parse::<u64>().unwrap();
    assert!(number(&first) < number(&second));
    assert_ne!(first.metadata.uid, second.metadata.uid);
    assert_eq!(api.get("a").await.unwrap(), first);
}

async fn names_are_generated(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let blank = object("ConfigMap", json!({"metadata": {"generateName": "made-"}}));
    let name = create(&api, &blank).await.metadata.name.unwrap();
    let suffix = name.strip_prefix("made-").unwrap();
    assert_eq!(suffix.len(), 5, "{name}");
    assert!(suffix.chars().all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c)), "{name}");
    let long = object("ConfigMap", json!({"metadata": {"generateName": "x".repeat(100)}}));
    assert_eq!(create(&api, &long).await.metadata.name.unwrap().len(), 63);
}

async fn refusals_read_as_kubernetes_writes_them(Place { client, namespace, .. }: Place) {
    let maps = config_maps(&client, &namespace);
    create(&maps, &config_map("taken", json!({}))).await;
    let workflow =
        object("Workflow", json!({"apiVersion": "argoproj.io/v1alpha1", "metadata": {"name": "w"}, "spec": {}}));
    let cases = [
        (refused(maps.get("none").await), 404, "NotFound", "configmaps \"none\" not found"),
        (
            refused(maps.create(&PostParams::default(), &config_map("taken", json!({}))).await),
            409,
            "AlreadyExists",
            "configmaps \"taken\" already exists",
        ),
        (
            refused(config_maps(&client, "nowhere").create(&PostParams::default(), &config_map("a", json!({}))).await),
            404,
            "NotFound",
            "namespaces \"nowhere\" not found",
        ),
    ];
    for (status, code, reason, message) in cases {
        assert_eq!((status.code, &*status.reason, &*status.message), (code, reason, message));
    }
    let workflows = api(&client, &namespace, "argoproj.io/v1alpha1", "Workflow");
    assert_eq!(refused(workflows.get("w").await).message, "workflows.argoproj.io \"w\" not found");
    assert_eq!(create(&workflows, &workflow).await.metadata.generation, Some(1));
}

async fn invalid_objects_are_refused_with_causes(Place { client, namespace, .. }: Place) {
    check_invalid(
        &config_maps(&client, &namespace),
        "ConfigMap",
        json!({"metadata": {"name": "Upper"}}),
        &["metadata.name"],
    )
    .await;
    let wrong_label = json!({"metadata": {"name": "a", "labels": {"x": "-y"}}});
    check_invalid(&config_maps(&client, &namespace), "ConfigMap", wrong_label, &["metadata.labels"]).await;
    let pods = pods(&client, &namespace);
    let spec = |containers: Value| json!({"metadata": {"name": "p"}, "spec": {"containers": containers}});
    check_invalid(&pods, "Pod", spec(json!([])), &["spec.containers"]).await;
    check_invalid(&pods, "Pod", spec(json!([{"name": "a"}])), &["spec.containers[0].image"]).await;
    check_invalid(&pods, "Pod", spec(json!([{"image": "x"}])), &["spec.containers[0].name"]).await;
    let twice = json!([{"name": "a", "image": "x"}, {"name": "a", "image": "x"}]);
    check_invalid(&pods, "Pod", spec(twice), &["spec.containers[1].name"]).await;
    let unmounted = json!([{"name": "a", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]);
    check_invalid(&pods, "Pod", spec(unmounted), &["spec.containers[0].volumeMounts[0].name"]).await;
}

async fn check_invalid(api: &Api<kube::api::DynamicObject>, kind: &str, fields: Value, expected: &[&str]) {
    let status = refused(api.create(&PostParams::default(), &object(kind, fields.clone())).await);
    assert_eq!((status.code, &*status.reason), (422, "Invalid"), "{fields}: {}", status.message);
    let found: Vec<String> = status.details.unwrap().causes.into_iter().map(|cause| cause.field).collect();
    assert_eq!(found, expected, "{fields}");
}

async fn a_stale_update_conflicts(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let first = create(&api, &config_map("a", json!({}))).await;
    let mut newer = first.clone();
    newer.data["data"]["key"] = json!("newer");
    let second = api.replace("a", &PostParams::default(), &newer).await.unwrap();
    assert_ne!(version(&first), version(&second));
    assert_eq!(first.metadata.uid, second.metadata.uid);
    let mut stale = first.clone();
    stale.data["data"]["key"] = json!("stale");
    let status = refused(api.replace("a", &PostParams::default(), &stale).await);
    assert_eq!((status.code, &*status.reason), (409, "Conflict"));
    assert_eq!(
        status.message,
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the \
         latest version and try again"
    );
    let mut other = second.clone();
    other.metadata.uid = Some("00000000-0000-4000-8000-000000000000".to_owned());
    assert_eq!(refused(api.replace("a", &PostParams::default(), &other).await).code, 409);
    // Without a version the last writer wins.
    stale.metadata.resource_version = None;
    let third = api.replace("a", &PostParams::default(), &stale).await.unwrap();
    assert_eq!(third.data["data"]["key"], "stale");
}

async fn an_update_that_changes_nothing_is_no_change(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let first = create(&api, &config_map("a", json!({"x": "y"}))).await;
    let again = api.replace("a", &PostParams::default(), &first).await.unwrap();
    assert_eq!(version(&first), version(&again));
}

async fn what_the_server_owns_stays(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let first = create(&api, &config_map("a", json!({}))).await;
    let time: Time = serde_json::from_value(json!("2020-01-01T00:00:00Z")).unwrap();
    for creation in [None, Some(time.clone())] {
        let mut changed = first.clone();
        changed.metadata.creation_timestamp = creation;
        changed.metadata.generation = Some(7);
        let second = api.replace("a", &PostParams::default(), &changed).await.unwrap();
        assert_eq!(second, first);
    }
    let mut changed = first.clone();
    changed.metadata.deletion_timestamp = Some(time);
    let status = refused(api.replace("a", &PostParams::default(), &changed).await);
    let message = "ConfigMap \"a\" is invalid: metadata.deletionTimestamp: Invalid value: \"2020-01-01T00:00:00Z\": field is \
                   immutable";
    assert_eq!((status.code, &*status.message), (422, message));
}

async fn status_is_written_apart(Place { client, namespace, .. }: Place) {
    let api = pods(&client, &namespace);
    let made = create(&api, &pod("p")).await;
    assert_eq!(made.data["status"]["phase"], "Pending");
    let mut running = made.clone();
    running.data["status"]["phase"] = json!("Running");
    running.metadata.labels = Some([("x".to_owned(), "y".to_owned())].into());
    let main = api.replace("p", &PostParams::default(), &running).await.unwrap();
    assert_eq!(main.data["status"]["phase"], "Pending");
    assert_eq!(main.metadata.labels.as_ref().map(|labels| labels.len()), Some(1));
    let mut running = main.clone();
    running.data["status"]["phase"] = json!("Running");
    running.data["spec"]["containers"][0]["image"] = json!("other");
    let status = api.replace_status("p", &PostParams::default(), &running).await.unwrap();
    assert_eq!(status.data["status"]["phase"], "Running");
    assert_eq!(status.data["spec"]["containers"][0]["image"], "busybox:1");
}

async fn pods_get_defaults_and_keep_their_spec(Place { client, namespace, .. }: Place) {
    let api = pods(&client, &namespace);
    let made = create(&api, &pod("p")).await;
    let expected = [
        ("/spec/restartPolicy", json!("Always")),
        ("/spec/terminationGracePeriodSeconds", json!(30)),
        ("/spec/dnsPolicy", json!("ClusterFirst")),
        ("/spec/serviceAccountName", json!("default")),
        ("/spec/containers/0/imagePullPolicy", json!("IfNotPresent")),
        ("/spec/containers/0/terminationMessagePath", json!("/dev/termination-log")),
        ("/status/qosClass", json!("BestEffort")),
    ];
    for (pointer, value) in expected {
        assert_eq!(made.data.pointer(pointer), Some(&value), "{pointer}");
    }
    let mut changed = made.clone();
    changed.data["spec"]["containers"][0]["command"] = json!(["true"]);
    let status = refused(api.replace("p", &PostParams::default(), &changed).await);
    assert_eq!((status.code, &*status.reason), (422, "Invalid"));
    assert!(status.message.contains("pod updates may not change fields other than"), "{}", status.message);
}

async fn a_pod_needs_its_service_account(Place { client, namespace, .. }: Place) {
    let mut wrong = pod("p");
    wrong.data["spec"]["serviceAccountName"] = json!("none");
    let status = refused(pods(&client, &namespace).create(&PostParams::default(), &wrong).await);
    assert_eq!((status.code, &*status.reason), (403, "Forbidden"));
    let expected = format!(
        "pods \"p\" is forbidden: error looking up service account {namespace}/none: serviceaccount \"none\" not found"
    );
    assert_eq!(status.message, expected);
}

async fn objects_have_a_largest_size(Place { client, namespace, .. }: Place) {
    let api = api(&client, &namespace, "v1", "Secret");
    let sized =
        |bytes: usize| object("Secret", json!({"metadata": {"name": "s"}, "stringData": {"key": "x".repeat(bytes)}}));
    let status = refused(api.create(&PostParams::default(), &sized(3_500_000)).await);
    assert_eq!((status.code, &*status.reason), (413, "RequestEntityTooLarge"));
    create(&api, &sized(700_000)).await;
}

async fn a_dry_run_leaves_nothing(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let parameters = PostParams { dry_run: true, ..PostParams::default() };
    let made = api.create(&parameters, &config_map("a", json!({}))).await.unwrap();
    assert_eq!(made.metadata.name.as_deref(), Some("a"));
    assert!(api.get_opt("a").await.unwrap().is_none());
}
