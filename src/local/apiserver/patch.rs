//! The four sorts of patch. What a patch makes of an object is pure; storing it is `writes.rs`' business.

use http::header;
use serde_json::{Map, Value, json};

use crate::local::apiserver::{
    apply,
    refusal::{Answer, Refusal},
    requests::Request,
    resources::Resource,
    store::Key,
};

/// Lists that a strategic merge patch merges by a key: the field's name, and the key or keys in the order of trial.
const MERGE_KEYS: &[(&str, &[&str])] = &[
    ("addresses", &["type"]),
    ("conditions", &["type"]),
    ("containers", &["name"]),
    ("env", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("hostAliases", &["ip"]),
    ("hostIPs", &["ip"]),
    ("imagePullSecrets", &["name"]),
    ("initContainers", &["name"]),
    ("ownerReferences", &["uid"]),
    ("podIPs", &["ip"]),
    ("ports", &["containerPort", "port"]),
    ("resourceClaims", &["name"]),
    ("secrets", &["name"]),
    ("taints", &["key"]),
    ("topologySpreadConstraints", &["topologyKey"]),
    ("volumeDevices", &["devicePath"]),
    ("volumeMounts", &["mountPath"]),
    ("volumes", &["name"]),
];
/// Lists of texts that are merged as sets.
const MERGED_SETS: [&str; 1] = ["finalizers"];

pub enum Patch {
    Merge(Value),
    Json(json_patch::Patch),
    Strategic(Value),
    Apply { applied: Value, manager: String, force: bool },
}

impl Patch {
    pub fn parse(request: &Request, resource: &Resource) -> Answer<Patch> {
        let media = request.header(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
        let accepted = if resource.is_custom() {
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        } else {
            "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
             application/apply-patch+yaml"
        };
        match media {
            "application/merge-patch+json" => request.json().map(Patch::Merge),
            "application/strategic-merge-patch+json" if !resource.is_custom() => request.json().map(Patch::Strategic),
            "application/json-patch+json" => {
                let patch = serde_json::from_slice(&request.body);
                patch.map(Patch::Json).map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))
            }
            "application/apply-patch+yaml" => {
                let Some(manager) = request.text("fieldManager") else {
                    let message = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
                    return Err(Refusal::unprocessable(message));
                };
                Ok(Patch::Apply { applied: request.json()?, manager: manager.to_owned(), force: request.flag("force") })
            }
            _ => Err(Refusal::unsupported_media_type(accepted)),
        }
    }

    /// What the patch makes of an object.
    pub fn apply(&self, resource: &Resource, object: &Value) -> Answer<Value> {
        let mut patched = object.clone();
        match self {
            Patch::Merge(patch) => json_patch::merge(&mut patched, patch),
            Patch::Json(patch) => {
                json_patch::patch(&mut patched, patch).map_err(|error| {
                    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                    let mut refusal = Refusal::invalid(resource, name, &[]);
                    refusal.message =
                        format!("the server rejected our request due to an error in our request: {error}");
                    refusal
                })?;
            }
            Patch::Strategic(patch) => strategic_merge(&mut patched, patch),
            Patch::Apply { applied, manager, force } => {
                return apply::apply(resource, object, applied, manager, *force);
            }
        }
        Ok(patched)
    }

    /// The object that an apply patch creates where there is none; other patches need an object.
    pub fn creates(&self, resource: &Resource, key: &Key) -> Option<Answer<Value>> {
        let Patch::Apply { applied, manager, .. } = self else { return None };
        let mut blank =
            json!({"apiVersion": resource.api_version(), "kind": resource.kind, "metadata": {"name": key.name}});
        if resource.namespaced {
            blank["metadata"]["namespace"] = json!(key.namespace);
        }
        Some(apply::apply(resource, &blank, applied, manager, true))
    }
}

/// The key by which the items of a list are told apart, if the list is merged by one.
pub fn merge_key(field: &str, items: &[Value]) -> Option<&'static str> {
    let (_, keys) = MERGE_KEYS.iter().find(|(name, _)| *name == field)?;
    let fits = |key: &&&str| items.iter().all(|item| item.get(**key).is_some() || item.get("$patch").is_some());
    keys.iter().find(fits).copied()
}

pub fn strategic_merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if patch.get("$patch") == Some(&json!("replace")) {
        let mut replacement = patch.clone();
        replacement.remove("$patch");
        *target = Value::Object(replacement);
        return;
    }
    if !target.is_object() {
        *target = json!({});
    }
    let Some(fields) = target.as_object_mut() else { return };
    if let Some(retained) = patch.get("$retainKeys").and_then(Value::as_array) {
        fields.retain(|name, _| retained.iter().any(|key| key == name));
    }
    for (name, value) in patch {
        if name.starts_with('$') {
            continue;
        }
        match value {
            Value::Null => drop(fields.remove(name)),
            Value::Object(map) if map.get("$patch") == Some(&json!("delete")) => drop(fields.remove(name)),
            Value::Array(items) => merge_list(fields, name, items),
            Value::Object(_) => strategic_merge(fields.entry(name.clone()).or_insert_with(|| json!({})), value),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => drop(fields.insert(name.clone(), value.clone())),
        }
    }
    for (name, value) in patch {
        let Some(items) = value.as_array() else { continue };
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            if let Some(Value::Array(present)) = fields.get_mut(list) {
                present.retain(|item| !items.contains(item));
            }
        } else if let Some(list) = name.strip_prefix("$setElementOrder/") {
            order(fields, list, items);
        }
    }
}

fn merge_list(fields: &mut Map<String, Value>, name: &str, items: &[Value]) {
    let replaces = items.iter().any(|item| item.get("$patch") == Some(&json!("replace")));
    let plain = || Value::Array(items.iter().filter(|item| item.get("$patch").is_none()).map(without_nulls).collect());
    let Some(Value::Array(present)) = fields.get_mut(name).filter(|_| !replaces) else {
        fields.insert(name.to_owned(), plain());
        return;
    };
    if MERGED_SETS.contains(&name) {
        for item in items {
            if !present.contains(item) {
                present.push(item.clone());
            }
        }
        return;
    }
    let Some(key) = merge_key(name, items) else {
        fields.insert(name.to_owned(), plain());
        return;
    };
    for item in items {
        let at = present.iter().position(|present| present.get(key) == item.get(key));
        if item.get("$patch") == Some(&json!("delete")) {
            present.retain(|present| present.get(key) != item.get(key));
        } else if let Some(at) = at {
            strategic_merge(&mut present[at], item);
        } else {
            present.push(without_nulls(item));
        }
    }
}

/// A new item has nothing that a null could delete.
fn without_nulls(item: &Value) -> Value {
    let mut clean = Value::Null;
    strategic_merge(&mut clean, item);
    clean
}

/// Puts the named items of a list in the given order; others keep their place behind them.
fn order(fields: &mut Map<String, Value>, list: &str, wanted: &[Value]) {
    let Some(Value::Array(present)) = fields.get_mut(list) else { return };
    let key = merge_key(list, present);
    let rank = |item: &Value| {
        let same = |wanted: &Value| match key {
            Some(key) => wanted.get(key) == item.get(key),
            None => wanted == item,
        };
        wanted.iter().position(same).unwrap_or(usize::MAX)
    };
    present.sort_by_key(rank);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategic_patches_merge_by_key() {
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}],
            "tolerations": [{"key": "t"}]}, "metadata": {"finalizers": ["one"], "labels": {"x": "y"}}});
        let cases = [
            (json!({"spec": {"containers": [{"name": "a", "image": "2"}]}}), "/spec/containers/0/image", json!("2")),
            (
                json!({"spec": {"containers": [{"name": "a", "env": [{"name": "Y"}]}]}}),
                "/spec/containers/0/env/1/name",
                json!("Y"),
            ),
            (
                json!({"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}),
                "/spec/containers",
                json!([{"name": "b"}]),
            ),
            (
                json!({"spec": {"containers": [{"$patch": "replace"}, {"name": "c"}]}}),
                "/spec/containers",
                json!([{"name": "c"}]),
            ),
            (
                json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}),
                "/spec/containers/0/name",
                json!("b"),
            ),
            (json!({"spec": {"tolerations": [{"key": "u"}]}}), "/spec/tolerations", json!([{"key": "u"}])),
            (json!({"metadata": {"finalizers": ["two"]}}), "/metadata/finalizers", json!(["one", "two"])),
            (json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["one"]}}), "/metadata/finalizers", json!([])),
            (json!({"metadata": {"labels": {"x": null, "z": "1"}}}), "/metadata/labels", json!({"z": "1"})),
            (json!({"metadata": {"labels": {"$patch": "replace", "q": "1"}}}), "/metadata/labels", json!({"q": "1"})),
        ];
        for (patch, pointer, expected) in cases {
            let mut patched = pod.clone();
            strategic_merge(&mut patched, &patch);
            assert_eq!(patched.pointer(pointer), Some(&expected), "{patch}");
        }
    }
}
