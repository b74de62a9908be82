//! What is known of a cluster beside its connection: the annotation `clusters.landfall.dev/NAME` of the Secret `clusters`, as
//! JSON. Pure: text in, value or refusal out, and back. Nothing in it is secret.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::ids::Namespace;

/// What is known of one cluster. What is absent has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// The UID of the cluster's namespace `kube-system`: which cluster is meant. `None`: whichever answers first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Whether a namespace takes pods only if its own annotation says so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub require_consent: bool,
    /// The namespaces that pods may be in; `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<BTreeSet<Namespace>>,
    /// As whom the token is renewed; `None`: it isn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// When the token ends; `None`: nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expires: Option<Timestamp>,
}

/// A service account of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Account {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name, a DNS subdomain.
    pub name: String,
}

/// Why an annotation is not used, by the key that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}{problem}")]
pub struct Refusal {
    /// As `account.name: `, or empty where it is the whole text.
    path: String,
    problem: String,
}

/// Reads the text of an annotation.
///
/// # Errors
/// If it isn't JSON, or a key is unknown, given twice or has a value of the wrong kind.
pub fn parse(text: &str) -> Result<Settings, Refusal> {
    // Of a list, the derived reader would take the items for the fields.
    if !text.trim_start().starts_with('{') {
        return Err(Refusal { path: String::new(), problem: "must be a JSON object".to_owned() });
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let settings: Settings = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let path = if [".", "?"].contains(&path.as_str()) { String::new() } else { format!("{path}: ") };
        Refusal { path, problem: error.inner().to_string() }
    })?;
    reader.end().map_err(|error| Refusal { path: String::new(), problem: error.to_string() })?;
    check(&settings)?;
    Ok(settings)
}

/// What a type can't say.
fn check(settings: &Settings) -> Result<(), Refusal> {
    let refuse = |path: &str, problem: &str| Err(Refusal { path: format!("{path}: "), problem: problem.to_owned() });
    if settings.uid.as_ref().is_some_and(String::is_empty) {
        return refuse("uid", "is empty; leave it out to take whichever cluster answers");
    }
    if settings.namespaces.as_ref().is_some_and(BTreeSet::is_empty) {
        return refuse("namespaces", "is empty; leave it out to allow all");
    }
    if settings.account.as_ref().is_some_and(|account| account.name.is_empty()) {
        return refuse("account.name", "is empty");
    }
    Ok(())
}

impl Settings {
    /// As the annotation holds it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data with text for keys")
    }

    /// Whether pods may be in this namespace.
    pub fn allows(&self, namespace: &Namespace) -> bool {
        self.namespaces.as_ref().is_none_or(|namespaces| namespaces.contains(namespace))
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::{Account, Settings, parse};

    #[test]
    fn what_is_printed_is_read_back() {
        let full = r#"{"uid":"7d1c","requireConsent":true,"namespaces":["argo","team-a"],"account":{"namespace":"landfall","name":"landfall-default"},"tokenExpires":"2027-01-01T00:00:00Z"}"#;
        let settings = parse(full).expect("all keys are known");
        assert_eq!(settings.to_json(), full);
        let account = Account { namespace: "landfall".parse().expect("a name"), name: "landfall-default".to_owned() };
        assert_eq!(settings.account, Some(account));
        assert!(settings.allows(&"argo".parse().expect("a name")));
        assert!(!settings.allows(&"kube-system".parse().expect("a name")));

        assert_eq!(parse("{}"), Ok(Settings::default()));
        assert_eq!(Settings::default().to_json(), "{}");
        assert!(Settings::default().allows(&"kube-system".parse().expect("a name")));
    }

    #[test]
    fn refuses_by_the_key() {
        let check = |text: &str, expected: &str| {
            let refusal = parse(text).expect_err(text).to_string();
            assert!(refusal.starts_with(expected), "{text}: {refusal}");
        };
        check("", "must be a JSON object");
        check("[]", "must be a JSON object");
        check("{", "EOF while parsing");
        check("{} {}", "trailing characters");
        check(
            r#"{"requiresConsent": true}"#,
            "requiresConsent: unknown field `requiresConsent`, expected one of `uid`",
        );
        check(r#"{"uid": 7}"#, "uid: invalid type: integer `7`, expected a string");
        check(r#"{"uid": ""}"#, "uid: is empty; leave it out to take whichever cluster answers");
        check(r#"{"uid": "a", "uid": "b"}"#, "duplicate field `uid`");
        check(r#"{"namespaces": []}"#, "namespaces: is empty; leave it out to allow all");
        check(r#"{"namespaces": "argo"}"#, "namespaces: invalid type: string \"argo\", expected a sequence");
        check(r#"{"namespaces": ["Argo"]}"#, "namespaces[0]: namespace name \"Argo\" is not a DNS label");
        check(r#"{"account": {"name": "x"}}"#, "account: missing field `namespace`");
        check(r#"{"account": {"namespace": "a", "name": ""}}"#, "account.name: is empty");
        check(r#"{"account": {"namespace": "a", "name": "b", "uid": "c"}}"#, "account.uid: unknown field `uid`");
        check(r#"{"tokenExpires": "tomorrow"}"#, "tokenExpires: ");
    }
}
