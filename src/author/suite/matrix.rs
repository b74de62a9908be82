//! Matrices: every workflow namespace with every cluster and every namespace in it, where what is not listed must be
//! denied.
//!
//! An entry of `allow` reads `NAMESPACE -> CLUSTER/NAMESPACE`. In each part `*` stands for any text; `<own>` as the last
//! part is the workflow's namespace.

use std::{collections::HashMap, sync::Arc};

use crate::{
    api::ids::{ClusterName, Namespace, Target},
    author::{
        question::{Draft, Expected, Question, read_texts},
        suite::{QUESTIONS_MAX, read::Defaults},
    },
    policy::{
        config::reader::{Reader, find, join},
        yaml::{Key, Node},
    },
};

/// In place of the target's namespace: that of the workflow.
const OWN: &str = "<own>";

/// One entry of `allow`.
struct Allowed {
    line: u64,
    path: String,
    text: String,
    namespace: String,
    cluster: String,
    target: String,
    used: bool,
}

/// The three lists.
struct Axes {
    namespaces: Vec<Namespace>,
    clusters: Vec<ClusterName>,
    targets: Vec<Namespace>,
}

/// Reads one matrix and adds its questions.
pub fn read(
    reader: &mut Reader,
    path: &str,
    node: &Node,
    defaults: &Defaults,
    names: &mut HashMap<String, u64>,
    questions: &mut Vec<Question>,
) {
    let known = [
        "name",
        "settings",
        "namespaceRoles",
        "request",
        "namespaces",
        "clusters",
        "targetNamespaces",
        "allow",
        "deny",
        "reason",
    ];
    let fields = reader.map(path, node, &known);
    let Some(name) = reader.case_name(path, node, fields, names) else { return };
    let settings = reader.settings(path, fields).unwrap_or_else(|| Arc::clone(&defaults.settings));
    let at = join(path, "request");
    let draft = find(fields, "request").map(|node| Draft::read(reader, &at, node, defaults.folder));
    let draft = draft.unwrap_or_default().over(&defaults.request);
    let codes = find(fields, "deny").map(|node| read_texts(reader, &join(path, "deny"), node)).unwrap_or_default();
    let reason = find(fields, "reason").map(|node| reader.text(&join(path, "reason"), node));
    let denied = Expected::Deny { codes, reason };
    let mut allowed = read_allowed(reader, &join(path, "allow"), find(fields, "allow"));
    let Some(axes) = read_axes(reader, path, node, fields) else { return };
    let count = axes.namespaces.len().saturating_mul(axes.clusters.len()).saturating_mul(axes.targets.len());
    if questions.len().saturating_add(count) > QUESTIONS_MAX {
        reader.mistake(node.line, path, format!("{count} questions, over {QUESTIONS_MAX} in a suite"));
        return;
    }
    for namespace in &axes.namespaces {
        for cluster in &axes.clusters {
            for target in &axes.targets {
                let target = Target { cluster: cluster.clone(), namespace: target.clone() };
                let (line, expected) = match find_allowed(&mut allowed, namespace, &target) {
                    Some(line) => (line, Expected::Allow),
                    None => (node.line, denied.clone()),
                };
                let name = format!("{name}: {namespace} -> {target}");
                let asked = Draft { namespace: Some(namespace.clone()), target: Some(target), ..draft.clone() };
                let Ok(request) = asked.finish() else { continue };
                questions.push(Question { name, line, settings: Arc::clone(&settings), request, expected });
            }
        }
    }
    for Allowed { line, path, text, .. } in allowed.iter().filter(|entry| !entry.used) {
        reader.mistake(*line, path, format!("{text:?} is nothing that this matrix asks"));
    }
}

fn read_axes(reader: &mut Reader, path: &str, node: &Node, fields: &[(Key, Node)]) -> Option<Axes> {
    let before = reader.mistakes.len();
    let namespaces = read_axis(reader, path, node, fields, "namespaces");
    let clusters = read_axis(reader, path, node, fields, "clusters");
    let targets = match find(fields, "targetNamespaces") {
        Some(_) => read_axis(reader, path, node, fields, "targetNamespaces"),
        None => namespaces.clone(),
    };
    (reader.mistakes.len() == before).then_some(Axes { namespaces, clusters, targets })
}

fn read_axis<T: std::str::FromStr<Err: std::fmt::Display> + PartialEq>(
    reader: &mut Reader,
    path: &str,
    node: &Node,
    fields: &[(Key, Node)],
    name: &str,
) -> Vec<T> {
    let path = join(path, name);
    let found = find(fields, name);
    let items: Vec<_> = reader.list(&path, found).collect();
    if items.is_empty() {
        reader.mistake(found.unwrap_or(node).line, &path, "a matrix asks nothing without it".to_owned());
    }
    let mut axis = Vec::new();
    for (path, node) in items {
        match reader.checked(&path, node) {
            Some(name) if axis.contains(&name) => {
                reader.mistake(node.line, &path, "is there twice".to_owned());
            }
            Some(name) => axis.push(name),
            None => {}
        }
    }
    axis
}

fn read_allowed(reader: &mut Reader, path: &str, node: Option<&Node>) -> Vec<Allowed> {
    let mut allowed = Vec::new();
    let items: Vec<_> = reader.list(path, node).collect();
    for (path, node) in items {
        let text = reader.text(&path, node);
        let parts = text.split_once("->").and_then(|(from, to)| Some((from.trim(), to.trim().split_once('/')?)));
        match parts {
            Some((namespace, (cluster, target))) if !namespace.is_empty() => {
                let [namespace, cluster, target] = [namespace, cluster, target].map(str::to_owned);
                allowed.push(Allowed { line: node.line, path, text, namespace, cluster, target, used: false });
            }
            Some(_) | None => {
                let message = format!("{text:?} is not NAMESPACE -> CLUSTER/NAMESPACE, such as argo -> other/argo");
                reader.mistake(node.line, &path, message);
            }
        }
    }
    allowed
}

/// The line of the first entry that allows this. Whatever entry does so is of use.
fn find_allowed(allowed: &mut [Allowed], namespace: &Namespace, target: &Target) -> Option<u64> {
    let mut line = None;
    for entry in allowed {
        let own = entry.target == OWN && target.namespace == *namespace;
        if matches(&entry.namespace, namespace.as_str())
            && matches(&entry.cluster, target.cluster.as_str())
            && (own || matches(&entry.target, target.namespace.as_str()))
        {
            entry.used = true;
            line = line.or(Some(entry.line));
        }
    }
    line
}

/// Whether `text` is as `pattern` has it, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(text) = text.strip_prefix(start).and_then(|text| text.strip_suffix(end)) else { return false };
    // The first place of each part is as good as any later one: a `*` follows.
    middle.split('*').try_fold(text, |text, part| text.split_once(part).map(|(_, rest)| rest)).is_some()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_star_stands_for_any_text() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(super::matches(pattern, text), expected, "{pattern} {text}");
        };
        check("*", "", true);
        check("*", "argo", true);
        check("argo", "argo", true);
        check("argo", "argo-events", false);
        check("team-*", "team-a", true);
        check("team-*", "a-team-a", false);
        check("*-a", "team-a-a", true);
        check("aba*aba", "aba", false);
        check("t*m*a", "team-a", true);
        check("*m*m*", "team-a", false);
        check("*e*-*", "team-a", true);
        check("t*m*b", "team-a", false);
    }
}
