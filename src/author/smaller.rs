//! Requests and JSON, a step smaller or plainer: what a search for the smallest example tries.

use serde_json::{Value as Json, json};

use crate::{
    api::ids::DEFAULT_SERVICE_ACCOUNT,
    author::removal,
    policy::request::{PodJson, Request},
};

/// What stands for a text that does not matter.
const PLAIN: &str = "main";
/// A text up to here is left as it is.
const SHORT: usize = 16;
/// The UID of nobody.
const UID: &str = "00000000-0000-0000-0000-000000000000";

/// All that are a step plainer.
pub fn requests(request: &Request) -> Vec<Request> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Request)| {
        let mut plainer = request.clone();
        change(&mut plainer);
        if plainer != *request {
            all.push(plainer);
        }
    };
    with(&|request| request.attributes.clear());
    for place in 0..request.attributes.len() {
        with(&|request| drop(request.attributes.remove(place)));
    }
    with(&|request| PLAIN.clone_into(&mut request.template));
    with(&|request| PLAIN.clone_into(&mut request.workflow.name));
    with(&|request| UID.clone_into(&mut request.workflow.uid));
    with(&|request| DEFAULT_SERVICE_ACCOUNT.clone_into(&mut request.service_account));
    with(&|request| request.target.cluster = request.home.clone());
    with(&|request| request.target.namespace = request.workflow.namespace.clone());
    let short = || PLAIN.parse().expect("a DNS label");
    if request.workflow.namespace.as_str().len() > SHORT {
        with(&|request| request.workflow.namespace = short());
    }
    if request.target.namespace.as_str().len() > SHORT {
        with(&|request| request.target.namespace = short());
    }
    if request.target.cluster.as_str().len() > SHORT {
        with(&|request| request.target.cluster = PLAIN.parse().expect("a DNS label"));
    }
    all.extend(pods(request));
    all
}

fn pods(request: &Request) -> Vec<Request> {
    let Some(pod) = &request.pod else { return Vec::new() };
    let plain =
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": PLAIN }, "spec": { "containers": [] } });
    let found = serde_json::from_str::<Json>(pod.as_str());
    let mut smaller = found.as_ref().map(values).unwrap_or_default();
    // A plain pod is only smaller if this one is not within it.
    if pod.as_str().len() > plain.to_string().len() {
        smaller.insert(0, plain);
    }
    let with = |pod: Json| Request { pod: Some(PodJson::from(pod.to_string())), ..request.clone() };
    smaller.into_iter().map(with).collect()
}

/// JSON with an element less, or a shorter text.
pub fn values(value: &Json) -> Vec<Json> {
    let mut all: Vec<Json> = removal::elements(value).iter().map(|path| removal::without(value, path)).collect();
    all.extend(shorter(value));
    all
}

/// JSON with a text made short.
pub fn shorter(value: &Json) -> Vec<Json> {
    let mut all = Vec::new();
    for path in removal::elements(value) {
        let mut shorter = value.clone();
        if let Some(Json::String(text)) = removal::get_mut(&mut shorter, &path)
            && text.len() > SHORT
        {
            PLAIN.clone_into(text);
            all.push(shorter);
        }
    }
    all
}
