//! Pods as authors write them: as much of one as matters, with no field that nobody reads. A misspelt one would be a case
//! that asks something else than it seems to, and passes.
//!
//! Values may be of any kind: what a module says to those that can't be read is worth a case.

use std::{fs, path::Path};

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value as Json};

use crate::{
    api::{ids::Target, strict},
    policy::{
        config::reader::{Reader, join},
        yaml::{self, Node, Value},
    },
};

/// What to do about a field that is there in a newer Kubernetes.
const NEWER: &str = "`podFields: any` beside the pod takes it";

/// Which fields a pod may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Those that Kubernetes knows.
    Only,
    /// Any.
    Any,
}

/// Reads which fields a pod may have: `known`, which is the default, or `any`.
pub fn read_known(reader: &mut Reader, path: &str, node: Option<&Node>) -> Known {
    let Some(node) = node else { return Known::Only };
    let text = reader.text(path, node);
    match text.as_str() {
        "any" => Known::Any,
        "known" => Known::Only,
        _ => {
            reader.mistake(node.line, path, "expected known or any".to_owned());
            Known::Only
        }
    }
}

/// Reads a pod, or as much of one as matters.
pub fn read(reader: &mut Reader, path: &str, node: &Node, known: Known) -> Option<Map<String, Json>> {
    match node.to_json() {
        Json::Object(pod) => {
            if known == Known::Only {
                for (line, place, problem) in unknown(node, &pod) {
                    reader.mistake(line, &join(path, &place), problem);
                }
            }
            Some(pod)
        }
        // A record's request has no pod.
        Json::Null => None,
        Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            reader.mistake(node.line, path, format!("expected a pod, found {}", node.kind()));
            None
        }
    }
}

/// Reads the name of a file with a pod, which is relative to `folder`, and the pod.
pub fn read_file_of(
    reader: &mut Reader,
    path: &str,
    node: &Node,
    (folder, known): (&Path, Known),
) -> Option<Map<String, Json>> {
    let name = reader.text(path, node);
    match read_file(&folder.join(name), known) {
        Ok(pod) => Some(pod),
        Err(message) => {
            reader.mistake(node.line, path, message);
            None
        }
    }
}

/// Reads a pod, or as much of one as matters, from a file of YAML or JSON.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_file(file: &Path, known: Known) -> Result<Map<String, Json>, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let node = yaml::parse(&text).map_err(|yaml::Malformed { line, message }| {
        format!("{}{}: {message}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())
    })?;
    match node.to_json() {
        Json::Object(pod) => {
            let unknown = if known == Known::Only { unknown(&node, &pod) } else { Vec::new() };
            let line = |(line, place, problem): &(u64, String, String)| {
                format!("{}:{line}: {place}: {problem}", file.display())
            };
            match unknown.as_slice() {
                [] => Ok(pod),
                unknown => Err(unknown.iter().map(line).collect::<Vec<_>>().join("\n       ")),
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            Err(format!("{}: expected a pod, found {}", file.display(), node.kind()))
        }
    }
}

/// Whether the pod has fields that Kubernetes doesn't know.
pub fn is_odd(pod: &Json) -> bool {
    !strict::unknown_fields::<Pod>(pod).is_empty()
}

/// The pod with what every pod has; one that nobody named bears `name`. Whatever is said stays.
pub fn whole(name: &str, pod: Map<String, Json>, target: &Target, service_account: Option<&str>) -> Json {
    let mut whole = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": target.namespace.as_str() },
        "spec": { "containers": [] },
    });
    if let Some(account) = service_account.filter(|account| !account.is_empty()) {
        whole["spec"]["serviceAccountName"] = account.into();
    }
    let Some(fields) = whole.as_object_mut() else { return whole };
    for (name, value) in pod {
        match (fields.get_mut(&name), value) {
            (Some(Json::Object(known)), Json::Object(said)) => known.extend(said),
            (_, value) => drop(fields.insert(name, value)),
        }
    }
    whole
}

/// The fields that nobody reads, with their lines.
fn unknown(node: &Node, pod: &Map<String, Json>) -> Vec<(u64, String, String)> {
    let problems = strict::unknown_fields::<Pod>(&Json::Object(pod.clone()));
    let placed = problems.into_iter().map(|strict::Problem { path, problem }| {
        let problem = if problem.contains("did you mean") {
            problem
        } else {
            format!("{problem}; if it is one of a newer Kubernetes, {NEWER}")
        };
        (line_of(node, &path), path, problem)
    });
    placed.collect()
}

/// The line of the key, or of the item, at `path`; where the path can't be followed to its end, as far as it can.
fn line_of(node: &Node, path: &str) -> u64 {
    let mut line = node.line;
    let (mut node, mut rest) = (node, path);
    while !rest.is_empty() {
        let next = match &node.value {
            Value::Map(fields) => fields.iter().find_map(|(key, value)| {
                let after = rest.strip_prefix(&key.name)?;
                (after.is_empty() || after.starts_with(['.', '['])).then_some((key.line, value, after))
            }),
            Value::List(items) => rest.strip_prefix('[').and_then(|rest| {
                let (place, after) = rest.split_once(']')?;
                let item = items.get(place.parse::<usize>().ok()?)?;
                Some((item.line, item, after))
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => None,
        };
        let Some((found, value, after)) = next else { break };
        (line, node) = (found, value);
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::line_of;
    use crate::policy::yaml;

    #[test]
    fn a_path_is_followed_to_its_line() {
        let node = yaml::parse(
            "metadata:\n  labels:\n    a.b/c: x\nspec:\n  containers:\n  - name: a\n  - name: b\n    imag: c\n",
        )
        .unwrap();
        let check = |path: &str, expected: u64| assert_eq!(line_of(&node, path), expected, "{path}");
        check("metadata.labels.a.b/c", 3);
        check("spec.containers[1]", 7);
        check("spec.containers[1].imag", 8);
        check("spec.containers[9].imag", 5);
        check("status", 1);
    }
}
