//! Many objects: none is lost to a list or to a watch that runs meanwhile, a watcher that falls behind is told, and
//! Events don't pile up. How long it takes is printed, not checked: that depends on the machine.

use std::time::Instant;

use futures::StreamExt as _;
use kube::{
    ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};
use landfall::local::apiserver::{ApiServer, Options};
use serde_json::json;

use crate::apiserver::{api, config_map, config_maps, create, next, object};

const OBJECTS: usize = 10_000;
/// How many Events a server keeps, and a few more than that.
const EVENTS_KEPT: usize = 500;
const EVENTS: usize = EVENTS_KEPT + 20;
/// More changes than any server keeps of one resource.
const CHANGES: usize = 9_000;

#[tokio::test]
async fn ten_thousand_objects_are_fine() {
    let server = ApiServer::new(Options::default());
    let maps = config_maps(&server.client(), "default");
    let mut events = maps.watch(&WatchParams::default().disable_bookmarks(), "0").await.unwrap().boxed();
    let start = Instant::now();
    let reader = tokio::spawn(async move {
        for _ in 0..OBJECTS {
            next(&mut events).await.unwrap();
        }
    });
    for index in 0..OBJECTS {
        maps.create(&PostParams::default(), &config_map(&format!("m{index}"), json!({"x": "y"}))).await.unwrap();
    }
    let created = start.elapsed();
    reader.await.unwrap();
    let watched = start.elapsed();
    let start = Instant::now();
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), OBJECTS);
    println!("{OBJECTS} creates {created:?}, watched after {watched:?}, list {:?}", start.elapsed());
}

#[tokio::test]
async fn the_oldest_events_go() {
    for (api_version, place) in [("v1", "involvedObject"), ("events.k8s.io/v1", "regarding")] {
        let client = ApiServer::new(Options::default()).client();
        let events = api(&client, "default", api_version, "Event");
        let mut watch = events.watch(&WatchParams::default().disable_bookmarks(), "0").await.unwrap().boxed();
        let name = |index: usize| format!("e{index}");
        for index in 0..EVENTS {
            let mut fields = json!({"apiVersion": api_version, "metadata": {"name": name(index)}});
            fields[place] = json!({"kind": "Pod", "namespace": "default", "name": "p"});
            create(&events, &object("Event", fields)).await;
            match next(&mut watch).await.unwrap() {
                WatchEvent::Added(added) => assert_eq!(added.name_any(), name(index)),
                other => panic!("{other:?}"),
            }
            if EVENTS_KEPT <= index {
                match next(&mut watch).await.unwrap() {
                    WatchEvent::Deleted(gone) => assert_eq!(gone.name_any(), name(index - EVENTS_KEPT)),
                    other => panic!("{other:?}"),
                }
            }
        }
        let kept = events.list(&ListParams::default()).await.unwrap().items;
        assert_eq!(kept.len(), EVENTS_KEPT);
    }
}

#[tokio::test]
async fn a_watcher_that_falls_behind_is_told() {
    let server = ApiServer::new(Options::default());
    let maps = config_maps(&server.client(), "default");
    let first = create(&maps, &config_map("a", json!({}))).await;
    let mut idle = maps.watch(&WatchParams::default(), &crate::apiserver::version(&first)).await.unwrap().boxed();
    for index in 0..CHANGES {
        let patch = Patch::Merge(json!({"data": {"key": index.to_string()}}));
        maps.patch("a", &PatchParams::default(), &patch).await.unwrap();
    }
    let mut last = None;
    while let Some(event) = idle.next().await {
        last = Some(event.unwrap());
    }
    match last {
        Some(WatchEvent::Error(status)) => assert_eq!((status.code, &*status.reason), (410, "Expired")),
        other => panic!("{other:?}"),
    }
}
