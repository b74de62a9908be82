//! Deleting: preconditions, finalizers, grace, collections, namespaces.

use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value, json};

use crate::apiserver::{Place, config_map, config_maps, create, eventually, pod, pods, refused, version};

both!(
    deletes:
    preconditions_hold,
    a_finalizer_holds_an_object,
    a_pod_on_a_node_has_grace,
    a_collection_is_deleted_by_selector,
    a_namespace_takes_its_content_along,
);

async fn preconditions_hold(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let made = create(&api, &config_map("a", json!({}))).await;
    let with = |uid: Option<&str>, version: Option<&str>| {
        let preconditions = Preconditions { uid: uid.map(str::to_owned), resource_version: version.map(str::to_owned) };
        DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
    };
    let status = refused(api.delete("a", &with(Some("00000000-0000-4000-8000-000000000000"), None)).await);
    assert_eq!((status.code, &*status.reason), (409, "Conflict"));
    assert_eq!(refused(api.delete("a", &with(None, Some("1"))).await).code, 409);
    let right = with(made.metadata.uid.as_deref(), Some(&version(&made)));
    let status = api.delete("a", &right).await.unwrap().right().unwrap();
    assert_eq!(status.details.unwrap().uid, made.metadata.uid.unwrap());
    assert_eq!(refused(api.delete("a", &DeleteParams::default()).await).code, 404);
}

async fn a_finalizer_holds_an_object(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let mut held = config_map("a", json!({}));
    held.metadata.finalizers = Some(vec!["example.com/one".to_owned(), "example.com/two".to_owned()]);
    create(&api, &held).await;
    let marked = api.delete("a", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert!(marked.metadata.deletion_timestamp.is_some());
    let again = api.delete("a", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert_eq!(version(&again), version(&marked));
    let status = refused(patch(&api, "a", json!(["example.com/one", "example.com/two", "example.com/three"])).await);
    assert_eq!((status.code, &*status.reason), (422, "Invalid"));
    assert!(
        status.message.contains("no new finalizers can be added if the object is being deleted"),
        "{}",
        status.message
    );
    patch(&api, "a", json!(["example.com/two"])).await.unwrap();
    assert!(api.get_opt("a").await.unwrap().is_some());
    let last = patch(&api, "a", Value::Null).await.unwrap();
    assert_eq!(last.metadata.finalizers, None);
    assert!(api.get_opt("a").await.unwrap().is_none());
}

async fn patch(api: &Api<DynamicObject>, name: &str, finalizers: Value) -> kube::Result<DynamicObject> {
    api.patch(name, &PatchParams::default(), &Patch::Merge(json!({"metadata": {"finalizers": finalizers}}))).await
}

async fn a_pod_on_a_node_has_grace(Place { client, namespace, .. }: Place) {
    let api = pods(&client, &namespace);
    let placed = |name: &str| {
        let mut pod = pod(name);
        pod.data["spec"]["nodeName"] = json!("node-1");
        pod
    };
    create(&api, &placed("running")).await;
    let marked = api.delete("running", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert_eq!(marked.metadata.deletion_grace_period_seconds, Some(30));
    let shorter = DeleteParams { grace_period_seconds: Some(5), ..DeleteParams::default() };
    let marked = api.delete("running", &shorter).await.unwrap().left().unwrap();
    assert_eq!(marked.metadata.deletion_grace_period_seconds, Some(5));
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    api.delete("running", &now).await.unwrap();
    assert!(api.get_opt("running").await.unwrap().is_none());

    let mut finished = create(&api, &placed("finished")).await;
    finished.data["status"]["phase"] = json!("Succeeded");
    api.replace_status("finished", &PostParams::default(), &finished).await.unwrap();
    api.delete("finished", &DeleteParams::default()).await.unwrap();
    assert!(api.get_opt("finished").await.unwrap().is_none());

    create(&api, &pod("nowhere")).await;
    api.delete("nowhere", &DeleteParams::default()).await.unwrap();
    assert!(api.get_opt("nowhere").await.unwrap().is_none());
}

async fn a_collection_is_deleted_by_selector(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    for (name, value) in [("a", "yes"), ("b", "yes"), ("c", "no")] {
        create(&api, &config_map(name, json!({"mine": value}))).await;
    }
    let mine = ListParams::default().labels("mine=yes");
    api.delete_collection(&DeleteParams::default(), &mine).await.unwrap();
    assert!(api.list(&mine).await.unwrap().items.is_empty());
    assert!(api.get_opt("c").await.unwrap().is_some());
}

async fn a_namespace_takes_its_content_along(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    create(&api, &config_map("a", json!({}))).await;
    let mut held = config_map("held", json!({}));
    held.metadata.finalizers = Some(vec!["example.com/one".to_owned()]);
    create(&api, &held).await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    let marked = namespaces.delete(&namespace, &DeleteParams::default()).await.unwrap().left().unwrap();
    assert_eq!(marked.status.unwrap().phase.as_deref(), Some("Terminating"));
    eventually(|| async { api.get_opt("a").await.unwrap().is_none() }).await;
    let status = refused(api.create(&PostParams::default(), &config_map("late", json!({}))).await);
    assert_eq!((status.code, &*status.reason), (403, "Forbidden"));
    assert!(status.message.contains("because it is being terminated"), "{}", status.message);
    eventually(|| async { api.get("held").await.unwrap().metadata.deletion_timestamp.is_some() }).await;
    patch(&api, "held", Value::Null).await.unwrap();
    eventually(|| async { namespaces.get_opt(&namespace).await.unwrap().is_none() }).await;
}
