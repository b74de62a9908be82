//! Refusing what a real server refuses and a controller relies on: names, labels, pods without containers, changes to
//! what can't change. It is not the whole of Kubernetes' validation.

use serde_json::{Map, Value};

use crate::local::apiserver::{refusal::Cause, resources::Resource, store::text};

const SUBDOMAIN_MAX: usize = 253;
const LABEL_MAX: usize = 63;
/// All annotations of an object together.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
     and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_NAME_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
     start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
     and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
     validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUALIFIED_RULE: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
     an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const POD_CHANGE_RULE: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
     `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
     `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// What is wrong with an object by itself.
pub fn object(resource: &Resource, value: &Value) -> Vec<Cause> {
    let mut causes = metadata(resource, value);
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => pod(value, &mut causes),
        ("", "configmaps") => keys(value, &["data", "binaryData"], &mut causes),
        ("", "secrets") => keys(value, &["data"], &mut causes),
        ("apiextensions.k8s.io", "customresourcedefinitions") => definition(value, &mut causes),
        (_, _) => (),
    }
    causes
}

/// What is wrong with a change.
pub fn change(resource: &Resource, old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if old.pointer("/metadata/deletionTimestamp").is_some() {
        let finalizers = |value: &Value| {
            value.pointer("/metadata/finalizers").and_then(Value::as_array).cloned().unwrap_or_default()
        };
        let before = finalizers(old);
        let added: Vec<String> =
            finalizers(new).iter().filter(|it| !before.contains(it)).map(Value::to_string).collect();
        if !added.is_empty() {
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            causes.push(Cause::forbidden("metadata.finalizers", &detail));
        }
    }
    let unbound = text(old, "/spec/nodeName").is_empty();
    if resource.is_pods() && fixed_pod_spec(old, unbound) != fixed_pod_spec(new, unbound) {
        causes.push(Cause::forbidden("spec", POD_CHANGE_RULE));
    }
    let immutable = old["immutable"] == true
        && (new["immutable"] != true
            || old.get("data") != new.get("data")
            || old.get("binaryData") != new.get("binaryData"));
    if immutable && matches!(resource.plural.as_str(), "configmaps" | "secrets") {
        causes.push(Cause::forbidden("data", "field is immutable when `immutable` is set"));
    }
    if matches!(resource.plural.as_str(), "rolebindings" | "clusterrolebindings")
        && old.get("roleRef") != new.get("roleRef")
    {
        causes.push(Cause::invalid("roleRef", text(new, "/roleRef/name"), "cannot change roleRef"));
    }
    causes
}

/// What is wrong with the time of deletion that an update gives: only the server sets it, and once it has, it stays.
pub fn deletion(old: &Value, new: &Value) -> Vec<Cause> {
    let (before, after) = (&old["metadata"]["deletionTimestamp"], &new["metadata"]["deletionTimestamp"]);
    if !before.is_null() || after.is_null() {
        return Vec::new();
    }
    vec![Cause::invalid("metadata.deletionTimestamp", after.as_str().unwrap_or_default(), "field is immutable")]
}

/// The pod's spec without what may change. A pod that stands on no node yet may be given one.
fn fixed_pod_spec(pod: &Value, unbound: bool) -> Value {
    let mut spec = pod["spec"].clone();
    let Some(fields) = spec.as_object_mut() else { return spec };
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        fields.remove(field);
    }
    if unbound {
        fields.remove("nodeName");
    }
    for list in ["containers", "initContainers"] {
        for container in fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(container) = container.as_object_mut() {
                container.remove("image");
            }
        }
    }
    spec
}

fn metadata(resource: &Resource, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = text(value, "/metadata/name");
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
    } else if let Some(why) = wrong_name(resource, name) {
        causes.push(Cause::invalid("metadata.name", name, &why));
    }
    let empty = Map::new();
    let map = |field: &str| value["metadata"][field].as_object().unwrap_or(&empty);
    for (key, label) in map("labels") {
        if let Some(why) = wrong_key(key) {
            causes.push(Cause::invalid("metadata.labels", key, &why));
        }
        let label = label.as_str().unwrap_or_default();
        if let Some(why) = wrong_label_value(label) {
            causes.push(Cause::invalid("metadata.labels", label, &why));
        }
    }
    for key in map("annotations").keys() {
        if let Some(why) = wrong_key(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", key, &why));
        }
    }
    let size: usize =
        map("annotations").iter().map(|(key, text)| key.len() + text.as_str().unwrap_or_default().len()).sum();
    if ANNOTATIONS_BYTES_MAX < size {
        let message = format!("Too long: may not be more than {ANNOTATIONS_BYTES_MAX} bytes");
        causes.push(Cause { field: "metadata.annotations".to_owned(), reason: "FieldValueTooLong", message });
    }
    for (index, owner) in value["metadata"]["ownerReferences"].as_array().into_iter().flatten().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if text(owner, &format!("/{field}")).is_empty() {
                let path = format!("metadata.ownerReferences[{index}].{field}");
                causes.push(Cause::invalid(path, "", &format!("{field} must not be empty")));
            }
        }
    }
    for (index, finalizer) in value["metadata"]["finalizers"].as_array().into_iter().flatten().enumerate() {
        if let Some(why) = wrong_key(finalizer.as_str().unwrap_or_default()) {
            let path = format!("metadata.finalizers[{index}]");
            causes.push(Cause::invalid(path, finalizer.as_str().unwrap_or_default(), &why));
        }
    }
    causes
}

fn wrong_name(resource: &Resource, name: &str) -> Option<String> {
    if resource.group == "rbac.authorization.k8s.io" {
        return match name {
            "." | ".." => Some(format!("may not be '{name}'")),
            _ => ['/', '%'].iter().find(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")),
        };
    }
    let dotted = !matches!((resource.group.as_str(), resource.plural.as_str()), ("", "namespaces" | "services"));
    let max = if dotted { SUBDOMAIN_MAX } else { LABEL_MAX };
    if max < name.len() {
        return Some(format!("must be no more than {max} characters"));
    }
    let is_label = |part: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !part.is_empty() && part.chars().all(inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    match dotted {
        true if !name.split('.').all(is_label) => Some(SUBDOMAIN_RULE.to_owned()),
        false if !is_label(name) => Some(LABEL_NAME_RULE.to_owned()),
        true | false => None,
    }
}

fn is_loose_label(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    edge(text.chars().next()) && edge(text.chars().last()) && text.chars().all(inner)
}

fn wrong_key(key: &str) -> Option<String> {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if let Some(prefix) = prefix {
        let part = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        if !prefix.split('.').all(part) || SUBDOMAIN_MAX < prefix.len() {
            return Some(format!("prefix part {SUBDOMAIN_RULE}"));
        }
    }
    if name.is_empty() {
        return Some("name part must be non-empty".to_owned());
    }
    if LABEL_MAX < name.len() {
        return Some(format!("name part must be no more than {LABEL_MAX} characters"));
    }
    (!is_loose_label(name)).then(|| QUALIFIED_RULE.to_owned())
}

fn wrong_label_value(value: &str) -> Option<String> {
    if LABEL_MAX < value.len() {
        return Some(format!("must be no more than {LABEL_MAX} characters"));
    }
    (!value.is_empty() && !is_loose_label(value)).then(|| LABEL_VALUE_RULE.to_owned())
}

fn pod(value: &Value, causes: &mut Vec<Cause>) {
    let spec = &value["spec"];
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        causes.push(Cause::required("spec.containers", ""));
    }
    let mut volumes = Vec::new();
    for (index, volume) in spec["volumes"].as_array().into_iter().flatten().enumerate() {
        let name = text(volume, "/name");
        if name.is_empty() {
            causes.push(Cause::required(format!("spec.volumes[{index}].name"), ""));
        } else if volumes.contains(&name) {
            causes.push(Cause::duplicate(format!("spec.volumes[{index}].name"), name));
        }
        volumes.push(name);
    }
    let mut names = Vec::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in spec[list].as_array().into_iter().flatten().enumerate() {
            let path = format!("spec.{list}[{index}]");
            self::container(container, &path, &volumes, causes);
            let name = text(container, "/name");
            if names.contains(&name) && !name.is_empty() {
                causes.push(Cause::duplicate(format!("{path}.name"), name));
            }
            names.push(name);
        }
    }
    let policy = text(spec, "/restartPolicy");
    if !matches!(policy, "Always" | "OnFailure" | "Never") {
        causes.push(Cause::unsupported("spec.restartPolicy", policy, &["Always", "OnFailure", "Never"]));
    }
    if spec["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds < 1) {
        let given = spec["activeDeadlineSeconds"].to_string();
        let message = format!("Invalid value: {given}: must be between 1 and 2147483647, inclusive");
        causes.push(Cause { field: "spec.activeDeadlineSeconds".to_owned(), reason: "FieldValueInvalid", message });
    }
}

fn container(container: &Value, path: &str, volumes: &[&str], causes: &mut Vec<Cause>) {
    let name = text(container, "/name");
    let is_label = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if name.is_empty() {
        causes.push(Cause::required(format!("{path}.name"), ""));
    } else if !is_label || name.starts_with('-') || name.ends_with('-') || LABEL_MAX < name.len() {
        causes.push(Cause::invalid(format!("{path}.name"), name, LABEL_NAME_RULE));
    }
    if text(container, "/image").is_empty() {
        causes.push(Cause::required(format!("{path}.image"), ""));
    }
    for (index, variable) in container["env"].as_array().into_iter().flatten().enumerate() {
        if text(variable, "/name").is_empty() {
            causes.push(Cause::required(format!("{path}.env[{index}].name"), ""));
        }
    }
    for (index, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
        let name = text(mount, "/name");
        if !volumes.contains(&name) {
            let field = format!("{path}.volumeMounts[{index}].name");
            causes.push(Cause { field, reason: "FieldValueNotFound", message: format!("Not found: {name:?}") });
        }
        if text(mount, "/mountPath").is_empty() {
            causes.push(Cause::required(format!("{path}.volumeMounts[{index}].mountPath"), ""));
        }
    }
}

fn keys(value: &Value, fields: &[&str], causes: &mut Vec<Cause>) {
    for field in fields {
        for key in value[*field].as_object().into_iter().flat_map(Map::keys) {
            let good = key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
                && !matches!(key.as_str(), "." | ".." | "");
            if !good || SUBDOMAIN_MAX < key.len() {
                let why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
                           'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
                causes.push(Cause::invalid(format!("{field}[{key}]"), key, why));
            }
        }
    }
}

fn definition(value: &Value, causes: &mut Vec<Cause>) {
    for field in ["/spec/group", "/spec/names/plural", "/spec/names/kind"] {
        if text(value, field).is_empty() {
            causes.push(Cause::required(field[1..].replace('/', "."), ""));
        }
    }
    if value.pointer("/spec/versions").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        causes.push(Cause::required("spec.versions", ""));
    }
    for (index, version) in value.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten().enumerate()
    {
        if version.pointer("/schema/openAPIV3Schema").is_none() {
            let field = format!("spec.versions[{index}].schema.openAPIV3Schema");
            causes.push(Cause::required(field, ""));
        }
    }
    let expected = format!("{}.{}", text(value, "/spec/names/plural"), text(value, "/spec/group"));
    let name = text(value, "/metadata/name");
    if name != expected {
        causes.push(Cause::invalid("metadata.name", name, "must be spec.names.plural+\".\"+spec.group"));
    }
}
