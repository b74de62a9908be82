//! Variables: those of the workflow, and those that a finished step or task gives to what comes after it.

use crate::{
    api::{arguments::Parameter, node::NodeStatus, workflow::Workflow},
    expr::Variables,
};

/// The variables that start with `workflow.`.
pub fn globals(workflow: &Workflow) -> Variables {
    let metadata = &workflow.metadata;
    let spec = &workflow.spec;
    let mut variables = Variables::new();
    let mut set = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            variables.insert(format!("workflow.{name}"), value);
        }
    };
    set("name", metadata.name.clone());
    set("namespace", metadata.namespace.clone());
    set("uid", metadata.uid.clone());
    set("mainEntrypoint", spec.entrypoint.clone());
    set("serviceAccountName", Some(spec.service_account_name.clone().unwrap_or_else(|| "default".to_owned())));
    set("creationTimestamp", metadata.creation_timestamp.as_ref().map(|time| time.0.to_string()));
    set("parameters", Some(json_list(&spec.arguments.parameters)));
    for parameter in &spec.arguments.parameters {
        set(&format!("parameters.{}", parameter.name), value_of(parameter));
    }
    for (key, value) in metadata.labels.iter().flatten() {
        set(&format!("labels.{key}"), Some(value.clone()));
    }
    for (key, value) in metadata.annotations.iter().flatten() {
        set(&format!("annotations.{key}"), Some(value.clone()));
    }
    variables
}

/// Adds what a step or task that has begun offers, under `prefix`, which is `steps.NAME` or `tasks.NAME`.
pub fn add_node(variables: &mut Variables, prefix: &str, node: &NodeStatus) {
    let mut set = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            variables.insert(format!("{prefix}.{name}"), value);
        }
    };
    set("id", Some(node.id.clone()));
    set("status", Some(node.phase.to_string()));
    set("startedAt", node.started_at.as_ref().map(|time| time.0.to_string()));
    set("finishedAt", node.finished_at.as_ref().map(|time| time.0.to_string()));
    set("hostNodeName", node.host_node_name.clone());
    set("ip", node.pod_ip.clone());
    set("exitCode", node.outputs.as_ref().and_then(|outputs| outputs.exit_code.clone()));
}

/// The value of a parameter, or else its default.
pub fn value_of(parameter: &Parameter) -> Option<String> {
    parameter.value.as_ref().or(parameter.default.as_ref()).map(ToString::to_string)
}

/// Parameters as the JSON list that `workflow.parameters` and `inputs.parameters` stand for.
pub fn json_list(parameters: &[Parameter]) -> String {
    serde_json::to_string(parameters).expect("parameters hold only text, which is always JSON")
}
