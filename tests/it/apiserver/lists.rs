//! Listing: selectors, pages that show one moment, versions.

use kube::api::{Api, DynamicObject, ListParams, PostParams, VersionMatch};
use serde_json::json;

use crate::apiserver::{Place, config_map, config_maps, create, object, pod, pods, refused};

both!(
    lists:
    selectors_choose,
    pods_are_chosen_by_node_and_phase,
    events_are_chosen_by_what_they_are_about,
    pages_show_one_moment,
    lists_have_versions,
    a_list_may_span_namespaces,
);

async fn selectors_choose(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    for (name, labels) in [("a", json!({"app": "web", "tier": "front"})), ("b", json!({"app": "db"})), ("c", json!({}))]
    {
        create(&api, &config_map(name, labels)).await;
    }
    let mine = "kube-root-ca.crt";
    let cases: [(&str, &[&str]); 8] = [
        ("app", &["a", "b"]),
        ("!app", &["c"]),
        ("app=web", &["a"]),
        ("app!=web", &["b", "c"]),
        ("app in (web, db),tier", &["a"]),
        ("app notin (web)", &["b", "c"]),
        ("app==db", &["b"]),
        ("app,!tier", &["b"]),
    ];
    for (labels, expected) in cases {
        let found = names(&api, &ListParams::default().labels(labels).fields(&format!("metadata.name!={mine}"))).await;
        assert_eq!(found, expected, "{labels}");
    }
    assert_eq!(names(&api, &ListParams::default().fields("metadata.name=b")).await, ["b"]);
    assert_eq!(refused(api.list(&ListParams::default().fields("data.key=x")).await).code, 400);
    assert_eq!(refused(api.list(&ListParams::default().labels("a in")).await).code, 400);
}

async fn pods_are_chosen_by_node_and_phase(Place { client, namespace, .. }: Place) {
    let api = pods(&client, &namespace);
    let mut placed = pod("placed");
    placed.data["spec"]["nodeName"] = json!("node-1");
    create(&api, &placed).await;
    let mut waiting = create(&api, &pod("waiting")).await;
    waiting.data["status"]["phase"] = json!("Failed");
    api.replace_status("waiting", &PostParams::default(), &waiting).await.unwrap();
    let cases: [(&str, &[&str]); 4] = [
        ("spec.nodeName=node-1", &["placed"]),
        ("spec.nodeName=", &["waiting"]),
        ("status.phase=Failed", &["waiting"]),
        ("status.phase!=Failed,metadata.name=placed", &["placed"]),
    ];
    for (fields, expected) in cases {
        assert_eq!(names(&api, &ListParams::default().fields(fields)).await, expected, "{fields}");
    }
}

async fn events_are_chosen_by_what_they_are_about(Place { client, namespace, .. }: Place) {
    let api = crate::apiserver::api(&client, &namespace, "v1", "Event");
    for (name, about) in [("one", "a"), ("two", "b")] {
        let involved = json!({"kind": "Pod", "name": about, "namespace": namespace});
        create(
            &api,
            &object("Event", json!({"metadata": {"name": name}, "involvedObject": involved, "reason": "Tested"})),
        )
        .await;
    }
    let fields = "involvedObject.kind=Pod,involvedObject.name=b";
    assert_eq!(names(&api, &ListParams::default().fields(fields)).await, ["two"]);
}

async fn pages_show_one_moment(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    for index in 0..7 {
        create(&api, &config_map(&format!("p{index}"), json!({"page": "yes"}))).await;
    }
    let mut parameters = ListParams::default().labels("page=yes").limit(3);
    let mut found = Vec::new();
    let mut versions = Vec::new();
    loop {
        let page = api.list(&parameters).await.unwrap();
        versions.push(page.metadata.resource_version.clone());
        found.extend(page.items.iter().map(|item| item.metadata.name.clone().unwrap()));
        // What happens between two pages is not in them.
        api.delete(&format!("p{}", 7 - versions.len()), &Default::default()).await.unwrap();
        create(&api, &config_map(&format!("p9{}", versions.len()), json!({"page": "yes"}))).await;
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(found, ["p0", "p1", "p2", "p3", "p4", "p5", "p6"]);
    assert!(versions.iter().all(|version| *version == versions[0]));
}

async fn lists_have_versions(Place { client, namespace, .. }: Place) {
    let api = config_maps(&client, &namespace);
    create(&api, &config_map("a", json!({"mine": "yes"}))).await;
    let only_mine = ListParams::default().labels("mine=yes");
    let then = api.list(&only_mine).await.unwrap().metadata.resource_version.unwrap();
    create(&api, &config_map("b", json!({"mine": "yes"}))).await;
    let exact = only_mine.clone().at(&then).matching(VersionMatch::Exact);
    assert_eq!(names(&api, &exact).await, ["a"]);
    let at_least = only_mine.clone().at(&then).matching(VersionMatch::NotOlderThan);
    assert_eq!(names(&api, &at_least).await, ["a", "b"]);
    let status = refused(api.list(&only_mine.at("9000000000").matching(VersionMatch::NotOlderThan)).await);
    assert_eq!((status.code, &*status.reason), (504, "Timeout"));
}

async fn a_list_may_span_namespaces(Place { client, namespace: first, .. }: Place) {
    let (_, label) = (0, format!("span-{first}"));
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    let second = serde_json::from_value(json!({"metadata": {"generateName": "suite-"}})).unwrap();
    let second = namespaces.create(&PostParams::default(), &second).await.unwrap().metadata.name.unwrap();
    for namespace in [&first, &second] {
        create(&config_maps(&client, namespace), &config_map("same", json!({"span": label}))).await;
    }
    let all: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::all(client);
    let found = all.list(&ListParams::default().labels(&format!("span={label}"))).await.unwrap();
    assert_eq!(found.items.len(), 2);
}

async fn names(api: &Api<DynamicObject>, parameters: &ListParams) -> Vec<String> {
    let list = api.list(parameters).await.unwrap();
    list.items.into_iter().map(|item| item.metadata.name.unwrap()).collect()
}
