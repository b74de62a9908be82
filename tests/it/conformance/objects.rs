//! Every object of the data is read into our types and written again without loss.

use std::{fs, path::Path};

use landfall::api::{
    cron_workflow::CronWorkflow,
    event_binding::WorkflowEventBinding,
    manifest,
    workflow::Workflow,
    workflow_template::{ClusterWorkflowTemplate, WorkflowTemplate},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::conformance::{files, folder, say, without_empties};

/// What may differ, by the end of its path, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    (".subpath", "misspelt in the data; Argo 2 did not mind the case"),
    (".phase: null became \"Pending\"", "a node that nobody has looked at waits"),
    ("].apiVersion: null became \"v1\"", "claim templates are written as whole objects"),
    ("].kind: null became \"PersistentVolumeClaim\"", "claim templates are written as whole objects"),
];

#[test]
fn objects_are_read_without_loss() {
    let Some(folder) = folder("objects") else { return };
    let mut count = 0;
    let mut failures = Vec::new();
    for part in ["examples", "golden", "controller", "validate", "recorded"] {
        for file in files(&folder.join(part)) {
            for object in objects(&file) {
                count += 1;
                if let Err(problem) = check(&object) {
                    failures.push(format!("{}: {problem}", file.display()));
                }
            }
        }
    }
    say(&format!("conformance objects: {} passed, {} failed", count - failures.len(), failures.len()));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// All objects of our kinds that a file holds, wherever in it.
fn objects(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let mut found = Vec::new();
    let documents = match file.extension().and_then(|it| it.to_str()) {
        Some("json") => {
            let mut workflow: Value = serde_json::from_str(&text).unwrap();
            workflow["kind"] = json!("Workflow");
            workflow["apiVersion"] = json!("argoproj.io/v1alpha1");
            vec![workflow]
        }
        Some("yaml" | "yml") => {
            let documents = manifest::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            documents.into_iter().map(|it| it.value).collect()
        }
        _ => Vec::new(),
    };
    for document in &documents {
        collect(document, &mut found);
    }
    found
}

fn collect(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(fields) if fields.get("apiVersion") == Some(&json!("argoproj.io/v1alpha1")) => {
            found.push(value.clone());
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    // The cases of `validate` hold their objects as text.
                    ("yaml", Value::String(text)) => {
                        for document in manifest::parse(text).unwrap() {
                            collect(&document.value, found);
                        }
                    }
                    _ => collect(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|it| collect(it, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

fn check(object: &Value) -> Result<(), String> {
    match object["kind"].as_str() {
        Some("Workflow") => rewrite::<Workflow>(object),
        Some("WorkflowTemplate") => rewrite::<WorkflowTemplate>(object),
        Some("ClusterWorkflowTemplate") => rewrite::<ClusterWorkflowTemplate>(object),
        Some("CronWorkflow") => rewrite::<CronWorkflow>(object),
        Some("WorkflowEventBinding") => rewrite::<WorkflowEventBinding>(object),
        other => Err(format!("kind {other:?}")),
    }
}

fn rewrite<T: DeserializeOwned + Serialize>(object: &Value) -> Result<(), String> {
    let typed: T = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    let mut expected = object.clone();
    let mut found = serde_json::to_value(typed).unwrap();
    without_empties(&mut expected);
    without_empties(&mut found);
    let mut differences = Vec::new();
    compare(&expected, &found, "", &mut differences);
    differences.retain(|it| !DIFFERENCES.iter().any(|(known, _)| it.contains(known)));
    match differences.is_empty() {
        true => Ok(()),
        false => Err(differences.join("; ")),
    }
}

fn compare(expected: &Value, found: &Value, path: &str, differences: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let names = expected.keys().chain(found.keys().filter(|it| !expected.contains_key(*it)));
            for name in names {
                let value = |of: &serde_json::Map<String, Value>| of.get(name).cloned().unwrap_or(Value::Null);
                compare(&value(expected), &value(found), &format!("{path}.{name}"), differences);
            }
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(expected, found, &format!("{path}[{index}]"), differences);
            }
        }
        _ if same(expected, found) => (),
        _ => differences.push(format!("{path}: {expected} became {found}")),
    }
}

/// Numbers and booleans may have become text, and times may be written otherwise.
fn same(expected: &Value, found: &Value) -> bool {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (expected, found) = (text(expected), text(found));
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
    expected == found || (time(&expected).is_some() && time(&expected) == time(&found))
}
