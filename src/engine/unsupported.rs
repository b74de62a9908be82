//! What is typed but not acted on yet. A workflow that uses any of it ends as Failed and says so, rather than being run
//! as if it had not asked. These lists only ever shrink.

use serde_json::Value;

use crate::{
    api::workflow::WorkflowSpec,
    expr::{self, Tag},
};

/// Fields of the spec.
const SPEC: &[&str] = &[
    "activeDeadlineSeconds",
    "archiveLogs",
    "arguments.artifacts",
    "artifactGC",
    "artifactRepositoryRef",
    "executor",
    "executorPlugins",
    "hooks",
    "metrics",
    "onExit",
    "parallelism",
    "podDisruptionBudget",
    "podGC",
    "podSpecPatch",
    "priority",
    "retryStrategy",
    "suspend",
    "synchronization",
    "templateDefaults",
    "volumeClaimGC",
    "volumeClaimTemplates",
    "workflowMetadata",
    "workflowTemplateRef",
];

/// Fields of every template.
const TEMPLATE: &[&str] = &[
    "annotations",
    "archiveLocation",
    "containerSet",
    "daemon",
    "data",
    "executor",
    "failFast",
    "http",
    "inputs.artifacts",
    "memoize",
    "metrics",
    "outputs",
    "parallelism",
    "pendingTimeout",
    "plugin",
    "podSpecPatch",
    "resource",
    "retryStrategy",
    "script",
    "sidecars",
    "suspend",
    "synchronization",
    "timeout",
];

/// Fields of every step and task.
const CALL: &[&str] = &[
    "arguments.artifacts",
    "hooks",
    "inline",
    "onExit",
    "templateRef",
    "when",
    "withItems",
    "withParam",
    "withSequence",
];

/// Fields of every parameter, wherever it stands.
const PARAMETER: &[&str] = &["globalName", "valueFrom"];

/// Fields of every init container.
const INIT_CONTAINER: &[&str] = &["mirrorVolumeMounts"];

/// Variables that Argo knows and no value is put in for.
const VARIABLES: &[&str] = &[
    "workflow.annotations.json",
    "workflow.duration",
    "workflow.labels.json",
    "workflow.priority",
    "workflow.scheduledTime",
];

/// The beginning of the variables that give a time in a format of one's own.
const FORMATTED_TIME: &str = "workflow.creationTimestamp.";

/// Fields of the spec that may be set while the workflow runs, as `argo suspend` does.
const WHILE_RUNNING: &[&str] = &["suspend"];

/// Refuses a spec that uses what is not acted on.
///
/// # Errors
/// The first such field, by its path.
pub fn check(spec: &WorkflowSpec) -> Result<(), String> {
    let spec = serde_json::to_value(spec).map_err(|error| format!("spec: {error}"))?;
    refuse(&spec, "spec", SPEC)?;
    check_parameters(&spec["arguments"], "spec.arguments")?;
    for (template, path) in items(&spec["templates"], "spec.templates") {
        refuse(template, &path, TEMPLATE)?;
        check_parameters(&template["inputs"], &format!("{path}.inputs"))?;
        for (container, path) in items(&template["initContainers"], &format!("{path}.initContainers")) {
            refuse(container, &path, INIT_CONTAINER)?;
        }
        for (group, path) in items(&template["steps"], &format!("{path}.steps")) {
            check_calls(group, &path)?;
        }
        check_calls(&template["dag"]["tasks"], &format!("{path}.dag.tasks"))?;
    }
    for (path, text) in expr::tagged_strings(&spec) {
        for tag in expr::tags(&text) {
            match tag {
                Tag::Expression(_) => return Err(format!("spec.{path}: expressions in {{{{=…}}}}: not supported yet")),
                Tag::Variable(name) if uses_outputs(name) => {
                    return Err(format!("spec.{path}: outputs in {{{{{name}}}}}: not supported yet"));
                }
                Tag::Variable(name) if VARIABLES.contains(&name) || name.starts_with(FORMATTED_TIME) => {
                    return Err(format!("spec.{path}: variable {{{{{name}}}}}: not supported yet"));
                }
                Tag::Variable(_) => (),
            }
        }
    }
    Ok(())
}

/// Refuses what users may set on a workflow that runs.
///
/// # Errors
/// The first such field, by its path.
pub fn check_running(spec: &WorkflowSpec) -> Result<(), String> {
    if spec.suspend.is_none() {
        return Ok(());
    }
    let spec = serde_json::to_value(spec).map_err(|error| format!("spec: {error}"))?;
    refuse(&spec, "spec", WHILE_RUNNING)
}

/// Variables that would need outputs to be collected.
fn uses_outputs(name: &str) -> bool {
    name.split('.').any(|part| part == "outputs")
}

fn check_calls(calls: &Value, path: &str) -> Result<(), String> {
    for (call, path) in items(calls, path) {
        refuse(call, &path, CALL)?;
        check_parameters(&call["arguments"], &format!("{path}.arguments"))?;
    }
    Ok(())
}

fn check_parameters(parent: &Value, path: &str) -> Result<(), String> {
    for (parameter, path) in items(&parent["parameters"], &format!("{path}.parameters")) {
        refuse(parameter, &path, PARAMETER)?;
    }
    Ok(())
}

fn refuse(parent: &Value, path: &str, fields: &[&str]) -> Result<(), String> {
    for field in fields {
        let value = field.split('.').fold(parent, |value, name| &value[name]);
        // What was not given isn't written, and what was given empty may mean much: `retryStrategy: {}` retries for ever.
        let is_used = !matches!(value, Value::Null | Value::Bool(false));
        if is_used {
            return Err(format!("{path}.{field}: not supported yet"));
        }
    }
    Ok(())
}

fn items<'v>(list: &'v Value, path: &str) -> Vec<(&'v Value, String)> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().enumerate().map(|(index, item)| (item, format!("{path}[{index}]"))).collect()
}
