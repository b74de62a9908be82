//! Kinds that are asked and not kept: who somebody is, and what they may do.

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};

use crate::local::apiserver::{
    ApiServer,
    caller::Caller,
    rbac::{self, Deed},
    refusal::{Answer, Refusal},
    requests::Request,
    store::{Inner, text},
};

/// The group of reviews of what somebody may do.
pub const GROUP: &str = "authorization.k8s.io";
/// The group of reviews of who somebody is.
const GROUP_IDENTITY: &str = "authentication.k8s.io";
/// Groups with nothing in them that is kept.
pub const GROUPS: [&str; 2] = [GROUP, GROUP_IDENTITY];
/// Group, plural, kind and whether it is namespaced.
const KINDS: [(&str, &str, &str, bool); 5] = [
    (GROUP, "selfsubjectaccessreviews", "SelfSubjectAccessReview", false),
    (GROUP, "selfsubjectrulesreviews", "SelfSubjectRulesReview", false),
    (GROUP, "subjectaccessreviews", "SubjectAccessReview", false),
    (GROUP, "localsubjectaccessreviews", "LocalSubjectAccessReview", true),
    (GROUP_IDENTITY, TOKENS, "TokenReview", false),
];
const TOKENS: &str = "tokenreviews";

/// The kinds of a group: plural, kind and whether it is namespaced.
pub fn kinds(group: &str) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    let of_group = KINDS.iter().filter(move |(known, ..)| *known == group);
    of_group.map(|(_, plural, kind, namespaced)| (*plural, *kind, *namespaced))
}

pub fn review(server: &ApiServer, request: &Request, (group, plural): (&str, &str), namespace: &str) -> Answer<Value> {
    let Some((_, kind, _)) = kinds(group).find(|(known, _, _)| *known == plural) else {
        return Err(Refusal::no_such_path());
    };
    if request.method != Method::POST {
        return Err(Refusal::method_not_allowed());
    }
    let deed = Deed { verb: "create", group, resource: plural, namespace, ..Deed::default() };
    rbac::check(&server.store().lock(), &request.caller, &deed)?;
    let mut review = request.json()?;
    if !review.is_object() {
        return Err(Refusal::bad_request("the object provided is unrecognized"));
    }
    review["kind"] = json!(kind);
    review["apiVersion"] = json!(format!("{group}/v1"));
    if plural == TOKENS {
        review["status"] = identity(server, &review);
        return Ok(review);
    }
    let inner = &server.store().lock();
    let status = match plural {
        "selfsubjectrulesreviews" => rules(inner, &request.caller, text(&review, "/spec/namespace")),
        "selfsubjectaccessreviews" => answer(inner, &request.caller, &review),
        _ => answer(inner, &subject(&review), &review),
    };
    review["status"] = status;
    Ok(review)
}

/// Whose token it is. Only those that are meant for this server are known here.
fn identity(server: &ApiServer, review: &Value) -> Value {
    let mut headers = HeaderMap::new();
    let bearer = HeaderValue::try_from(format!("Bearer {}", text(review, "/spec/token")));
    headers.extend(bearer.ok().map(|bearer| (header::AUTHORIZATION, bearer)));
    match server.caller(&headers) {
        Some(caller) => json!({"authenticated": true, "user": {"username": caller.name, "groups": caller.groups}}),
        None => json!({"user": {}, "error": "[invalid bearer token, unknown]"}),
    }
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
