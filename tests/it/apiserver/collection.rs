//! Owner references: who goes with whom.

use kube::{
    Client,
    api::{DeleteParams, DynamicObject},
};
use serde_json::{Value, json};

use crate::apiserver::{Place, config_map, config_maps, create, eventually, version};

both!(
    collection:
    dependents_go_with_their_owner,
    one_owner_left_is_enough,
    orphans_stay,
    in_the_foreground_the_owner_goes_last,
    an_owner_that_never_was_is_gone,
    an_owner_elsewhere_counts_as_gone,
);

/// A config map owned by others.
fn owned(name: &str, owners: &[&DynamicObject]) -> DynamicObject {
    let references: Vec<Value> = owners
        .iter()
        .map(|owner| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner.metadata.name, "uid": owner.metadata.uid,
                "blockOwnerDeletion": true})
        })
        .collect();
    let mut object = config_map(name, json!({}));
    object.metadata.owner_references = serde_json::from_value(json!(references)).unwrap();
    object
}

async fn exists(client: &Client, namespace: &str, name: &str) -> bool {
    config_maps(client, namespace).get_opt(name).await.unwrap().is_some()
}

async fn dependents_go_with_their_owner(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let owner = create(&api, &config_map("owner", json!({}))).await;
    let child = create(&api, &owned("child", &[&owner])).await;
    create(&api, &owned("grandchild", &[&child])).await;
    api.delete("owner", &DeleteParams::background()).await.unwrap();
    eventually(|| async { !exists(&client, &namespace, "grandchild").await }).await;
    assert!(!exists(&client, &namespace, "child").await);
}

async fn one_owner_left_is_enough(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let first = create(&api, &config_map("first", json!({}))).await;
    let second = create(&api, &config_map("second", json!({}))).await;
    create(&api, &owned("child", &[&first, &second])).await;
    api.delete("first", &DeleteParams::background()).await.unwrap();
    eventually(|| async { api.get("child").await.unwrap().metadata.owner_references.unwrap().len() == 1 }).await;
    api.delete("second", &DeleteParams::background()).await.unwrap();
    eventually(|| async { !exists(&client, &namespace, "child").await }).await;
}

async fn orphans_stay(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let owner = create(&api, &config_map("owner", json!({}))).await;
    create(&api, &owned("child", &[&owner])).await;
    api.delete("owner", &DeleteParams::orphan()).await.unwrap();
    eventually(|| async { !exists(&client, &namespace, "owner").await }).await;
    assert_eq!(api.get("child").await.unwrap().metadata.owner_references, None);
}

async fn in_the_foreground_the_owner_goes_last(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let owner = create(&api, &config_map("owner", json!({}))).await;
    let mut child = owned("child", &[&owner]);
    child.metadata.finalizers = Some(vec!["example.com/held".to_owned()]);
    create(&api, &child).await;
    let marked = api.delete("owner", &DeleteParams::foreground()).await.unwrap().left().unwrap();
    assert_eq!(marked.metadata.finalizers, Some(vec!["foregroundDeletion".to_owned()]));
    eventually(|| async { api.get("child").await.unwrap().metadata.deletion_timestamp.is_some() }).await;
    assert!(exists(&client, &namespace, "owner").await);
    let patch = kube::api::Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("child", &Default::default(), &patch).await.unwrap();
    eventually(|| async { !exists(&client, &namespace, "owner").await }).await;
}

async fn an_owner_that_never_was_is_gone(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let mut ghost = config_map("ghost", json!({}));
    ghost.metadata.uid = Some("00000000-0000-4000-8000-000000000000".to_owned());
    create(&api, &owned("child", &[&ghost])).await;
    eventually(|| async { !exists(&client, &namespace, "child").await }).await;
}

async fn an_owner_elsewhere_counts_as_gone(Place { client, namespace: first, .. }: Place) {
    let owner = create(&config_maps(&client, &first), &config_map("owner", json!({}))).await;
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(client.clone());
    let second = serde_json::from_value(json!({"metadata": {"generateName": "suite-"}})).unwrap();
    let second = namespaces.create(&Default::default(), &second).await.unwrap().metadata.name.unwrap();
    create(&config_maps(&client, &second), &owned("child", &[&owner])).await;
    eventually(|| async { !exists(&client, &second, "child").await }).await;
    let same = config_maps(&client, &first).get("owner").await.unwrap();
    assert_eq!(version(&same), version(&owner));
}
