//! What the files of the command line hold: objects, checked before anything starts.

use std::{
    collections::BTreeSet,
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{
    api::{
        contract::{CLUSTERS_SECRET, CONFIG_MAP},
        cron_workflow::CronWorkflow,
        manifest,
        strict::{self, Problem},
        workflow::Workflow,
        workflow_template::{ClusterWorkflowTemplate, WorkflowTemplate},
    },
    cli::hint,
};

/// A file that stands for standard input, as with `kubectl`.
const STDIN: &str = "-";

/// An object and where it comes from.
#[derive(Clone, Debug)]
pub struct Object {
    /// The object.
    pub value: Value,
    /// Its file and line.
    pub origin: Origin,
}

/// A place in a file. Displays as `FILE:LINE`.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The line in which the object begins.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

impl Object {
    /// Its kind.
    pub fn kind(&self) -> &str {
        text(&self.value, "/kind")
    }

    /// Its name; empty if the API server is to make one up.
    pub fn name(&self) -> &str {
        text(&self.value, "/metadata/name")
    }

    /// Its namespace; empty if it names none.
    pub fn namespace(&self) -> &str {
        text(&self.value, "/metadata/namespace")
    }

    /// Whether it is the controller's configuration.
    pub fn is_configuration(&self) -> bool {
        self.kind() == "ConfigMap" && self.name() == CONFIG_MAP
    }

    /// Whether it lists the real clusters, for which local ones stand in.
    pub fn is_cluster_list(&self) -> bool {
        self.kind() == "Secret" && self.name() == CLUSTERS_SECRET
    }

    /// Whether it is a workflow.
    pub fn is_workflow(&self) -> bool {
        self.kind() == "Workflow"
    }
}

/// All objects of the files, each well formed.
///
/// # Errors
/// All that is wrong with the first file that can't be taken, by file, line and field.
pub fn read(files: &[PathBuf]) -> anyhow::Result<Vec<Object>> {
    let mut objects = Vec::new();
    for file in files {
        objects.extend(read_one(file)?);
    }
    Ok(objects)
}

/// Checks that no file is there twice.
///
/// # Errors
/// The first that is.
pub fn check_named_once<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for file in files {
        // What is not there is told when it is read.
        if !seen.insert(fs::canonicalize(file).unwrap_or_else(|_| file.clone())) {
            return Err(hint::error(
                format!("{}: the same file is named twice", file.display()),
                "leave it out once: all of its objects are created the first time",
            ));
        }
    }
    Ok(())
}

/// Takes the one workflow out of the objects.
///
/// # Errors
/// If there is none, or more than one.
pub fn take_workflow(objects: &mut Vec<Object>, files: &[PathBuf]) -> anyhow::Result<Object> {
    let (mut workflows, others): (Vec<_>, Vec<_>) = objects.drain(..).partition(Object::is_workflow);
    *objects = others;
    match (workflows.pop(), workflows.as_slice()) {
        (Some(workflow), []) => Ok(workflow),
        (Some(workflow), more) => Err(hint::error(
            format!("{}: more than one Workflow, the first at {}", workflow.origin, more[0].origin),
            "a run is of one workflow: keep each in a file of its own, and what they share in one that --with names",
        )),
        (None, _) => {
            let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            Err(hint::error(
                format!("{}: no Workflow", names.join(", ")),
                "one of the files must hold an object of kind Workflow; `landfall local up` needs none",
            ))
        }
    }
}

fn read_one(file: &Path) -> anyhow::Result<Vec<Object>> {
    let text = text_of(file)?;
    let documents = manifest::parse(&text)
        .map_err(|error| anyhow::anyhow!("{}:{}:{}: {}", file.display(), error.line, error.column, error.problem))?;
    let mut objects = Vec::new();
    for document in documents {
        let origin = Origin { file: file.to_owned(), line: document.line };
        for value in items(document.value) {
            objects.push(Object { value, origin: origin.clone() });
        }
    }
    let mistakes: Vec<_> = objects.iter().flat_map(mistakes).collect();
    if !mistakes.is_empty() {
        bail!("{}", mistakes.join("\n       "));
    }
    Ok(objects)
}

fn text_of(file: &Path) -> anyhow::Result<String> {
    if file == Path::new(STDIN) {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("reading standard input")?;
        return Ok(text);
    }
    fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

/// The objects of a List, or the one object.
fn items(value: Value) -> Vec<Value> {
    if value.get("kind").and_then(Value::as_str) != Some("List") {
        return vec![value];
    }
    match value.get("items") {
        Some(Value::Array(items)) => items.clone(),
        Some(_) | None => Vec::new(),
    }
}

/// What is wrong with an object, a line each.
fn mistakes(object: &Object) -> Vec<String> {
    let found = match &object.value {
        Value::Object(_) => None,
        Value::Null => Some("nothing"),
        Value::Bool(_) => Some("true or false"),
        Value::Number(_) => Some("a number"),
        Value::String(_) => Some("text"),
        Value::Array(_) => Some("a list"),
    };
    if let Some(found) = found {
        return vec![format!("{}: an object was expected, found {found}", object.origin)];
    }
    let problems = match object.kind() {
        "Workflow" => strict::check::<Workflow>(&object.value),
        "WorkflowTemplate" => strict::check::<WorkflowTemplate>(&object.value),
        "ClusterWorkflowTemplate" => strict::check::<ClusterWorkflowTemplate>(&object.value),
        "CronWorkflow" => strict::check::<CronWorkflow>(&object.value),
        _ => incomplete(object),
    };
    let kind = if object.kind().is_empty() { "object" } else { object.kind() };
    problems.into_iter().map(|problem| format!("{}: {kind} {problem}", object.origin)).collect()
}

/// What every object must have; the rest is for the API server to judge.
fn incomplete(object: &Object) -> Vec<Problem> {
    ["/apiVersion", "/kind", "/metadata/name"]
        .into_iter()
        .filter(|pointer| text(&object.value, pointer).is_empty())
        .filter(|pointer| *pointer != "/metadata/name" || text(&object.value, "/metadata/generateName").is_empty())
        .map(|pointer| Problem {
            path: pointer.trim_start_matches('/').replace('/', "."),
            problem: "missing, and every object has it".to_owned(),
        })
        .collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
