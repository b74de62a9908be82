//! What was found out about a cluster: one line each, with what mends it where something is wrong.

use serde::Serialize;

use crate::{
    cli::{
        cluster::target::Target,
        style::{BAD, GOOD, styled},
    },
    clusters::{call::CallError, grants::Right, settings::Account},
};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What, in a few words.
    pub what: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// How it is.
    pub found: String,
    /// What mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn good(what: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding { what: what.into(), ok: true, found: found.into(), fix: None }
    }

    /// Not as it should be.
    pub fn bad(what: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { what: what.into(), ok: false, found: found.into(), fix: Some(fix.into()) }
    }
}

/// One line each, and one for what mends it.
pub fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for (place, Finding { what, ok, found, fix }) in findings.iter().enumerate() {
        let word = if *ok { styled(GOOD, "ok  ") } else { styled(BAD, "FAIL") };
        let colon = if found.is_empty() { "" } else { ": " };
        text += &format!("  {word} {what}{colon}{found}\n");
        // What mends several in a row is said once, below them.
        let is_repeated = findings.get(place + 1).is_some_and(|next| next.fix == *fix);
        if let Some(fix) = fix.as_ref().filter(|_| !is_repeated) {
            text += &format!("       fix: {fix}\n");
        }
    }
    text
}

/// Whether all is as it should be.
pub fn all_good(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.ok)
}

/// Whether whoever connects has each of the rights; of those that are there, one line a namespace.
///
/// # Errors
/// If the cluster can't be asked.
pub async fn of_rights(target: &Target, rights: &[Right], fix: &str) -> Result<Vec<Finding>, CallError> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut missing = Vec::new();
    for right in rights {
        let (is_allowed, said) = target.may(right).await?;
        if !is_allowed {
            let found = if said.is_empty() { "it is not allowed".to_owned() } else { said };
            missing.push(Finding::bad(format!("right to {right}"), found, fix));
            continue;
        }
        let what = match (&right.namespace, &right.name) {
            (Some(namespace), None) => format!("rights in namespace {namespace}"),
            (None, None) if right.resource != "namespaces" => "rights in all namespaces".to_owned(),
            (_, _) => format!("rights to {}", resource(right)),
        };
        let verb = match &right.name {
            Some(_) => right.verb.clone(),
            None => format!("{} {}", right.verb, resource(right)),
        };
        match findings.iter_mut().find(|finding| finding.what == what) {
            Some(finding) => finding.found += &format!(", {verb}"),
            None => findings.push(Finding::good(what, verb)),
        }
    }
    findings.append(&mut missing);
    Ok(findings)
}

fn resource(right: &Right) -> String {
    let slash = if right.subresource.is_empty() { "" } else { "/" };
    let name = right.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    format!("{}{slash}{}{name}", right.resource, right.subresource)
}

/// `1 pod`, `2 pods`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// An account as commands show it.
pub fn account(account: &Account) -> String {
    format!("{}/{}", account.namespace, account.name)
}
