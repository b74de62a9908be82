//! What only the embedded server can be asked: its port and token, pods' logs, what it begins with, how it ends.

use futures::{AsyncReadExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config,
    api::{LogParams, PostParams, WatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use landfall::local::{
    apiserver::{ApiServer, Options},
    logs::Logs,
};
use serde_json::json;

use crate::apiserver::{config_map, config_maps, create, next, pod, pods, refused};

#[tokio::test]
async fn it_listens_until_it_is_shut_down() {
    let server = ApiServer::new(Options { name: "one".to_owned(), ..Options::default() });
    let listening = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let client = over_network(&server.kubeconfig(&listening.url())).await;
    let maps = config_maps(&client, "default");
    let mut events = maps.watch(&WatchParams::default().disable_bookmarks(), "0").await.unwrap().boxed();
    // What comes in over the network is seen in the process, and the other way round.
    create(&maps, &config_map("a", json!({}))).await;
    next(&mut events).await.unwrap();
    assert!(config_maps(&server.client(), "default").get_opt("a").await.unwrap().is_some());
    listening.shutdown().await;
    let rest: Vec<_> = tokio::time::timeout(crate::apiserver::PATIENCE, events.collect()).await.unwrap();
    assert!(rest.into_iter().all(|event| event.is_err()), "a watch ends with its server");
    assert!(maps.get("a").await.is_err());
    assert!(config_maps(&server.client(), "default").get_opt("a").await.unwrap().is_some());
}

async fn over_network(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

#[tokio::test]
async fn only_the_token_opens_the_listener() {
    let server = ApiServer::new(Options { name: "one".to_owned(), ..Options::default() });
    let other = ApiServer::new(Options::default());
    let listening = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let with = |token: &str| {
        let mut config = Config::new(listening.url().parse().unwrap());
        config.auth_info.token = (!token.is_empty()).then(|| token.to_owned().into());
        config_maps(&Client::try_from(config).unwrap(), "default")
    };
    for token in ["", "x", other.token()] {
        let maps = with(token);
        let answers = [maps.list(&Default::default()).await.map(drop), maps.get("a").await.map(drop)];
        let made = maps.create(&PostParams::default(), &config_map("a", json!({}))).await.map(drop);
        for answer in answers.into_iter().chain([made]) {
            let status = refused(answer);
            assert_eq!((status.code, &*status.reason, &*status.message), (401, "Unauthorized", "Unauthorized"));
        }
    }
    create(&with(server.token()), &config_map("a", json!({}))).await;
    assert_eq!(config_maps(&server.client(), "default").list(&Default::default()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn watches_can_be_ended() {
    let server = ApiServer::new(Options::default());
    let maps = config_maps(&server.client(), "default");
    let events = maps.watch(&WatchParams::default().disable_bookmarks(), "0").await.unwrap();
    server.end_watches();
    let rest: Vec<_> = events.try_collect().await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn logs_are_read_and_followed() {
    let logs = Logs::default();
    let server = ApiServer::new(Options { logs: logs.clone(), ..Options::default() });
    let client = server.client();
    let made = create(&pods(&client, "default"), &pod("p")).await;
    let uid = made.metadata.uid.unwrap();
    let api: Api<Pod> = Api::namespaced(client, "default");
    let status = refused(api.logs("p", &LogParams::default()).await);
    assert_eq!((status.code, &*status.reason), (400, "BadRequest"));
    assert_eq!(status.message, "container \"main\" in pod \"p\" is waiting to start: ContainerCreating");
    logs.append(&uid, "main", b"one\ntwo\nthree\n");
    assert_eq!(api.logs("p", &LogParams::default()).await.unwrap(), "one\ntwo\nthree\n");
    let tail = LogParams { tail_lines: Some(1), container: Some("main".to_owned()), ..LogParams::default() };
    assert_eq!(api.logs("p", &tail).await.unwrap(), "three\n");
    let status =
        refused(api.logs("p", &LogParams { container: Some("other".to_owned()), ..LogParams::default() }).await);
    assert_eq!(status.message, "container other is not valid for pod p");
    let since = |since_seconds, since_time| LogParams { since_seconds, since_time, ..LogParams::default() };
    assert_eq!(api.logs("p", &since(Some(3600), None)).await.unwrap(), "one\ntwo\nthree\n");
    assert_eq!(api.logs("p", &since(None, Some(jiff::Timestamp::UNIX_EPOCH))).await.unwrap(), "one\ntwo\nthree\n");
    assert_eq!(api.logs("p", &since(None, "9000-01-01T00:00:00Z".parse().ok())).await.unwrap(), "");
    let status = refused(api.logs("p", &since(Some(0), None)).await);
    assert_eq!((status.code, &*status.reason), (400, "BadRequest"));
    let timed = LogParams { timestamps: true, tail_lines: Some(2), ..LogParams::default() };
    let timed = api.logs("p", &timed).await.unwrap();
    for (line, expected) in timed.lines().zip(["two", "three"]) {
        let (time, text) = line.split_once(' ').unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok() && text == expected, "{line}");
    }
    let follow = LogParams { follow: true, tail_lines: Some(2), ..LogParams::default() };
    let mut stream = Box::pin(api.log_stream("p", &follow).await.unwrap());
    logs.append(&uid, "main", b"four\n");
    logs.close(&uid, "main");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "two\nthree\nfour\n");
}

#[tokio::test]
async fn a_cluster_begins_with_namespaces() {
    let server = ApiServer::new(Options { namespaces: vec!["argo".to_owned()], ..Options::default() });
    server.ensure_service_account("other", "workflow");
    let accounts = server.client();
    let all: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::all(accounts);
    let found = all.list(&Default::default()).await.unwrap().items;
    let found: Vec<String> = found
        .iter()
        .map(|it| format!("{}/{}", it.metadata.namespace.as_ref().unwrap(), it.metadata.name.as_ref().unwrap()))
        .collect();
    assert_eq!(found, ["argo/default", "default/default", "kube-system/default", "other/default", "other/workflow"]);
}
