//! `landfall policy explain`: why is this decided as it is?

use clap::Args;
use serde::Serialize;

use crate::{
    author::explain::{self, Asked, Explanation},
    cli::{
        Outcome, hint,
        output::{self, Format},
        policy::asking::{self, Asking, Question},
        style::{BAD, FAINT, GOOD, STRONG, styled, time},
        words,
    },
    policy::{
        decision::{Answer, MODULE_CORE, Mode, Verdict},
        host::Host,
    },
};

/// Flags of `landfall policy explain`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall policy explain manifests/examples/multi-cluster-denied.yaml\n  landfall policy explain policies/images --case \"by tag in production\"\n  landfall policy explain builtin --settings roles.yaml --workflow argo/w --target other/argo\n\nExit status: 0, whatever was decided; 1 if nothing can be asked."
)]
pub struct Arguments {
    #[command(flatten)]
    asking: asking::Arguments,
    /// Of a workflow, the step to explain; without it, the first that is denied, or else the first
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// How to print the explanation
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// With the node that it is about.
#[derive(Serialize)]
struct Explained {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(flatten)]
    explanation: Explanation,
}

/// Asks, looks into it, and prints.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let host = Host::new()?;
    let Asking { chain, questions, workflow } = asking::prepare(&host, &arguments.asking)?;
    let question = match &arguments.node {
        Some(name) => named(&questions, name)?,
        None => {
            let denied = questions.iter().find(|question| !chain.decide(&host, &question.request).0.is_allowed());
            let Some(question) = denied.or(questions.first()) else {
                let why = workflow.and_then(|course| course.message).map(|why| format!(": {why}")).unwrap_or_default();
                let file = arguments.asking.workflow_file().map(words::quoted).unwrap_or_default();
                let advice = format!("see how it goes: landfall policy run {file}");
                return Err(hint::error(format!("the workflow makes no pod{why}"), advice));
            };
            question
        }
    };
    let explanation = explain::explain(&host, &chain, &question.request)?;
    let explained = Explained { name: question.name.clone(), explanation };
    match arguments.output {
        Format::Text => output::text_to_stdout(&text(&explained))?,
        Format::Json => output::json(&explained)?,
    }
    Ok(Outcome::Done)
}

/// The step of that name, in full or without what comes before.
fn named<'q>(questions: &'q [Question], name: &str) -> anyhow::Result<&'q Question> {
    let end = format!(".{name}");
    let is_meant =
        |question: &&Question| question.name.as_ref().is_some_and(|known| known == name || known.ends_with(&end));
    questions.iter().find(is_meant).ok_or_else(|| {
        let names: Vec<_> = questions.iter().filter_map(|question| question.name.clone()).collect();
        hint::error(format!("no step {name:?} makes a pod"), format!("these do: {}", names.join(", ")))
    })
}

fn text(explained: &Explained) -> String {
    let Explained { name, explanation } = explained;
    let request = &explanation.request;
    let mut text = match &explanation.decision.verdict {
        Verdict::Allow => format!("{}: {request}\n\n", styled(GOOD, "allowed")),
        Verdict::Deny { code, reason } => {
            format!("{}: {request}\n\n{reason}\n\n{}\n", styled(BAD, "denied"), field("code", code))
        }
    };
    text += &field("module", &explanation.decision.module);
    text += &format!("\n{}\n", field("generation", &explanation.decision.generation.to_string()));
    if explanation.decision.module == MODULE_CORE {
        text += "\nthe core decides this before any module is asked; below is what they would say\n";
    }
    text.push('\n');
    text += &format!("{}\n", styled(STRONG, "asked"));
    let mut fact = |name: &str, value: &str| {
        let value = if value.is_empty() { "none" } else { value };
        text += &format!("  {}\n", field(name, value));
    };
    if let Some(name) = name {
        fact("node", name);
    }
    fact("workflow", &format!("{}/{}", request.workflow.namespace, request.workflow.name));
    fact("template", &request.template);
    fact("target", &request.target.to_string());
    fact("service account", &request.service_account);
    let attributes: Vec<_> = request.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    fact("attributes", &attributes.join(", "));
    let given: Vec<_> =
        explanation.modules.iter().filter(|asked| asked.said.pod_given).map(|asked| asked.said.name.as_str()).collect();
    let pod =
        if given.is_empty() { "no module asks for it".to_owned() } else { format!("given to {}", given.join(", ")) };
    fact("pod", &format!("{} bytes, {pod}", explanation.pod_bytes));
    for asked in &explanation.modules {
        text.push('\n');
        text += &module(asked);
    }
    text
}

fn module(asked: &Asked) -> String {
    let said = &asked.said;
    let style = match &said.answer {
        Answer::Allow => GOOD,
        Answer::Deny { .. } | Answer::Failed { .. } => BAD,
    };
    let mode = match said.mode {
        Mode::Enforce => "",
        Mode::Shadow => ", a shadow: it does not count",
    };
    let mut text = format!(
        "{} says {} {}\n",
        styled(STRONG, format!("module {}", said.name)),
        styled(style, explain::in_short(&said.answer)),
        styled(FAINT, format!("in {}{mode}", time(said.nanoseconds))),
    );
    let short = |digest: &str| digest.chars().take(12).collect::<String>();
    text += &format!("  {}\n", field("digest", &short(&said.digest)));
    text += &format!("  {}\n", field("settings", &short(&said.settings_digest)));
    match &said.answer {
        Answer::Deny { reason, .. } | Answer::Failed { reason, .. } if !asked.decided => {
            text += &format!("  {}\n", field("reason", reason));
        }
        Answer::Allow | Answer::Deny { .. } | Answer::Failed { .. } => {}
    }
    if asked.elements.is_empty() {
        text += "  no single element of its settings makes a difference\n";
    } else {
        text += "  it hangs on these elements of its settings:\n";
    }
    for element in &asked.elements {
        let place = element.place.as_ref().map(|place| format!("{place}  ")).unwrap_or_default();
        text += &format!("    {place}{}\n", styled(STRONG, &element.path));
        text += &format!("      {}\n", styled(FAINT, format!("without it: {}", element.without)));
    }
    if asked.left_out > 0 {
        text += &format!("  {} more elements were not looked at\n", asked.left_out);
    }
    if let Some(notes) = asked.notes.as_ref().filter(|notes| !notes.is_empty()) {
        text += "  it notes:\n";
        notes.iter().for_each(|note| text += &format!("    {}\n", note.replace(char::is_control, " ")));
    }
    text
}

fn field(name: &str, value: &str) -> String {
    format!("{name:<17}{value}")
}
