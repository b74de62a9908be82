//! `landfall policy run`: what do the modules answer to this request, or to every pod of this workflow?

use clap::Args;
use comfy_table::{Table, presets};
use serde::Serialize;

use crate::{
    cli::{
        Outcome,
        output::{self, Format},
        policy::asking::{self, Asking, Question, unfold::Course},
        style::{BAD, FAINT, GOOD, STRONG, styled},
    },
    policy::{
        decision::{Decision, Evaluation, Verdict},
        host::Host,
        request::Request,
    },
};

/// Flags of `landfall policy run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall policy run manifests/examples/multi-cluster-denied.yaml\n  landfall policy run builtin --workflow argo/my-workflow --target other/argo\n  landfall policy run policies/images --settings images.yaml --request request.yaml\n  landfall policy run policies/images --settings images.yaml --for workflow.yaml\n\nExit status: 0 if everything is allowed, 1 if not."
)]
pub struct Arguments {
    #[command(flatten)]
    asking: asking::Arguments,
    /// How to print the decisions
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Everything that was decided.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Decisions {
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow: Option<Course>,
    decisions: Vec<Decided>,
}

/// One request and its answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Decided {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    request: Request,
    #[serde(flatten)]
    decision: Decision,
    modules: Vec<Evaluation>,
}

/// Asks and prints.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let host = Host::new()?;
    let Asking { chain, questions, workflow } = asking::prepare(&host, &arguments.asking)?;
    let decide = |Question { name, request }: Question| {
        let (decision, said) = chain.decide(&host, &request);
        // What the core denies, no module is asked, and no shadow either.
        let shadows = if said.is_empty() { Vec::new() } else { chain.modules.ask_shadows(&host, &request) };
        let is_allowed = decision.is_allowed();
        let modules = said.into_iter().chain(shadows).map(|said| said.evaluation(is_allowed)).collect();
        Decided { name, request: request.without_pod(), decision, modules }
    };
    let decisions: Vec<_> = questions.into_iter().map(decide).collect();
    let unfinished = workflow.as_ref().is_some_and(|course| course.phase.as_deref() != Some("Succeeded"));
    let allowed = !unfinished && decisions.iter().all(|decided| decided.decision.is_allowed());
    let decisions = Decisions { allowed, workflow, decisions };
    match arguments.output {
        Format::Text => output::text_to_stdout(&text(&decisions))?,
        Format::Json => output::json(&decisions)?,
    }
    Ok(if allowed { Outcome::Done } else { Outcome::Unsuccessful })
}

fn text(all: &Decisions) -> String {
    let mut text = String::new();
    if !all.decisions.is_empty() {
        text += &format!("{}\n", table(&all.decisions));
    }
    let denied: Vec<_> = all.decisions.iter().filter(|decided| !decided.decision.is_allowed()).collect();
    for decided in &denied {
        let Verdict::Deny { reason, code } = &decided.decision.verdict else { continue };
        let what = decided.name.clone().unwrap_or_else(|| decided.request.to_string());
        text += &format!("\n{}: {what}: {} ({code}) {reason}\n", styled(BAD, "denied"), decided.decision.module);
    }
    if let Some(course) = &all.workflow {
        text += &course_text(course);
    }
    let (count, denied) = (all.decisions.len(), denied.len());
    let pods = if count == 1 { "1 pod".to_owned() } else { format!("{count} pods") };
    match (count, denied) {
        (0, _) => text += "\nno pod would be made\n",
        (1, 0) => text += &format!("\n{}\n", styled(GOOD, "allowed")),
        (_, 0) => text += &format!("\n{}: all of {pods}\n", styled(GOOD, "allowed")),
        (_, denied) => text += &format!("\n{}: {denied} of {pods}\n", styled(BAD, "denied")),
    }
    text
}

fn course_text(course: &Course) -> String {
    let mut text = String::new();
    for (node, message) in &course.without_pod {
        text += &format!("\n{}: {node}: {message}\n", styled(BAD, "no pod"));
    }
    match (course.phase.as_deref(), &course.message) {
        (Some("Succeeded"), _) => {}
        (Some(phase), message) => {
            let message = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
            text += &format!("\n{}: workflow {} ends as {phase}{message}\n", styled(BAD, "note"), course.workflow);
        }
        (None, _) => {
            let note = styled(BAD, "note");
            text += &format!("\n{note}: workflow {} goes on; what comes later is not shown\n", course.workflow);
        }
    }
    for assumed in &course.assumed {
        text += &format!("\n{}", styled(FAINT, format!("assumed: {assumed}")));
    }
    if !course.assumed.is_empty() {
        text.push('\n');
    }
    text
}

fn table(decisions: &[Decided]) -> String {
    let named = decisions.iter().any(|decided| decided.name.is_some());
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut header = vec!["WORKFLOW", "TEMPLATE", "TARGET", "SERVICE ACCOUNT", "DECISION", "MODULE"];
    if named {
        header[0] = "NODE";
    }
    table.set_header(header);
    for Decided { name, request, decision, .. } in decisions {
        let asker = || format!("{}/{}", request.workflow.namespace, request.workflow.name);
        let verdict = match &decision.verdict {
            Verdict::Allow => "allow".to_owned(),
            Verdict::Deny { code, .. } => format!("deny {code}"),
        };
        table.add_row([
            name.clone().unwrap_or_else(asker),
            request.template.clone(),
            request.target.to_string(),
            request.service_account.clone(),
            verdict,
            decision.module.clone(),
        ]);
    }
    let lines = table.trim_fmt();
    let mut text = String::new();
    for (place, line) in lines.lines().enumerate() {
        let line = line.strip_prefix(' ').unwrap_or(line).trim_end();
        text += &if place == 0 { styled(STRONG, line) } else { line.to_owned() };
        text.push('\n');
    }
    text.trim_end().to_owned()
}
