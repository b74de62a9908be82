//! What a kind gets when its writer leaves it out, and the status that a new object starts with.

use serde_json::{Map, Value, json};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::local::apiserver::{resources::Resource, store::text};

/// Mode of files in volumes from Secrets, ConfigMaps and the like: 0644.
const FILE_MODE: i64 = 420;
/// How long a pod tolerates a node that is not ready or unreachable: the admission plugin's default.
const TOLERATION_SECONDS: i64 = 300;

pub fn on_create(resource: &Resource, value: &mut Value) {
    if resource.status && !resource.is_definitions() {
        remove(value, "status");
    }
    common(resource, value);
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => {
            value["status"] = json!({"phase": "Pending", "qosClass": qos_class(value)});
        }
        ("", "namespaces") => {
            let name = text(value, "/metadata/name").to_owned();
            value["spec"] = json!({"finalizers": ["kubernetes"]});
            value["status"] = json!({"phase": "Active"});
            value["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
        }
        ("", "persistentvolumeclaims") => value["status"] = json!({"phase": "Pending"}),
        ("", "services") => value["status"] = json!({"loadBalancer": {}}),
        ("apiextensions.k8s.io", "customresourcedefinitions") => value["status"] = definition_status(value),
        (_, _) => (),
    }
}

pub fn on_update(resource: &Resource, old: &Value, new: &mut Value) {
    common(resource, new);
    if resource.is_namespaces() {
        let name = text(old, "/metadata/name");
        new["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
    }
}

fn common(resource: &Resource, value: &mut Value) {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => pod_spec(&mut value["spec"]),
        ("", "secrets") => secret(value),
        ("", "persistentvolumeclaims") => set(&mut value["spec"], "volumeMode", json!("Filesystem")),
        ("", "services") => service(&mut value["spec"]),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => binding(value),
        (_, _) => (),
    }
}

fn set(target: &mut Value, field: &str, value: Value) {
    if !target.is_object() {
        *target = json!({});
    }
    if let Some(fields) = target.as_object_mut() {
        fields.entry(field).or_insert(value);
    }
}

fn remove(target: &mut Value, field: &str) {
    if let Some(fields) = target.as_object_mut() {
        fields.remove(field);
    }
}

fn each<'a>(target: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    target.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
}

fn pod_spec(spec: &mut Value) {
    set(spec, "restartPolicy", json!("Always"));
    set(spec, "terminationGracePeriodSeconds", json!(30));
    set(spec, "dnsPolicy", json!("ClusterFirst"));
    set(spec, "securityContext", json!({}));
    set(spec, "schedulerName", json!("default-scheduler"));
    set(spec, "enableServiceLinks", json!(true));
    set(spec, "priority", json!(0));
    set(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    let old_name = text(spec, "/serviceAccount").to_owned();
    if text(spec, "/serviceAccountName").is_empty() {
        spec["serviceAccountName"] = json!(if old_name.is_empty() { "default" } else { &old_name });
    }
    spec["serviceAccount"] = spec["serviceAccountName"].clone();
    set(spec, "tolerations", json!([]));
    for taint in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let Some(tolerations) = spec["tolerations"].as_array_mut() else { continue };
        if !tolerations.iter().any(|toleration| text(toleration, "/key") == taint) {
            tolerations.push(
                json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS}),
            );
        }
    }
    for list in ["initContainers", "containers"] {
        each(spec, list).for_each(container);
    }
    each(spec, "volumes").for_each(volume);
}

fn container(container: &mut Value) {
    set(container, "terminationMessagePath", json!("/dev/termination-log"));
    set(container, "terminationMessagePolicy", json!("File"));
    let policy = if floats(text(container, "/image")) { "Always" } else { "IfNotPresent" };
    set(container, "imagePullPolicy", json!(policy));
    set(container, "resources", json!({}));
    for port in each(container, "ports") {
        set(port, "protocol", json!("TCP"));
    }
    for variable in each(container, "env") {
        if let Some(field) = variable.pointer_mut("/valueFrom/fieldRef") {
            set(field, "apiVersion", json!("v1"));
        }
    }
    if let Some(Value::Object(resources)) = container.get_mut("resources") {
        request_limits(resources);
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe @ Value::Object(_)) = container.get_mut(name) {
            for (field, value) in
                [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
            {
                set(probe, field, json!(value));
            }
            if let Some(get) = probe.get_mut("httpGet") {
                set(get, "path", json!("/"));
                set(get, "scheme", json!("HTTP"));
            }
        }
    }
}

/// Whether an image's tag may move: none, or `latest`.
fn floats(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or_default();
    !last.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

/// A limit without a request is also the request.
fn request_limits(resources: &mut Map<String, Value>) {
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
    let Some(requests) = resources.entry("requests").or_insert_with(|| json!({})).as_object_mut() else { return };
    for (name, amount) in limits {
        requests.entry(name).or_insert(amount);
    }
    if requests.is_empty() {
        resources.remove("requests");
    }
}

fn volume(volume: &mut Value) {
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source @ Value::Object(_)) = volume.get_mut(source) {
            set(source, "defaultMode", json!(FILE_MODE));
        }
    }
    if let Some(path @ Value::Object(_)) = volume.get_mut("hostPath") {
        set(path, "type", json!(""));
    }
    let has_source = volume.as_object().is_some_and(|fields| fields.keys().any(|name| name != "name"));
    if !has_source {
        set(volume, "emptyDir", json!({}));
    }
}

fn qos_class(pod: &Value) -> &'static str {
    let containers = ["/spec/initContainers", "/spec/containers"];
    let containers = containers.iter().filter_map(|pointer| pod.pointer(pointer)?.as_array()).flatten();
    let (mut any, mut all_limited) = (false, true);
    for container in containers {
        for amount in ["cpu", "memory"] {
            let (request, limit) =
                (&container["resources"]["requests"][amount], &container["resources"]["limits"][amount]);
            any |= !request.is_null() || !limit.is_null();
            all_limited &= !limit.is_null() && request == limit;
        }
    }
    match (any, all_limited) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn secret(value: &mut Value) {
    set(value, "type", json!("Opaque"));
    let Some(Value::Object(texts)) = value.get("stringData").cloned() else { return };
    remove(value, "stringData");
    for (name, content) in texts {
        value["data"][name] = json!(STANDARD.encode(content.as_str().unwrap_or_default()));
    }
}

fn service(spec: &mut Value) {
    set(spec, "type", json!("ClusterIP"));
    set(spec, "sessionAffinity", json!("None"));
    for port in each(spec, "ports") {
        set(port, "protocol", json!("TCP"));
        let number = port["port"].clone();
        set(port, "targetPort", number);
    }
}

fn binding(value: &mut Value) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    if text(value, "/roleRef/apiGroup").is_empty() {
        value["roleRef"]["apiGroup"] = json!(GROUP);
    }
    for subject in each(value, "subjects") {
        if matches!(text(subject, "/kind"), "User" | "Group") {
            set(subject, "apiGroup", json!(GROUP));
        }
    }
}

/// A definition is served at once: there is no naming controller to wait for.
fn definition_status(definition: &Value) -> Value {
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": text(definition, "/metadata/creationTimestamp")})
    };
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    let stored: Vec<&Value> =
        versions.filter(|version| version["storage"] == true).map(|version| &version["name"]).collect();
    json!({
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "acceptedNames": definition.pointer("/spec/names"),
        "storedVersions": stored,
    })
}
