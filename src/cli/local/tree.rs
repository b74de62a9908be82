//! A workflow as a tree of its nodes, one line each. Pure: workflow and time in, text out.

use std::{cmp::Ordering, collections::BTreeMap, fmt::Write};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::{
    ids::ClusterName,
    node::{NodePhase, NodeStatus, NodeType},
    status::WorkflowPhase,
    workflow::Workflow,
};

/// The tree, a line for the workflow first; `home` is the name of its cluster. What runs has its duration up to `now`. Ends with a line break.
pub fn render(workflow: &Workflow, home: &ClusterName, now: Timestamp) -> String {
    let status = &workflow.status;
    let mut rows = vec![Row {
        label: format!("{} {}", workflow_symbol(status.phase), workflow_name(workflow)),
        phase: workflow_phase(status.phase),
        place: String::new(),
        duration: duration(status.started_at.as_ref(), status.finished_at.as_ref(), now),
        message: status.message.clone().unwrap_or_default(),
    }];
    let family = Family::new(workflow, home);
    // The workflow's own line stands for the node of its entrypoint too, unless that is all there is.
    let (top, beside): (Vec<_>, Vec<_>) =
        family.children_of("").into_iter().partition(|root| Some(&root.name) == workflow.metadata.name.as_ref());
    let mut shown: Vec<_> = top.iter().flat_map(|root| family.children_of(&root.id)).collect();
    if top.iter().any(|root| is_leaf(root)) {
        shown = top;
    }
    shown.extend(beside);
    family.add(&shown, "", now, &mut rows);
    aligned(&rows)
}

/// One character for the phase of a node.
pub fn symbol(phase: NodePhase) -> char {
    match phase {
        NodePhase::Pending => '◷',
        NodePhase::Running => '●',
        NodePhase::Succeeded => '✔',
        NodePhase::Skipped | NodePhase::Omitted => '○',
        NodePhase::Failed => '✖',
        NodePhase::Error => '⚠',
    }
}

/// One character for the phase of a workflow.
pub fn workflow_symbol(phase: WorkflowPhase) -> char {
    match phase {
        WorkflowPhase::Unknown | WorkflowPhase::Pending => '◷',
        WorkflowPhase::Running => '●',
        WorkflowPhase::Succeeded => '✔',
        WorkflowPhase::Failed => '✖',
        WorkflowPhase::Error => '⚠',
    }
}

/// `NAMESPACE/NAME`.
pub fn workflow_name(workflow: &Workflow) -> String {
    let metadata = &workflow.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    format!("{namespace}/{}", metadata.name.as_deref().unwrap_or_default())
}

/// The phase, also of a workflow that nobody has looked at yet.
pub fn workflow_phase(phase: WorkflowPhase) -> &'static str {
    match phase {
        WorkflowPhase::Unknown => "Waiting",
        WorkflowPhase::Pending
        | WorkflowPhase::Running
        | WorkflowPhase::Succeeded
        | WorkflowPhase::Failed
        | WorkflowPhase::Error => phase.as_str(),
    }
}

struct Row {
    label: String,
    phase: &'static str,
    place: String,
    duration: String,
    message: String,
}

/// Which node stands below which, by ID; `""` is above the roots.
struct Family<'a> {
    workflow: &'a Workflow,
    home: &'a ClusterName,
    children: BTreeMap<&'a str, Vec<&'a NodeStatus>>,
    positions: BTreeMap<&'a str, usize>,
}

impl<'a> Family<'a> {
    fn new(workflow: &'a Workflow, home: &'a ClusterName) -> Family<'a> {
        let nodes = &workflow.status.nodes;
        let mut children: BTreeMap<&str, Vec<&NodeStatus>> = BTreeMap::new();
        for node in nodes.values() {
            if node.r#type != NodeType::StepGroup {
                children.entry(parent(node, nodes)).or_default().push(node);
            }
        }
        let mut family = Family { workflow, home, children: BTreeMap::new(), positions: positions(workflow) };
        for siblings in children.values_mut() {
            siblings.sort_by(|a, b| family.order(a, b));
        }
        family.children = children;
        family
    }

    fn children_of(&self, id: &str) -> Vec<&'a NodeStatus> {
        self.children.get(id).cloned().unwrap_or_default()
    }

    fn order(&self, a: &NodeStatus, b: &NodeStatus) -> Ordering {
        let key = |node: &NodeStatus| {
            let name = node.display_name.split('(').next().unwrap_or_default();
            let position = self.positions.get(name).copied().unwrap_or(usize::MAX);
            (step_group(&node.name), position, loop_index(&node.name))
        };
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    }

    fn add(&self, siblings: &[&NodeStatus], indent: &str, now: Timestamp, rows: &mut Vec<Row>) {
        for (at, node) in siblings.iter().enumerate() {
            let last = at + 1 == siblings.len();
            let (branch, below) = if last { ("└─", "  ") } else { ("├─", "│ ") };
            rows.push(Row {
                label: format!("{indent}{branch}{} {}", symbol(node.phase), node.display_name),
                phase: node.phase.as_str(),
                place: place(node, self.workflow, self.home),
                duration: match node.phase.is_completed() || !node.phase.is_fulfilled() {
                    true => duration(node.started_at.as_ref(), node.finished_at.as_ref(), now),
                    false => String::new(),
                },
                message: node.message.clone().unwrap_or_default(),
            });
            self.add(&self.children_of(&node.id), &format!("{indent}{below}"), now, rows);
        }
    }
}

/// The ID of the node that `node` is shown below. Tries and loop items belong to the node whose name theirs extends,
/// all others to their boundary. Only IDs of nodes that exist are given, so everything is reached from a root.
fn parent<'a>(node: &'a NodeStatus, nodes: &'a BTreeMap<String, NodeStatus>) -> &'a str {
    let group = nodes.values().filter(|group| match group.r#type {
        NodeType::TaskGroup | NodeType::Retry => {
            node.boundary_id == group.boundary_id
                && node.name.strip_prefix(&group.name).is_some_and(|rest| rest.starts_with('('))
        }
        NodeType::Pod
        | NodeType::Container
        | NodeType::Steps
        | NodeType::StepGroup
        | NodeType::Dag
        | NodeType::Skipped
        | NodeType::Suspend
        | NodeType::Http
        | NodeType::Plugin => false,
    });
    let boundary = || node.boundary_id.as_ref().and_then(|id| nodes.get(id));
    group.max_by_key(|group| group.name.len()).or_else(boundary).map_or("", |parent| &parent.id)
}

/// Where each step and task stands in its template; names that templates share are told apart by their boundary.
fn positions(workflow: &Workflow) -> BTreeMap<&str, usize> {
    let spec = workflow.status.stored_workflow_spec.as_deref().unwrap_or(&workflow.spec);
    let mut positions = BTreeMap::new();
    for template in spec.templates.iter().chain(workflow.status.stored_templates.values()) {
        let tasks = template.dag.iter().flat_map(|dag| &dag.tasks).map(|task| &task.name);
        let steps = template.steps.iter().flat_map(|group| &group.0).map(|step| &step.name);
        for (at, name) in tasks.chain(steps).enumerate() {
            positions.entry(name.as_str()).or_insert(at);
        }
    }
    positions
}

/// The number in the last `[…].` of a step's name.
fn step_group(name: &str) -> usize {
    let group = name.rsplit_once("].").and_then(|(before, _)| before.rsplit_once('['));
    group.and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

/// The number after the last `(`: of a loop's item or a try.
fn loop_index(name: &str) -> usize {
    let Some((_, item)) = name.rsplit_once('(') else { return 0 };
    let digits = item.find(|c: char| !c.is_ascii_digit()).unwrap_or(item.len());
    item[..digits].parse().unwrap_or(0)
}

/// Whether nothing stands below the node.
pub fn is_leaf(node: &NodeStatus) -> bool {
    match node.r#type {
        NodeType::Steps | NodeType::StepGroup | NodeType::Dag | NodeType::TaskGroup | NodeType::Retry => false,
        NodeType::Pod
        | NodeType::Container
        | NodeType::Skipped
        | NodeType::Suspend
        | NodeType::Http
        | NodeType::Plugin => true,
    }
}

/// Where the node's pod is or would be: `cluster/namespace`. What has no pod is nowhere. The status names the target only
/// of pods that are somewhere else than with the workflow.
pub fn place(node: &NodeStatus, workflow: &Workflow, home: &ClusterName) -> String {
    match (&node.target, node.r#type) {
        (Some(target), _) => target.to_string(),
        (None, NodeType::Pod | NodeType::Container) => {
            format!("{home}/{}", workflow.metadata.namespace.as_deref().unwrap_or_default())
        }
        (
            None,
            NodeType::Steps
            | NodeType::StepGroup
            | NodeType::Dag
            | NodeType::TaskGroup
            | NodeType::Retry
            | NodeType::Skipped
            | NodeType::Suspend
            | NodeType::Http
            | NodeType::Plugin,
        ) => String::new(),
    }
}

/// From one time to the other, or to now: `1m5s`. The times of a status are whole seconds.
fn duration(from: Option<&Time>, to: Option<&Time>, now: Timestamp) -> String {
    let Some(from) = from else { return String::new() };
    let seconds = to.map_or(now, |to| to.0).as_second().saturating_sub(from.0.as_second()).max(0);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, _) => format!("{hours}h{minutes}m"),
    }
}

fn aligned(rows: &[Row]) -> String {
    let width = |cell: fn(&Row) -> &str| rows.iter().map(|row| cell(row).chars().count()).max().unwrap_or(0);
    let (labels, phases) = (width(|row| &row.label), width(|row| row.phase));
    let (places, durations) = (width(|row| &row.place), width(|row| &row.duration));
    let mut text = String::new();
    for Row { label, phase, place, duration, message } in rows {
        let line = format!(
            "{label:labels$}  {phase:phases$}  {place:places$}  {duration:>durations$}  {}",
            message.replace('\n', " ")
        );
        writeln!(text, "{}", line.trim_end()).expect("a String takes all that is written");
    }
    text
}
