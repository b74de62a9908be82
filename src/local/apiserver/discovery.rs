//! What this server has: groups, versions and resources, plain and aggregated, as clients ask before anything else.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use http::{Response, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use crate::local::apiserver::{
    requests::Request,
    resources::Resource,
    reviews,
    routes::{Body, sent, whole},
    shape,
};

/// The version that this server's behaviour and schemas are of.
const MINOR: &str = "33";
const GIT_VERSION: &str = "v1.33.0+landfall";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Resources by group, each group with its versions; the review kinds are a group of their own.
type Groups<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Vec<&'a Resource>>>;

pub fn document(resources: &[Arc<Resource>], request: &Request) -> Option<Response<Body>> {
    let mut groups = Groups::new();
    for resource in resources {
        groups.entry(&resource.group).or_default().entry(&resource.version).or_default().push(resource);
    }
    for group in reviews::GROUPS {
        groups.entry(group).or_default().entry("v1").or_default();
    }
    let aggregated = request.header(header::ACCEPT).contains("as=APIGroupDiscoveryList")
        && request.header(header::ACCEPT).contains("v=v2;");
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let value = match path.as_slice() {
        ["version"] => version(),
        [] => {
            json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]})
        }
        ["api"] if aggregated => return Some(aggregate(groups.iter().filter(|(group, _)| group.is_empty()))),
        ["apis"] if aggregated => return Some(aggregate(groups.iter().filter(|(group, _)| !group.is_empty()))),
        ["api"] => json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        ["apis"] => {
            let listed: Vec<Value> =
                groups.iter().filter(|(name, _)| !name.is_empty()).map(|(name, it)| group(name, it)).collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": listed})
        }
        ["api", version] => resource_list("", version, groups.get("")?.get(version)?),
        ["apis", name] => {
            let mut group = group(name, groups.get(name)?);
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            group
        }
        ["apis", group, version] => resource_list(group, version, groups.get(group)?.get(version)?),
        _ => return None,
    };
    Some(whole(200, shape::encode(&value)))
}

fn version() -> Value {
    json!({
        "major": "1", "minor": MINOR, "gitVersion": GIT_VERSION, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

fn group(name: &str, versions: &BTreeMap<&str, Vec<&Resource>>) -> Value {
    let version = |version: &&str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let versions: Vec<Value> = versions.keys().map(version).collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions.first()})
}

const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Subresources: name, kind and verbs.
fn subresources(resource: &Resource) -> Vec<(&'static str, String, Vec<&'static str>)> {
    let mut all = Vec::new();
    if resource.status {
        all.push(("status", resource.kind.clone(), vec!["get", "patch", "update"]));
    }
    if resource.is_pods() {
        all.push(("log", resource.kind.clone(), vec!["get"]));
        all.push(("binding", "Binding".to_owned(), vec!["create"]));
        all.push(("eviction", "Eviction".to_owned(), vec!["create"]));
    }
    if resource.is("", "serviceaccounts") {
        all.push(("token", "TokenRequest".to_owned(), vec!["create"]));
    }
    if resource.is_namespaces() {
        all.push(("finalize", resource.kind.clone(), vec!["update"]));
    }
    all
}

fn resource_list(group: &str, version: &str, resources: &[&Resource]) -> Value {
    let mut listed = Vec::new();
    for resource in resources {
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": VERBS,
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(resource.categories);
        }
        listed.push(entry);
        for (name, kind, verbs) in subresources(resource) {
            let name = format!("{}/{name}", resource.plural);
            listed.push(json!({"name": name, "singularName": "", "namespaced": resource.namespaced, "kind": kind, "verbs": verbs}));
        }
    }
    for (plural, kind, namespaced) in reviews::kinds(group) {
        listed.push(
            json!({"name": plural, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["create"]}),
        );
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed})
}

fn aggregate<'a>(
    groups: impl Iterator<Item = (&'a &'a str, &'a BTreeMap<&'a str, Vec<&'a Resource>>)>,
) -> Response<Body> {
    let items: Vec<Value> = groups
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|(version, resources)| {
                    let mut entries: Vec<Value> =
                        resources.iter().map(|resource| aggregated_resource(resource)).collect();
                    entries.extend(reviews::kinds(group).map(|(plural, kind, namespaced)| {
                        json!({
                            "resource": plural, "responseKind": {"group": group, "version": version, "kind": kind},
                            "scope": scope(namespaced), "singularResource": kind.to_lowercase(), "verbs": ["create"],
                        })
                    }));
                    json!({"version": version, "resources": entries, "freshness": "Current"})
                })
                .collect();
            json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
        })
        .collect();
    let list = json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items});
    sent(200, AGGREGATED, Full::new(Bytes::from(list.to_string())).boxed_unsync())
}

fn scope(namespaced: bool) -> &'static str {
    if namespaced { "Namespaced" } else { "Cluster" }
}

fn aggregated_resource(resource: &Resource) -> Value {
    let kind = |kind: &str| json!({"group": resource.group, "version": resource.version, "kind": kind});
    let below = subresources(resource);
    let below: Vec<Value> = below
        .iter()
        .map(|(name, of, verbs)| json!({"subresource": name, "responseKind": kind(of), "verbs": verbs}))
        .collect();
    let mut entry = json!({
        "resource": resource.plural, "responseKind": kind(&resource.kind), "scope": scope(resource.namespaced),
        "singularResource": resource.singular, "verbs": VERBS,
    });
    for (field, value) in [
        ("shortNames", json!(resource.short_names)),
        ("categories", json!(resource.categories)),
        ("subresources", json!(below)),
    ] {
        if value.as_array().is_some_and(|items| !items.is_empty()) {
            entry[field] = value;
        }
    }
    entry
}
