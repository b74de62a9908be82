//! Pods that a careful module denies, and what is no pod.
//!
//! What is absent is no garbage: a pod without containers runs nothing, and Kubernetes refuses it. Garbage is what can't be
//! read as what it should be.

use serde_json::{Value as Json, json};

use crate::{
    author::generate::{dice::Dice, json::Mutator},
    policy::request::PodJson,
};

/// Characters of an annotation that makes a pod huge. All that a pod has must fit into the store of the API server with
/// the rest of it; annotations may take 256 KiB.
const HUGE: usize = 64 << 10;
/// JSON that is nested so deep is read by some languages and not by others.
const DEEP: usize = 200;

/// Pods with everything that policies are written against.
pub fn nasty() -> Vec<Json> {
    let container = |rest: Json| {
        let mut container = json!({ "name": "main", "image": "evil.example.org/miner:latest" });
        if let (Some(fields), Json::Object(rest)) = (container.as_object_mut(), rest) {
            fields.extend(rest);
        }
        container
    };
    let pod = |spec: Json| json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "main", "namespace": "argo" }, "spec": spec });
    let dangerous = json!({
        "securityContext": { "privileged": true, "capabilities": { "add": ["SYS_ADMIN"] }, "runAsUser": 0 },
        "volumeMounts": [{ "name": "root", "mountPath": "/host" }],
    });
    vec![
        pod(json!({ "containers": [container(json!({}))] })),
        pod(json!({ "containers": [container(dangerous.clone())] })),
        pod(json!({
            "hostNetwork": true, "hostPID": true, "hostIPC": true,
            "containers": [container(dangerous.clone())],
            "initContainers": [container(dangerous)],
            "volumes": [{ "name": "root", "hostPath": { "path": "/" } }],
        })),
    ]
}

/// What can't be read as a pod; `None` is no pod at all.
pub fn garbage(dice: &mut Dice, json: &mut Mutator) -> Option<PodJson> {
    let other = json.any(dice);
    let of = |value: Json| Some(PodJson::from(value.to_string()));
    let wrong = |allowed: fn(&Json) -> bool| if allowed(&other) { json!("text") } else { other.clone() };
    match dice.below(8) {
        0 => None,
        1 => Some(PodJson::from(String::new())),
        2 => Some(PodJson::from(r#"{"spec":{"containers":[{"#.to_owned())),
        3 => Some(PodJson::from(format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP)))),
        4 => of(wrong(Json::is_object)),
        5 => of(json!({ "kind": "Pod", "spec": wrong(|value| value.is_object() || value.is_null()) })),
        6 => of(json!({ "kind": "Pod", "spec": { "containers": wrong(|value| value.is_array() || value.is_null()) } })),
        _ => of(json!({ "kind": "Pod", "spec": { "containers": [wrong(Json::is_object)] } })),
    }
}

/// Whether something in it can't be read as what it should be in a pod.
pub fn is_garbage(pod: &Json) -> bool {
    let is_absent = |value: Option<&Json>| value.is_none_or(Json::is_null);
    let spec = pod.get("spec");
    if is_absent(spec) {
        return !pod.is_object();
    }
    let containers = spec.and_then(|spec| spec.get("containers"));
    match (spec, containers) {
        (Some(Json::Object(_)), Some(Json::Array(containers))) => {
            containers.iter().any(|container| !container.is_object())
        }
        (Some(Json::Object(_)), containers) => !is_absent(containers),
        (_, _) => true,
    }
}

/// Makes `pod` huge, or nests something deep in it.
pub fn blow_up(dice: &mut Dice, pod: &mut Json) {
    let Some(fields) = pod.as_object_mut() else { return };
    if dice.one_in(2) {
        fields.insert("metadata".to_owned(), json!({ "annotations": { "huge": "x".repeat(HUGE) } }));
    } else {
        let mut deep = json!("deep");
        for _ in 0..DEEP {
            deep = json!([deep]);
        }
        fields.insert("status".to_owned(), deep);
    }
}
