//! Writing answers: objects, lists, watch events, each whole, as metadata only, or as a table.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::local::apiserver::{
    refusal::Refusal,
    requests::Shape,
    resources::Resource,
    store::{EventKind, Object},
    table,
};

/// One object.
pub fn object(resource: &Resource, shape: Shape, object: &Object) -> Bytes {
    match shape {
        Shape::Object => object.json.clone(),
        Shape::Metadata => encode(&metadata(&object.value())),
        Shape::Table => {
            let version = object.version.to_string();
            encode(&table::table(resource, json!({"resourceVersion": version}), &[object.value()]))
        }
    }
}

/// A list; `metadata` is that of the list.
pub fn list<'a>(
    resource: &Resource,
    shape: Shape,
    metadata: Value,
    objects: impl Iterator<Item = &'a Object>,
) -> Bytes {
    let head = match shape {
        Shape::Object => {
            json!({"kind": format!("{}List", resource.kind), "apiVersion": resource.api_version(), "metadata": metadata})
        }
        Shape::Metadata => {
            json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
        }
        Shape::Table => {
            let values: Vec<Value> = objects.map(Object::value).collect();
            return encode(&table::table(resource, metadata, &values));
        }
    };
    let mut text = encode(&head).to_vec();
    text.pop();
    text.extend_from_slice(b",\"items\":[");
    for (index, item) in objects.enumerate() {
        if index != 0 {
            text.push(b',');
        }
        text.extend_from_slice(&self::object(resource, shape, item));
    }
    text.extend_from_slice(b"]}");
    Bytes::from(text)
}

/// Appends one line of a watch.
pub fn event(text: &mut Vec<u8>, resource: &Resource, shape: Shape, kind: EventKind, object: &Object) {
    let kind = match kind {
        EventKind::Added => "ADDED",
        EventKind::Modified => "MODIFIED",
        EventKind::Deleted => "DELETED",
    };
    line(text, kind, &self::object(resource, shape, object));
}

/// Appends a bookmark: nothing up to this version is missing. `initial_end` marks the end of the state at the start.
pub fn bookmark(text: &mut Vec<u8>, resource: &Resource, shape: Shape, version: u64, initial_end: bool) {
    let mut value = json!({
        "kind": resource.kind, "apiVersion": resource.api_version(),
        "metadata": {"resourceVersion": version.to_string(), "creationTimestamp": null},
    });
    if initial_end {
        value["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    match shape {
        Shape::Object => (),
        Shape::Metadata => value = metadata(&value),
        Shape::Table => {
            let row = json!({"cells": [], "object": metadata(&value)});
            let version = json!({"resourceVersion": version.to_string()});
            value = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": version, "columnDefinitions": [], "rows": [row]});
        }
    }
    line(text, "BOOKMARK", &encode(&value));
}

/// Appends the error that ends a watch.
pub fn error(text: &mut Vec<u8>, refusal: &Refusal) {
    line(text, "ERROR", &encode(&refusal.status()));
}

fn line(text: &mut Vec<u8>, kind: &str, object: &[u8]) {
    text.extend_from_slice(b"{\"type\":\"");
    text.extend_from_slice(kind.as_bytes());
    text.extend_from_slice(b"\",\"object\":");
    text.extend_from_slice(object);
    text.extend_from_slice(b"}\n");
}

/// An object's metadata, as the kind PartialObjectMetadata.
pub fn metadata(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

pub fn encode(value: &Value) -> Bytes {
    Bytes::from(serde_json::to_vec(value).expect("a value has only text keys"))
}
