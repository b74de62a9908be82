//! Kinds that are asked and not kept: access reviews and tokens. Everybody may do everything here.

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::local::apiserver::{
    deletion::seconds,
    refusal::{Answer, Refusal},
    requests::Request,
};

pub const GROUP: &str = "authorization.k8s.io";
/// Plural, kind and whether it is namespaced.
pub const KINDS: [(&str, &str, bool); 4] = [
    ("selfsubjectaccessreviews", "SelfSubjectAccessReview", false),
    ("selfsubjectrulesreviews", "SelfSubjectRulesReview", false),
    ("subjectaccessreviews", "SubjectAccessReview", false),
    ("localsubjectaccessreviews", "LocalSubjectAccessReview", true),
];

const TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(1);

pub fn review(request: &Request, plural: &str) -> Answer<Value> {
    let Some((_, kind, _)) = KINDS.iter().find(|(known, _, _)| *known == plural) else {
        return Err(Refusal::no_such_path());
    };
    if request.method != Method::POST {
        return Err(Refusal::method_not_allowed());
    }
    let mut review = request.json()?;
    if !review.is_object() {
        return Err(Refusal::bad_request("the object provided is unrecognized"));
    }
    review["kind"] = json!(kind);
    review["apiVersion"] = json!(format!("{GROUP}/v1"));
    let status = if plural == "selfsubjectrulesreviews" {
        json!({
            "incomplete": false,
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        })
    } else {
        json!({"allowed": true})
    };
    review["status"] = status;
    Ok(review)
}

/// A token request, answered. Nobody checks the token.
pub fn token(mut request: Value) -> Value {
    if !request.is_object() {
        request = json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"});
    }
    let expires = Timestamp::now().saturating_add(TOKEN_LIFE).unwrap_or(Timestamp::MAX);
    request["status"] = json!({"token": "local", "expirationTimestamp": seconds(expires)});
    request
}
