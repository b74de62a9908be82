//! What is said while a workflow runs, a line each: what became of a node, a decision, a line of a log. Pure.

use std::collections::BTreeMap;

use crate::{
    api::{
        ids::{ClusterName, Target},
        node::{NodePhase, NodeStatus, NodeType},
        workflow::Workflow,
    },
    cli::local::tree,
    policy::{audit::Record, decision::Answer, state::State},
};

/// What was said of each node, by its ID: a line is due when this changes.
pub type Said = BTreeMap<String, (NodePhase, Option<String>)>;

/// A line for each node whose phase or message is not what was `said`, which is brought up to date.
pub fn changes(workflow: &Workflow, home: &ClusterName, said: &mut Said) -> Vec<String> {
    let mut nodes: Vec<_> = workflow.status.nodes.values().filter(|node| is_told(node)).collect();
    nodes.sort_by_key(|node| (node.started_at.as_ref().map(|time| time.0), &node.name));
    // What encloses others begins before them and ends after them.
    let (ended, begun): (Vec<&NodeStatus>, Vec<_>) =
        nodes.into_iter().partition(|node| node.phase.is_fulfilled() && !tree::is_leaf(node));
    let nodes = begun.into_iter().chain(ended.into_iter().rev());
    let mut lines = Vec::new();
    for node in nodes {
        let state = (node.phase, node.message.clone());
        if said.get(&node.id) != Some(&state) {
            lines.push(change(node, &tree::place(node, workflow, home)));
            said.insert(node.id.clone(), state);
        }
    }
    lines
}

/// `node   │ ✔ x.other Succeeded in other/argo`.
fn change(node: &NodeStatus, place: &str) -> String {
    let mut line = format!("node   │ {} {} {}", tree::symbol(node.phase), node.name, node.phase);
    if !place.is_empty() {
        line += &format!(" in {place}");
    }
    if let Some(message) = &node.message {
        line += &format!(": {}", message.replace('\n', " "));
    }
    line
}

/// Groups of steps say nothing that their steps don't say.
fn is_told(node: &NodeStatus) -> bool {
    node.r#type != NodeType::StepGroup
}

/// `policy │ allow other/argo to template other: module builtin, generation 1`.
pub fn decision(record: &Record) -> String {
    let (verdict, why) = match &record.answer {
        Answer::Allow => ("allow", String::new()),
        Answer::Deny { code, reason } | Answer::Failed { code, reason } => ("deny", format!(", {code}: {reason}")),
    };
    let why = why.trim_end_matches(": ");
    format!(
        "policy │ {verdict} {} to template {}: module {}, generation {}{why}",
        record.request.target, record.request.template, record.module, record.generation
    )
}

/// What stands before each line of a container's output: `other/argo x.other`, with the container if it is not `main`.
pub fn log_prefix(target: &Target, node: &str, container: &str) -> String {
    let container =
        if container == crate::api::contract::CONTAINER_MAIN { String::new() } else { format!(":{container}") };
    format!("{target} {node}{container}")
}

/// A line of a container's output; what a terminal would act on is shown, not sent.
pub fn log(prefix: &str, line: &str) -> String {
    let shown: String =
        line.trim_end_matches('\r').chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
    format!("{prefix} │ {shown}")
}

/// `policy │ generation 2 in force: builtin, deny-all`, or what was refused and why.
pub fn policy_state(state: &State) -> String {
    match &state.refusal {
        None => format!("policy │ {}", state.in_force()),
        Some(refusal) => format!("policy │ {}; refused: {refusal}", state.in_force()),
    }
}

/// Says that decisions are missing.
pub fn too_fast(count: u64) -> String {
    format!("policy │ {count} decisions came too fast to be shown")
}
