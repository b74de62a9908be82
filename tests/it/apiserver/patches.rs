//! The four sorts of patch.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::apiserver::{Place, config_map, config_maps, create, object, pod, pods, refused, version};

both!(
    patches:
    merge_patches_merge,
    json_patches_test_and_change,
    strategic_patches_know_the_lists_of_built_in_kinds,
    applying_creates_changes_and_takes_away,
    custom_resources_refuse_strategic_patches,
);

async fn merge_patches_merge(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let made = create(&api, &config_map("a", json!({"x": "y"}))).await;
    let merge = |patch: Value| {
        let api = api.clone();
        async move { api.patch("a", &PatchParams::default(), &Patch::Merge(patch)).await }
    };
    let patched =
        merge(json!({"data": {"key": null, "other": "1"}, "metadata": {"labels": {"z": "1"}}})).await.unwrap();
    assert_eq!(patched.data["data"], json!({"other": "1"}));
    assert_eq!(patched.metadata.labels.as_ref().unwrap().len(), 2);
    let same = merge(json!({"data": {"other": "1"}})).await.unwrap();
    assert_eq!(version(&same), version(&patched));
    let stale = merge(json!({"metadata": {"resourceVersion": version(&made)}, "data": {"other": "2"}})).await;
    assert_eq!(refused(stale).code, 409);
    let missing = api.patch("none", &PatchParams::default(), &Patch::Merge(json!({}))).await;
    assert_eq!(refused(missing).code, 404);
}

async fn json_patches_test_and_change(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    create(&api, &config_map("a", json!({"x": "y"}))).await;
    let json = |operations: Value| {
        let api = api.clone();
        let patch: json_patch::Patch = serde_json::from_value(operations).unwrap();
        async move { api.patch("a", &PatchParams::default(), &Patch::<()>::Json(patch)).await }
    };
    let changed = json(json!([
        {"op": "test", "path": "/data/key", "value": "value"},
        {"op": "replace", "path": "/data/key", "value": "new"},
        {"op": "add", "path": "/metadata/labels/a~1b", "value": "1"},
    ]))
    .await
    .unwrap();
    assert_eq!(changed.data["data"]["key"], "new");
    assert_eq!(changed.metadata.labels.unwrap()["a/b"], "1");
    let failed = json(json!([{"op": "test", "path": "/data/key", "value": "value"}])).await;
    assert_eq!(refused(failed).code, 422);
    let nowhere = json(json!([{"op": "replace", "path": "/data/none/deep", "value": "x"}])).await;
    assert_eq!(refused(nowhere).code, 422);
}

async fn strategic_patches_know_the_lists_of_built_in_kinds(Place { client, namespace, .. }: Place) {
    let api = pods(&client, &namespace);
    let mut two = pod("p");
    two.data["spec"]["containers"] = json!([{"name": "one", "image": "a:1"}, {"name": "two", "image": "b:1"}]);
    create(&api, &two).await;
    let patch = Patch::Strategic(json!({"spec": {"containers": [{"name": "two", "image": "b:2"}]}}));
    let patched = api.patch("p", &PatchParams::default(), &patch).await.unwrap();
    let images: Vec<&Value> = (0..2).map(|index| &patched.data["spec"]["containers"][index]["image"]).collect();
    assert_eq!(images, ["a:1", "b:2"]);
    let statuses = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    api.patch_status("p", &PatchParams::default(), &Patch::Strategic(statuses)).await.unwrap();
    let statuses = json!({"status": {"conditions": [{"type": "Initialized", "status": "True"}]}});
    let patched = api.patch_status("p", &PatchParams::default(), &Patch::Strategic(statuses)).await.unwrap();
    assert_eq!(patched.data["status"]["conditions"].as_array().unwrap().len(), 2);
    assert_eq!(patched.data["status"]["phase"], "Running");
}

async fn applying_creates_changes_and_takes_away(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let apply = |manager: &str, data: Value, force: bool| {
        let (api, mut parameters) = (api.clone(), PatchParams::apply(manager));
        parameters.force = force;
        let applied = object("ConfigMap", json!({"metadata": {"name": "a"}, "data": data}));
        async move { api.patch("a", &parameters, &Patch::Apply(applied)).await }
    };
    let made = apply("one", json!({"x": "1", "y": "1"}), false).await.unwrap();
    assert_eq!(made.metadata.managed_fields.as_ref().unwrap()[0].manager.as_deref(), Some("one"));
    let same = apply("one", json!({"x": "1", "y": "1"}), false).await.unwrap();
    assert_eq!(version(&same), version(&made));
    let less = apply("one", json!({"x": "1"}), false).await.unwrap();
    assert_eq!(less.data["data"], json!({"x": "1"}));
    let both = apply("two", json!({"z": "2"}), false).await.unwrap();
    assert_eq!(both.data["data"], json!({"x": "1", "z": "2"}));
    let status = refused(apply("two", json!({"x": "2"}), false).await);
    assert_eq!((status.code, &*status.reason), (409, "Conflict"));
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"one\": .data.x");
    let forced = apply("two", json!({"x": "2"}), true).await.unwrap();
    assert_eq!(forced.data["data"], json!({"x": "2"}));
}

async fn custom_resources_refuse_strategic_patches(Place { client, namespace, .. }: Place) {
    let api = crate::apiserver::api(&client, &namespace, "argoproj.io/v1alpha1", "Workflow");
    let workflow =
        object("Workflow", json!({"apiVersion": "argoproj.io/v1alpha1", "metadata": {"name": "w"}, "spec": {"x": 1}}));
    let made = create(&api, &workflow).await;
    let strategic = Patch::Strategic(json!({"spec": {"x": 2}}));
    let status = refused(api.patch("w", &PatchParams::default(), &strategic).await);
    assert_eq!((status.code, &*status.reason), (415, "UnsupportedMediaType"));
    // Without a status subresource the status is a field like others.
    let merge = Patch::Merge(json!({"status": {"phase": "Running"}}));
    let patched = api.patch("w", &PatchParams::default(), &merge).await.unwrap();
    assert_eq!(patched.data["status"]["phase"], "Running");
    assert_eq!(patched.metadata.generation, Some(2));
    let mut unversioned = made;
    unversioned.metadata.resource_version = None;
    let status = refused(api.replace("w", &Default::default(), &unversioned).await);
    assert_eq!(
        status.message,
        "workflows.argoproj.io \"w\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    );
}
