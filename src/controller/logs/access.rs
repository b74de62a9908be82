//! Who asks, and whether they may: the API server of home is asked both. Whoever may read the logs of pods in the workflow's
//! namespace, and that workflow, is given its logs, wherever its pods are; what the controller itself may do is lent for that
//! and nothing else.

use http::{HeaderMap, header};
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, UserInfo},
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, api::PostParams};

use crate::{
    api::contract::HEADER_TOKEN,
    clusters::{call::CallError, cluster::Cluster},
    controller::logs::{answer::Denied, wanted::Wanted},
};

/// The group of workflows.
const GROUP_WORKFLOWS: &str = "argoproj.io";

/// The token that a request bears. The header of our own comes first: a proxy of an API server takes the other one away, or
/// puts its own there.
pub fn token(headers: &HeaderMap) -> Option<&str> {
    let own = headers.get(HEADER_TOKEN).and_then(|value| value.to_str().ok());
    let bearer = || {
        let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    };
    own.or_else(bearer).map(str::trim).filter(|token| !token.is_empty())
}

/// Whose token it is.
///
/// # Errors
/// Nobody's, or it can't be found out.
pub async fn identify(home: &Cluster, token: &str) -> Result<UserInfo, Denied> {
    let review = TokenReview {
        spec: TokenReviewSpec { token: Some(token.to_owned()), audiences: None },
        ..TokenReview::default()
    };
    let api: Api<TokenReview> = Api::all(home.client());
    let answer = home.call(api.create(&PostParams::default(), &review)).await;
    let status = answer.map_err(|error| unasked("tokenreviews.authentication.k8s.io", &error))?.status;
    let status = status.unwrap_or_default();
    match status.user.filter(|_| status.authenticated == Some(true)) {
        Some(user) => Ok(user),
        None => Err(Denied::unknown("the cluster of the controller does not know this token, or it has ended")),
    }
}

/// Whether they may read what is wanted.
///
/// # Errors
/// They may not, for want of which right, or it can't be found out.
pub async fn check(home: &Cluster, user: &UserInfo, wanted: &Wanted) -> Result<(), Denied> {
    let get = |group: &str, resource: &str, subresource: &str, name: &str| {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        ResourceAttributes {
            group: text(group),
            resource: text(resource),
            subresource: text(subresource),
            name: text(name),
            namespace: Some(wanted.namespace.to_string()),
            verb: Some("get".to_owned()),
            ..ResourceAttributes::default()
        }
    };
    let rights = [
        (get("", "pods", "log", ""), "pods/log".to_owned()),
        (get(GROUP_WORKFLOWS, "workflows", "", &wanted.workflow), format!("workflow \"{}\"", wanted.workflow)),
    ];
    for (right, what) in rights {
        let spec = SubjectAccessReviewSpec {
            user: user.username.clone(),
            uid: user.uid.clone(),
            groups: user.groups.clone(),
            extra: user.extra.clone(),
            resource_attributes: Some(right),
            non_resource_attributes: None,
        };
        let api: Api<SubjectAccessReview> = Api::all(home.client());
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let answer = home.call(api.create(&PostParams::default(), &review)).await;
        let status = answer.map_err(|error| unasked("subjectaccessreviews.authorization.k8s.io", &error))?.status;
        if !status.is_some_and(|status| status.allowed && status.denied != Some(true)) {
            let who = user.username.as_deref().unwrap_or_default();
            return Err(Denied::forbidden(format!(
                "\"{who}\" may not get {what} in namespace \"{}\" of the cluster of the controller",
                wanted.namespace
            )));
        }
    }
    Ok(())
}

/// The API server of home could not be asked.
fn unasked(what: &str, error: &CallError) -> Denied {
    match error {
        CallError::Refused(status) if status.code == 403 => Denied::broken(format!(
            "the controller may not create {what}: its service account needs the cluster role system:auth-delegator"
        )),
        error => Denied::unavailable(format!("the cluster of the controller can't be asked: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::token;

    #[test]
    fn the_token_is_found_in_either_header() {
        let check = |headers: &[(&'static str, &'static str)], expected: Option<&str>| {
            let pairs =
                headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            assert_eq!(token(&pairs.collect::<HeaderMap>()), expected, "{headers:?}");
        };
        check(&[], None);
        check(&[("authorization", "Bearer a.b.c")], Some("a.b.c"));
        check(&[("authorization", "bearer a ")], Some("a"));
        check(&[("authorization", "Basic a")], None);
        check(&[("authorization", "Bearer ")], None);
        check(&[("authorization", "a")], None);
        check(&[("x-landfall-token", "a")], Some("a"));
        check(&[("x-landfall-token", "a"), ("authorization", "Bearer b")], Some("a"));
        check(&[("x-landfall-token", "")], None);
    }
}
