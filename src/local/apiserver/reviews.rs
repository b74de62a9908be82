//! Kinds that are asked and not kept: access reviews.

use http::Method;
use serde_json::{Value, json};

use crate::local::apiserver::{
    caller::Caller,
    rbac::{self, Deed},
    refusal::{Answer, Refusal},
    requests::Request,
    store::{Inner, text},
};

pub const GROUP: &str = "authorization.k8s.io";
/// Plural, kind and whether it is namespaced.
pub const KINDS: [(&str, &str, bool); 4] = [
    ("selfsubjectaccessreviews", "SelfSubjectAccessReview", false),
    ("selfsubjectrulesreviews", "SelfSubjectRulesReview", false),
    ("subjectaccessreviews", "SubjectAccessReview", false),
    ("localsubjectaccessreviews", "LocalSubjectAccessReview", true),
];

pub fn review(inner: &Inner, request: &Request, plural: &str, namespace: &str) -> Answer<Value> {
    let Some((_, kind, _)) = KINDS.iter().find(|(known, _, _)| *known == plural) else {
        return Err(Refusal::no_such_path());
    };
    if request.method != Method::POST {
        return Err(Refusal::method_not_allowed());
    }
    let deed = Deed { verb: "create", group: GROUP, resource: plural, namespace, ..Deed::default() };
    rbac::check(inner, &request.caller, &deed)?;
    let mut review = request.json()?;
    if !review.is_object() {
        return Err(Refusal::bad_request("the object provided is unrecognized"));
    }
    review["kind"] = json!(kind);
    review["apiVersion"] = json!(format!("{GROUP}/v1"));
    let status = match plural {
        "selfsubjectrulesreviews" => rules(inner, &request.caller, text(&review, "/spec/namespace")),
        "selfsubjectaccessreviews" => answer(inner, &request.caller, &review),
        _ => answer(inner, &subject(&review), &review),
    };
    review["status"] = status;
    Ok(review)
}

fn answer(inner: &Inner, caller: &Caller, review: &Value) -> Value {
    // A path is discovery or health, which everybody may read.
    let allowed = Deed::reviewed(review).is_none_or(|deed| rbac::allows(inner, caller, &deed));
    json!({"allowed": allowed})
}

/// Whom a review is about.
fn subject(review: &Value) -> Caller {
    let groups = review.pointer("/spec/groups").and_then(Value::as_array);
    let groups = groups.into_iter().flatten().filter_map(|group| group.as_str().map(str::to_owned));
    Caller { name: text(review, "/spec/user").to_owned(), groups: groups.collect() }
}

fn rules(inner: &Inner, caller: &Caller, namespace: &str) -> Value {
    let is_administrator = caller.is_administrator();
    let resources = if is_administrator { rbac::everything() } else { rbac::rules(inner, caller, namespace) };
    let verb = if is_administrator { "*" } else { "get" };
    json!({
        "incomplete": false, "resourceRules": resources,
        "nonResourceRules": [{"verbs": [verb], "nonResourceURLs": ["*"]}],
    })
}
