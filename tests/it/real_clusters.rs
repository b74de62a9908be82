//! That these clusters are what tests take them for.

use std::process::Command;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;

use crate::{
    apiserver,
    real::{self, cluster::RealCluster, processes::Group},
};

async fn uid(cluster: &RealCluster) -> String {
    let namespaces: Api<Namespace> = Api::all(cluster.admin());
    namespaces.get("kube-system").await.unwrap().metadata.uid.unwrap()
}

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

#[tokio::test]
async fn two_clusters_have_users_rights_and_a_memory() {
    let Some([home, other]) = real::clusters().await else { return };
    assert_ne!(uid(home).await, uid(other).await);
    let namespace = real::namespace("servers", &[home, other]).await;
    let user = home.new_user();
    let maps: Api<ConfigMap> = Api::namespaced(home.client_for_token(&user.token), &namespace);
    match maps.create(&PostParams::default(), &config_map("a")).await {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 403),
        other => panic!("{other:?}"),
    }
    let token = home.account_token(&namespace, "default").await;
    let maps: Api<ConfigMap> = Api::namespaced(home.client_for_token(&token), &namespace);
    assert!(maps.list(&ListParams::default()).await.is_err());
    let account = home.audit(&format!("system:serviceaccount:{namespace}:default"));
    assert_eq!((account[0].verb.as_str(), account[0].code), ("list", 403));
    let writes: Vec<_> = home.audit(&user.name).into_iter().filter(|entry| entry.is_write()).collect();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert_eq!((writes[0].verb.as_str(), writes[0].resource.as_str(), writes[0].code), ("create", "configmaps", 403));
    assert_eq!(other.audit(&user.name), []);
}

#[tokio::test]
async fn a_cluster_of_its_own_can_be_disturbed() {
    let Some([cluster]) = real::own_clusters(&[]).await else { return };
    let namespace = cluster.namespace("servers").await;
    let pods: Api<Pod> = Api::namespaced(cluster.admin(), &namespace);
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "main", "image": "x"}]}});
    let made = pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let version = made.metadata.resource_version.unwrap();

    cluster.freeze();
    let silent = tokio::time::timeout(std::time::Duration::from_millis(500), pods.get("p")).await;
    assert!(silent.is_err(), "{silent:?}");
    cluster.thaw();
    pods.get("p").await.unwrap();

    cluster.stop();
    assert!(pods.get("p").await.is_err());
    cluster.start().await;
    pods.get("p").await.unwrap();

    pods.delete("p", &DeleteParams::default()).await.unwrap();
    cluster.compact().await;
    let maps = apiserver::config_maps(&cluster.admin(), &namespace);
    apiserver::watches::a_version_too_old_is_an_error_event(&maps, &version).await;

    let before = uid(&cluster).await;
    cluster.replace().await;
    assert_ne!(before, uid(&cluster).await);
}

#[tokio::test]
async fn the_control_plane_does_its_work() {
    let Some([home]) = real::clusters().await else { return };
    let namespace = home.namespace("servers").await;
    let maps: Api<ConfigMap> = Api::namespaced(home.admin(), &namespace);
    maps.create(&PostParams::default(), &config_map("a")).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(home.admin());
    let params = WatchParams::default().fields(&format!("metadata.name={namespace}"));
    let mut events = Box::pin(namespaces.watch(&params, "0").await.unwrap());
    namespaces.delete(&namespace, &DeleteParams::default()).await.unwrap();
    loop {
        match futures::StreamExt::next(&mut events).await.unwrap().unwrap() {
            WatchEvent::Deleted(_) => break,
            WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => panic!("{status:?}"),
        }
    }
}

#[tokio::test]
async fn every_way_in_leads_to_the_same_cluster() {
    let Some([home]) = real::clusters().await else { return };
    let allowed = landfall::clusters::rest_config::Allowed::default();
    let json = home.rest_config(home.admin_token()).to_string();
    let config = landfall::clusters::rest_config::parse(json.as_bytes(), &allowed).unwrap();
    let ours = landfall::clusters::connect::client(&config).unwrap();

    let kubeconfig = Kubeconfig::from_yaml(&home.kubeconfig("home", home.admin_token())).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    assert_eq!(config.cluster_url.to_string(), format!("{}/", home.url()));
    let theirs = Client::try_from(config).unwrap();

    let expected = uid(home).await;
    for client in [ours, theirs] {
        let namespaces: Api<Namespace> = Api::all(client);
        assert_eq!(namespaces.get("kube-system").await.unwrap().metadata.uid.unwrap(), expected);
    }
    assert!(home.ca_pem().contains("BEGIN CERTIFICATE"));
}

#[test]
fn all_ends_with_the_test_process() {
    let group = Group::new();
    let folder = group.folder().to_owned();
    let mut command = Command::new("sleep");
    command.arg("1000");
    let mut process = group.spawn("sleep", command);
    process.freeze();
    // What the system does when this process ends, in whatever way.
    drop(group);
    process.wait();
    while folder.exists() {
        std::thread::yield_now();
    }
}
