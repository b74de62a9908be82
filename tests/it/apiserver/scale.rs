//! Many objects: nothing gets slow, nobody is blocked, who is too slow is told.

use std::time::Instant;

use futures::StreamExt as _;
use kube::api::{ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use landfall::local::apiserver::{ApiServer, Options};
use serde_json::json;

use crate::apiserver::{KUBECONFIG, config_map, config_maps, create, next};

const OBJECTS: usize = 10_000;
/// More changes than any server keeps of one resource.
const CHANGES: usize = 9_000;

#[tokio::test]
async fn ten_thousand_objects_are_fine() {
    if std::env::var_os(KUBECONFIG).is_some() {
        println!("skipped: not against a real server");
        return;
    }
    let server = ApiServer::new(Options::default());
    let maps = config_maps(&server.client(), "default");
    let mut events = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
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
async fn a_watcher_that_falls_behind_is_told() {
    if std::env::var_os(KUBECONFIG).is_some() {
        println!("skipped: not against a real server");
        return;
    }
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
