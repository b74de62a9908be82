//! Which variables a template, step or task may use, and whether it uses others.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{
    api::{
        template::{Template, TemplateType},
        workflow::WorkflowSpec,
    },
    expr::{self, Tag},
};

/// Variables of the workflow that every template may use.
const WORKFLOW: &[&str] = &[
    "workflow.name",
    "workflow.namespace",
    "workflow.uid",
    "workflow.mainEntrypoint",
    "workflow.serviceAccountName",
    "workflow.priority",
    "workflow.parameters",
    "workflow.duration",
    "workflow.creationTimestamp",
    "workflow.annotations.json",
    "workflow.labels.json",
    "workflow.scheduledTime",
    "node.name",
];

/// Beginnings of variables whose rest only the running workflow knows.
const OPEN: &[&str] =
    &["workflow.labels.", "workflow.annotations.", "workflow.creationTimestamp.", "workflow.outputs.", "outputs."];

/// What a step or task that came before offers.
const OF_NODE: &[&str] = &["id", "status", "startedAt", "finishedAt", "hostNodeName", "ip", "exitCode"];

/// The variables that can be resolved at some place.
#[derive(Clone, Debug)]
pub struct Known {
    names: BTreeSet<String>,
    prefixes: Vec<String>,
}

impl Known {
    /// What a template may use: the workflow's variables, its inputs, and what its kind brings.
    pub fn of_template(spec: &WorkflowSpec, template: &Template) -> Known {
        let mut names: BTreeSet<String> = WORKFLOW.iter().map(|name| (*name).to_owned()).collect();
        let mut prefixes: Vec<String> = OPEN.iter().map(|prefix| (*prefix).to_owned()).collect();
        names.extend(spec.arguments.parameters.iter().map(|it| format!("workflow.parameters.{}", it.name)));
        names.extend(template.inputs.parameters.iter().map(|it| format!("inputs.parameters.{}", it.name)));
        names.insert("inputs.parameters".to_owned());
        prefixes.extend(template.inputs.artifacts.iter().map(|it| format!("inputs.artifacts.{}", it.name)));
        names.extend(["steps.name", "tasks.name"].map(str::to_owned));
        if !matches!(template.template_type(), Some(TemplateType::Steps | TemplateType::Dag)) {
            names.insert("pod.name".to_owned());
        }
        if template.retry_strategy.is_some() || spec.retry_strategy.is_some() {
            names.insert("retries".to_owned());
            prefixes.push("lastRetry.".to_owned());
        }
        Known { names, prefixes }
    }

    /// Adds what a step or task (`kind` is `steps` or `tasks`) that came before offers.
    pub fn add_node(&mut self, kind: &str, name: &str) {
        self.names.extend(OF_NODE.iter().map(|field| format!("{kind}.{name}.{field}")));
        self.prefixes.push(format!("{kind}.{name}.outputs."));
    }

    /// Refuses a value that uses a variable that is not known here. Expressions are left to their own check. In a call
    /// that is no loop (`is_single`), `item` is not known.
    ///
    /// # Errors
    /// The first tag that can't be resolved, as it was written.
    pub fn resolve(&self, value: &impl Serialize, is_single: bool) -> Result<(), String> {
        let json = serde_json::to_value(value).map_err(|error| error.to_string())?;
        let is_loop = !is_single || json.get("withParam").is_some() || json.get("withSequence").is_some();
        for (_, text) in expr::tagged_strings(&json) {
            for (tag, source) in expr::tags(&text).into_iter().zip(expr::sources(&text)) {
                match tag {
                    Tag::Variable(name) if !self.knows(name, is_loop) => {
                        return Err(format!("failed to resolve {source}"));
                    }
                    Tag::Variable(_) | Tag::Expression(_) => (),
                }
            }
        }
        Ok(())
    }

    fn knows(&self, name: &str, is_loop: bool) -> bool {
        self.names.contains(name)
            || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
            || (is_loop && (name == "item" || name.starts_with("item.")))
    }
}
