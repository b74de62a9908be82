//! Server-side apply: who applied which fields, what an apply adds, changes and takes away.
//!
//! Only appliers are tracked in `managedFields`. Fields that others write by PUT or patch belong to nobody here, so
//! applying over them is never a conflict; on a real server it can be.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::local::apiserver::{
    deletion::seconds,
    patch::merge_key,
    refusal::{Answer, Refusal},
    resources::Resource,
    store::text,
};

/// Steps to a field, as `fieldsV1` writes them: `f:name` for a field, `k:{"name":"x"}` for an item of a keyed list.
type Path = Vec<String>;

pub fn apply(resource: &Resource, object: &Value, applied: &Value, manager: &str, force: bool) -> Answer<Value> {
    if !applied.is_object() || text(applied, "/kind").is_empty() {
        return Err(Refusal::bad_request(
            "error decoding YAML: the applied configuration must be an object with a kind",
        ));
    }
    if applied.pointer("/metadata/managedFields").and_then(Value::as_array).is_some_and(|them| !them.is_empty()) {
        return Err(Refusal::bad_request("metadata.managedFields must be nil"));
    }
    let keyed = !resource.is_custom();
    let mut fields = BTreeSet::new();
    collect(applied, keyed, &mut Vec::new(), &mut fields);
    fields.retain(|path| !is_identity(path));

    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array).cloned().unwrap_or_default();
    let (own, mut others): (Vec<Value>, Vec<Value>) =
        entries.into_iter().partition(|entry| entry["manager"] == manager && entry["operation"] == "Apply");
    for other in others.iter_mut().filter(|entry| entry["operation"] == "Apply") {
        let theirs = read_fields(&other["fieldsV1"]);
        let disputed: Vec<&Path> = theirs
            .intersection(&fields)
            .filter(|path| lookup(object, path) != lookup(applied, path) && is_leaf(applied, path))
            .collect();
        if disputed.is_empty() {
            continue;
        }
        if !force {
            let listed: Vec<String> = disputed.iter().map(|path| display(path)).collect();
            return Err(Refusal::apply_conflict(text(other, "/manager"), &listed));
        }
        let kept = theirs.iter().filter(|path| !disputed.contains(path)).cloned().collect();
        other["fieldsV1"] = write_fields(&kept);
    }
    others.retain(|entry| {
        entry["operation"] != "Apply" || entry["fieldsV1"].as_object().is_some_and(|fields| !fields.is_empty())
    });

    let mut merged = object.clone();
    merge(&mut merged, applied, "", keyed);
    let elsewhere: BTreeSet<Path> = others.iter().flat_map(|entry| read_fields(&entry["fieldsV1"])).collect();
    for path in own.iter().flat_map(|entry| read_fields(&entry["fieldsV1"])) {
        if !fields.contains(&path) && !elsewhere.contains(&path) {
            take(&mut merged, &path);
        }
    }
    let same = own.first().is_some_and(|entry| read_fields(&entry["fieldsV1"]) == fields);
    let time =
        own.first().filter(|_| same).map_or_else(|| json!(seconds(Timestamp::now())), |entry| entry["time"].clone());
    others.push(json!({
        "manager": manager, "operation": "Apply", "apiVersion": resource.api_version(), "time": time,
        "fieldsType": "FieldsV1", "fieldsV1": write_fields(&fields),
    }));
    merged["metadata"]["managedFields"] = json!(others);
    Ok(merged)
}

/// What names the object is owned by nobody.
fn is_identity(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["f:apiVersion" | "f:kind"] => true,
        ["f:metadata", field] => {
            matches!(
                *field,
                "f:name" | "f:namespace" | "f:resourceVersion" | "f:uid" | "f:creationTimestamp" | "f:managedFields"
            )
        }
        _ => false,
    }
}

fn collect(value: &Value, keyed: bool, path: &mut Path, fields: &mut BTreeSet<Path>) {
    let Value::Object(map) = value else { return };
    for (name, value) in map {
        path.push(format!("f:{name}"));
        match value {
            Value::Object(inner) if !inner.is_empty() => collect(value, keyed, path, fields),
            Value::Array(items) if keyed && merge_key(name, items).is_some() && !items.is_empty() => {
                for item in items {
                    path.push(item_step(name, items, item));
                    fields.insert(path.clone());
                    collect(item, keyed, path, fields);
                    path.pop();
                }
            }
            Value::Null => (),
            Value::Object(_) | Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                fields.insert(path.clone());
            }
        }
        path.pop();
    }
}

fn item_step(list: &str, items: &[Value], item: &Value) -> String {
    let key = merge_key(list, items).unwrap_or_default();
    format!("k:{}", json!({key: item[key]}))
}

fn merge(target: &mut Value, applied: &Value, name: &str, keyed: bool) {
    match (target, applied) {
        (Value::Object(target), Value::Object(applied)) => {
            for (name, value) in applied {
                merge(target.entry(name.clone()).or_insert(Value::Null), value, name, keyed);
            }
        }
        (Value::Array(target), Value::Array(items)) if keyed && merge_key(name, items).is_some() => {
            let key = merge_key(name, items).unwrap_or_default();
            for item in items {
                match target.iter_mut().find(|present| present.get(key) == item.get(key)) {
                    Some(present) => merge(present, item, "", keyed),
                    None => target.push(item.clone()),
                }
            }
        }
        (target, applied) => *target = applied.clone(),
    }
}

fn matching(item: &Value, step: &str) -> bool {
    let key: Map<String, Value> =
        step.strip_prefix("k:").and_then(|key| serde_json::from_str(key).ok()).unwrap_or_default();
    key.iter().all(|(name, value)| item.get(name) == Some(value))
}

fn lookup<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    let mut value = object;
    for step in path {
        value = match step.strip_prefix("f:") {
            Some(name) => value.get(name)?,
            None => value.as_array()?.iter().find(|item| matching(item, step))?,
        };
    }
    Some(value)
}

/// An item of a keyed list is shared: only what is in it can be disputed.
fn is_leaf(applied: &Value, path: &[String]) -> bool {
    path.last().is_some_and(|step| step.starts_with("f:")) && lookup(applied, path).is_some()
}

fn take(object: &mut Value, path: &[String]) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut value = object;
    for step in parents {
        let next = match step.strip_prefix("f:") {
            Some(name) => value.get_mut(name),
            None => value.as_array_mut().and_then(|items| items.iter_mut().find(|item| matching(item, step))),
        };
        let Some(next) = next else { return };
        value = next;
    }
    match (value, last.strip_prefix("f:")) {
        (Value::Object(fields), Some(name)) => drop(fields.remove(name)),
        (Value::Array(items), None) => items.retain(|item| !matching(item, last)),
        (_, _) => (),
    }
}

fn read_fields(tree: &Value) -> BTreeSet<Path> {
    fn walk(tree: &Value, path: &mut Path, fields: &mut BTreeSet<Path>) {
        let Value::Object(children) = tree else { return };
        if children.is_empty() && !path.is_empty() {
            fields.insert(path.clone());
        }
        for (step, child) in children {
            if step == "." {
                fields.insert(path.clone());
                continue;
            }
            path.push(step.clone());
            walk(child, path, fields);
            path.pop();
        }
    }
    let mut fields = BTreeSet::new();
    walk(tree, &mut Vec::new(), &mut fields);
    fields
}

fn write_fields(fields: &BTreeSet<Path>) -> Value {
    let mut tree = json!({});
    for path in fields {
        let mut node = &mut tree;
        for step in path {
            node = &mut node[step.as_str()];
            if !node.is_object() {
                *node = json!({});
            }
        }
        if path.last().is_some_and(|step| step.starts_with("k:")) {
            node["."] = json!({});
        }
    }
    tree
}

/// A path as conflicts name it: `.spec.containers[name="a"].image`.
fn display(path: &[String]) -> String {
    let mut shown = String::new();
    for step in path {
        match step.strip_prefix("f:") {
            Some(name) => shown.push_str(&format!(".{name}")),
            None => {
                let key: Map<String, Value> =
                    step.strip_prefix("k:").and_then(|key| serde_json::from_str(key).ok()).unwrap_or_default();
                let pairs: Vec<String> = key.iter().map(|(name, value)| format!("{name}={value}")).collect();
                shown.push_str(&format!("[{}]", pairs.join(",")));
            }
        }
    }
    shown
}
