//! OpenAPI v3, as much of it as kubectl needs: that each kind exists, and that the server itself checks fields.
//!
//! There are no schemas of the kinds' fields here: `kubectl explain` finds descriptions on a real server only.

use std::sync::Arc;

use http::Response;
use serde_json::{Map, Value, json};

use crate::local::apiserver::{
    resources::Resource,
    routes::{Body, whole},
    shape,
};

pub fn document(resources: &[Arc<Resource>], path: &[&str]) -> Option<Response<Body>> {
    let value = match path {
        ["openapi", "v3"] => index(resources),
        ["openapi", "v3", "api", version] => group(resources, "", version)?,
        ["openapi", "v3", "apis", group, version] => self::group(resources, group, version)?,
        _ => return None,
    };
    Some(whole(200, shape::encode(&value)))
}

fn root(resource: &Resource) -> String {
    if resource.group.is_empty() {
        format!("api/{}", resource.version)
    } else {
        format!("apis/{}", resource.api_version())
    }
}

fn index(resources: &[Arc<Resource>]) -> Value {
    let entry = |resource: &Arc<Resource>| {
        let root = root(resource);
        let url = json!({"serverRelativeURL": format!("/openapi/v3/{root}")});
        (root, url)
    };
    let paths: Map<String, Value> = resources.iter().map(entry).collect();
    json!({"paths": paths})
}

fn group(resources: &[Arc<Resource>], group: &str, version: &str) -> Option<Value> {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for resource in resources.iter().filter(|resource| resource.group == group && resource.version == version) {
        let kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
        let namespace = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
        let query =
            |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
        let operation = |action: &str| {
            json!({
                "parameters": [query("dryRun"), query("fieldManager"), query("fieldValidation")],
                "responses": {"200": {"description": "OK"}},
                "x-kubernetes-action": action, "x-kubernetes-group-version-kind": kind,
            })
        };
        let root = root(resource);
        paths.insert(format!("/{root}{namespace}/{}", resource.plural), json!({"post": operation("post")}));
        let one = json!({"patch": operation("patch"), "put": operation("put"), "get": operation("get")});
        paths.insert(format!("/{root}{namespace}/{}/{{name}}", resource.plural), one);
        let reversed: Vec<&str> = resource.group.rsplit('.').filter(|part| !part.is_empty()).collect();
        let schema = json!({
            "type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-group-version-kind": [kind],
        });
        schemas.insert([&reversed[..], &[version, &resource.kind]].concat().join("."), schema);
    }
    let info = json!({"title": "Kubernetes", "version": "v1.33.0"});
    (!paths.is_empty())
        .then(|| json!({"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}))
}
