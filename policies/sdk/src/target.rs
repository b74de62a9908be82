//! Rules that are for some places only: patterns of targets.
//!
//! | pattern | matches |
//! |---|---|
//! | `other/argo` | that namespace of that cluster |
//! | `*/team-a` | namespace `team-a` of any cluster, home included |
//! | `other/team-*` | `*` stands for any characters of a name, also none |
//! | `@remote/*` | every namespace of every cluster but home |
//! | `@home/*` | every namespace of the home cluster, whatever its name |
//!
//! A `*` never reaches over the `/`, and no name can begin with `@`, so a cluster called `home` is just `home/…`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Request;

const HOME: &str = "@home";
const REMOTE: &str = "@remote";

/// Patterns of targets; one that matches is enough, and an empty list matches nothing. A setting of this type is a list
/// of texts, and one that is no pattern is refused with its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Targets(Vec<TargetPattern>);

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct TargetPattern {
    cluster: Cluster,
    namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cluster {
    Home,
    Remote,
    Named(String),
}

impl Targets {
    /// A pattern matches the request's target.
    pub fn contain(&self, request: &Request) -> bool {
        self.0.iter().any(|pattern| pattern.matches(request))
    }

    /// There is no pattern, so nothing matches.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, pattern) in self.0.iter().enumerate() {
            write!(f, "{}{pattern}", if place > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl TargetPattern {
    /// It matches the request's target.
    pub fn matches(&self, request: &Request) -> bool {
        let cluster = match &self.cluster {
            Cluster::Home => request.is_home(),
            Cluster::Remote => !request.is_home(),
            Cluster::Named(pattern) => matches(pattern, &request.target.cluster, &|_| true),
        };
        cluster && matches(&self.namespace, &request.target.namespace, &|_| true)
    }
}

impl TryFrom<String> for TargetPattern {
    type Error = String;

    fn try_from(text: String) -> Result<TargetPattern, String> {
        let Some((cluster, namespace)) = text.split_once('/') else {
            return Err(format!("{text:?} is not cluster/namespace, such as other/argo, */team-a or @remote/*"));
        };
        let cluster = match cluster {
            HOME => Cluster::Home,
            REMOTE => Cluster::Remote,
            name => Cluster::Named(checked(name, &text)?),
        };
        Ok(TargetPattern { cluster, namespace: checked(namespace, &text)? })
    }
}

impl From<TargetPattern> for String {
    fn from(pattern: TargetPattern) -> String {
        pattern.to_string()
    }
}

impl fmt::Display for TargetPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cluster = match &self.cluster {
            Cluster::Home => HOME,
            Cluster::Remote => REMOTE,
            Cluster::Named(name) => name,
        };
        write!(f, "{cluster}/{}", self.namespace)
    }
}

/// A pattern that no name can match is a mistake, and one that looks like it allows less than meant.
fn checked(name: &str, pattern: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '*';
    if name.is_empty() {
        return Err(format!("{pattern:?} has an empty name beside the `/`; for any, write *"));
    }
    match name.chars().find(|c| !fits(*c)) {
        Some(c) => Err(format!("{pattern:?}: no name has {c:?} in it; a pattern is made of a-z, 0-9, - and *")),
        None => Ok(name.to_owned()),
    }
}

/// `text` is as `pattern` says, in which `*` stands for any characters that `fits` takes, also none.
pub fn matches(pattern: &str, text: &str, fits: &dyn Fn(char) -> bool) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(before) else { return false };
    // The number of stars bounds the depth: a setting, not what is asked. The last star needs no search.
    if !after.contains('*') {
        return rest.strip_suffix(after).is_some_and(|middle| middle.chars().all(fits));
    }
    loop {
        if matches(after, rest, fits) {
            return true;
        }
        let mut characters = rest.chars();
        match characters.next() {
            Some(c) if fits(c) => rest = characters.as_str(),
            Some(_) | None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{TargetPattern, Targets};
    use crate::Request;

    fn pattern(text: &str) -> Result<TargetPattern, String> {
        text.to_owned().try_into()
    }

    #[test]
    fn patterns_match_names() {
        let check = |text: &str, target: &str, expected: bool| {
            assert_eq!(pattern(text).unwrap().matches(&Request::new("argo", target)), expected, "{text} {target}");
        };
        check("other/argo", "other/argo", true);
        check("other/argo", "other/argo2", false);
        check("*/team-a", "default/team-a", true);
        check("*/team-a", "other/team-b", false);
        check("other/team-*", "other/team-", true);
        check("other/team-*", "other/team", false);
        check("*/*-x-*", "other/a-x-b", true);
        check("*/*-x-*", "other/a-x", false);
        check("*/*a*a*b", "other/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false);
        check("@remote/*", "other/argo", true);
        check("@remote/*", "default/argo", false);
        check("@home/argo", "default/argo", true);
        check("@home/argo", "other/argo", false);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let check = |text: &str, expected: &str| {
            assert!(pattern(text).unwrap_err().contains(expected), "{text}");
        };
        check("other", "is not cluster/namespace");
        check("other/", "empty name");
        check("/argo", "empty name");
        check("a/b/c", "no name has '/'");
        check("@away/argo", "no name has '@'");
        check("Other/argo", "no name has 'O'");
        let error = serde_json::from_str::<Targets>(r#"["a/b", "c"]"#).unwrap_err();
        assert!(error.to_string().contains("\"c\" is not cluster/namespace"), "{error}");
    }

    #[test]
    fn an_empty_list_matches_nothing() {
        assert!(!Targets::default().contain(&Request::new("argo", "other/argo")));
        let targets: Targets = serde_json::from_str(r#"["@home/*", "a/b"]"#).unwrap();
        assert_eq!(targets.to_string(), "@home/*, a/b");
    }
}
