//! Watching: where it starts, what it tells, when it ends.

use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use serde_json::json;

use crate::apiserver::{Place, config_map, config_maps, create, next, version};

both!(
    watches:
    a_watch_from_zero_starts_with_the_state,
    a_watch_from_a_version_tells_what_came_after,
    a_list_and_a_watch_from_its_version_miss_nothing,
    objects_enter_and_leave_a_selection,
    a_deletion_has_a_version_of_its_own,
    initial_events_end_with_a_bookmark,
    a_watch_ends_after_its_timeout,
);

type Events = Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<DynamicObject>>> + Send>>;

async fn watch(api: &Api<DynamicObject>, parameters: &WatchParams, from: &str) -> Events {
    api.watch(parameters, from).await.unwrap().boxed()
}

/// The next event, without the bookmarks that a server may send at any time. One that ends the state is no such.
async fn event(events: &mut Events) -> WatchEvent<DynamicObject> {
    loop {
        match next(events).await.unwrap() {
            WatchEvent::Bookmark(bookmark) if bookmark.metadata.annotations.is_empty() => (),
            event => return event,
        }
    }
}

/// One event as text: what happened to which object, or an error's code and reason.
async fn told(events: &mut Events) -> String {
    let name = |object: DynamicObject| object.metadata.name.unwrap();
    match event(events).await {
        WatchEvent::Added(object) => format!("added {}", name(object)),
        WatchEvent::Modified(object) => format!("modified {}", name(object)),
        WatchEvent::Deleted(object) => format!("deleted {}", name(object)),
        WatchEvent::Bookmark(_) => "the state ends".to_owned(),
        WatchEvent::Error(status) => format!("error {} {}", status.code, status.reason),
    }
}

async fn set_label(api: &Api<DynamicObject>, name: &str, value: serde_json::Value) -> DynamicObject {
    let patch = Patch::Merge(json!({"metadata": {"labels": {"mine": value}}}));
    api.patch(name, &PatchParams::default(), &patch).await.unwrap()
}

async fn a_watch_from_zero_starts_with_the_state(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    create(&api, &config_map("a", json!({"mine": "yes"}))).await;
    create(&api, &config_map("b", json!({"mine": "yes"}))).await;
    let mut events = watch(&api, &WatchParams::default().labels("mine=yes"), "0").await;
    assert_eq!([told(&mut events).await, told(&mut events).await], ["added a", "added b"]);
    assert_eq!(told(&mut events).await, "the state ends");
    create(&api, &config_map("c", json!({"mine": "yes"}))).await;
    set_label(&api, "c", json!("yes")).await;
    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!([told(&mut events).await, told(&mut events).await], ["added c", "deleted a"]);
}

async fn a_watch_from_a_version_tells_what_came_after(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let first = create(&api, &config_map("a", json!({}))).await;
    create(&api, &config_map("b", json!({}))).await;
    set_label(&api, "a", json!("x")).await;
    api.delete("b", &DeleteParams::default()).await.unwrap();
    let fields = WatchParams::default().fields("metadata.name!=kube-root-ca.crt");
    let mut events = watch(&api, &fields, &version(&first)).await;
    let expected = ["added b", "modified a", "deleted b"];
    for expected in expected {
        assert_eq!(told(&mut events).await, expected);
    }
}

async fn a_list_and_a_watch_from_its_version_miss_nothing(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let list = api.list(&ListParams::default()).await.unwrap();
    let made = create(&api, &config_map("a", json!({}))).await;
    let mut events = watch(&api, &WatchParams::default(), &list.metadata.resource_version.unwrap()).await;
    loop {
        match event(&mut events).await {
            WatchEvent::Added(object) if object.metadata.name.as_deref() == Some("a") => {
                assert_eq!(object, made);
                break;
            }
            // A real server's controllers may add their own here.
            WatchEvent::Added(_) => (),
            other => panic!("{other:?}"),
        }
    }
}

async fn objects_enter_and_leave_a_selection(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let first = create(&api, &config_map("a", json!({}))).await;
    let mut events = watch(&api, &WatchParams::default().labels("mine=yes"), &version(&first)).await;
    set_label(&api, "a", json!("yes")).await;
    assert_eq!(told(&mut events).await, "added a");
    let patch = Patch::Merge(json!({"data": {"key": "changed"}}));
    api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(told(&mut events).await, "modified a");
    let left = set_label(&api, "a", json!("no")).await;
    match event(&mut events).await {
        WatchEvent::Deleted(object) => {
            // Its last selected state, at the version of the change.
            assert_eq!(version(&object), version(&left));
            assert_eq!(object.metadata.labels.unwrap()["mine"], "yes");
        }
        other => panic!("{other:?}"),
    }
    api.delete("a", &DeleteParams::default()).await.unwrap();
    create(&api, &config_map("b", json!({"mine": "yes"}))).await;
    assert_eq!(told(&mut events).await, "added b");
}

async fn a_deletion_has_a_version_of_its_own(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let first = create(&api, &config_map("a", json!({}))).await;
    let mut events = watch(&api, &WatchParams::default(), &version(&first)).await;
    api.delete("a", &DeleteParams::default()).await.unwrap();
    loop {
        match event(&mut events).await {
            WatchEvent::Deleted(object) => {
                assert_ne!(version(&object), version(&first));
                assert_eq!(object.data["data"], first.data["data"]);
                break;
            }
            WatchEvent::Added(_) => (),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn embedded_a_version_too_old_is_an_error_event() {
    let Place { client, namespace, .. } = Place::embedded().await;
    a_version_too_old_is_an_error_event(&config_maps(&client, &namespace), "1").await;
}

/// A real server forgets only where nobody else uses it: `real_clusters.rs` asks this of one that it has disturbed.
pub async fn a_version_too_old_is_an_error_event(api: &Api<DynamicObject>, version: &str) {
    let mut events = watch(api, &WatchParams::default(), version).await;
    assert_eq!(told(&mut events).await, "error 410 Expired");
    assert!(futures::StreamExt::next(&mut events).await.is_none(), "the watch ends");
}

async fn initial_events_end_with_a_bookmark(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    create(&api, &config_map("a", json!({"mine": "yes"}))).await;
    let parameters = WatchParams::default().labels("mine=yes").initial_events();
    let mut events = watch(&api, &parameters, "0").await;
    assert_eq!(told(&mut events).await, "added a");
    match event(&mut events).await {
        WatchEvent::Bookmark(bookmark) => {
            assert_eq!(bookmark.metadata.annotations["k8s.io/initial-events-end"], "true");
        }
        other => panic!("{other:?}"),
    }
    let renamed = config_map("b", json!({"mine": "yes"}));
    api.create(&PostParams::default(), &renamed).await.unwrap();
    assert_eq!(told(&mut events).await, "added b");
}

async fn a_watch_ends_after_its_timeout(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    let parameters = WatchParams::default().labels("mine=none").timeout(1).disable_bookmarks();
    let mut events = watch(&api, &parameters, "0").await;
    let end = tokio::time::timeout(crate::apiserver::PATIENCE, futures::StreamExt::next(&mut events)).await;
    assert!(end.unwrap().is_none());
}
