//! `landfall policy cover`: what of a module does its suite look at?

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::{
    author::{
        cover::{
            self, Code, CoverError, MissedFunction, MissedLines, Place, Share, Unmeasured,
            rules::{self, Rules, Unused},
        },
        removal::Target,
        subject::Subject,
        suite::{Suite, SuiteError},
    },
    cli::{
        Outcome, hint,
        output::{self, Format},
        policy::percent,
        progress::Progress,
        style::{BAD, FAINT, GOOD, STRONG, styled},
    },
    policy::{
        host::Host,
        inspect,
        module::{LoadError, Prepared},
    },
};

/// So many functions are listed, those first of which the most is missed.
const FUNCTIONS_SHOWN_MAX: usize = 20;
/// Of one function, so many branches are listed.
const BRANCHES_SHOWN_MAX: usize = 8;
/// So many ranges of lines are listed.
const LINES_SHOWN_MAX: usize = 40;
/// So many settings are listed.
const SETTINGS_SHOWN_MAX: usize = 50;

/// Flags of `landfall policy cover`.
#[derive(Debug, Args)]
#[command(
    after_help = "Code is the policy's own, as its folder has it: which functions ran, and which arms of their branches were taken. A crate is\nbuilt anew for that, with names and lines. JavaScript and Python are run by Node.js and Python in place of the component, and\ntheir lines are counted. A component without its sources is measured if the build left names in it. Rules are what it is configured with: each element of the settings that some answer depends on is covered.\n\nExamples:\n  landfall policy cover policies/images\n  landfall policy cover policies/images --min 60 --min-rules 100\n  landfall policy cover builtin --suite policies/builtin/cases.yaml\n\nExit status: 0 if there is as much as is asked for, 1 if not."
)]
pub struct Arguments {
    /// A policy folder, its suite (cases.yaml), a .wasm file, or `builtin`
    #[arg(default_value = ".")]
    subject: PathBuf,
    /// The suite, if it is not the folder's
    #[arg(long, value_name = "FILE")]
    suite: Option<PathBuf>,
    /// Fail if less of the code is covered: functions and arms of branches together
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    min: Option<f64>,
    /// Fail if fewer elements of the settings are covered
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    min_rules: Option<f64>,
    /// Count the code of libraries and interpreters too, and list everything
    #[arg(long)]
    all: bool,
    /// How to print what is found
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Everything that is found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    module: String,
    suite: PathBuf,
    questions: usize,
    refusals: usize,
    code: Code,
    rules: Rules,
    /// In percent.
    code_percent: f64,
    /// In percent.
    rules_percent: f64,
    /// There is as much as was asked for.
    enough: bool,
}

/// Measures and prints.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let suite = open(&arguments.subject, arguments.suite.as_deref())?;
    let progress = Progress::new();
    let host = Host::metering()?;
    let code = cover::code(&host, &suite, arguments.all, &mut |done, all| {
        progress.say(|| format!("code: {done} of {all} questions"));
    });
    let code = code.map_err(|error| {
        let advice = match &error {
            CoverError::Load(error) => error.hint().map(str::to_owned),
            CoverError::Build(error) => error.hint(),
            CoverError::Malformed(_) | CoverError::Runner(_) => None,
        };
        failed(&suite, &error, advice.as_deref())
    })?;
    if let (Some(_), Some(Unmeasured { reason, hint })) = (arguments.min, &code.unmeasured) {
        return Err(hint::error(
            format!("{}: --min asks for what can't be measured: {reason}", suite.subject.name),
            format!("{hint}; or go by the settings alone, with --min-rules"),
        ));
    }
    let found = measure_rules(&suite, &progress).map_err(|error| failed(&suite, &error, error.hint()))?;
    drop(progress);
    let (code_percent, rules_percent) = (code.share().percent(), found.elements.percent());
    let enough = arguments.min.is_none_or(|min| code_percent >= min)
        && arguments.min_rules.is_none_or(|min| rules_percent >= min);
    let report = Report {
        module: suite.subject.name.clone(),
        suite: suite.file.clone(),
        questions: suite.questions.len(),
        refusals: suite.refusals.len(),
        code,
        rules: found,
        code_percent,
        rules_percent,
        enough,
    };
    match arguments.output {
        Format::Text => output::text_to_stdout(&text(&report, arguments))?,
        Format::Json => output::json(&report)?,
    }
    Ok(if enough { Outcome::Done } else { Outcome::Unsuccessful })
}

/// The suite of `subject`, or the one that is named, with the module that `subject` means.
pub fn open(subject: &Path, suite: Option<&Path>) -> anyhow::Result<Suite> {
    let hinted = |error: SuiteError| match error.hint() {
        Some(advice) => hint::error(&error, advice),
        None => anyhow::Error::new(error),
    };
    let Some(suite) = suite else {
        let is_module = !subject.exists() || subject.extension().is_some_and(|extension| extension == "wasm");
        if is_module {
            let opened = Subject::open(subject);
            return Err(match opened.map(|subject| inspect::inspect(&subject.bytes)) {
                Ok(Err(unfit)) => {
                    let said = format!("{}: {unfit}", subject.display());
                    unfit.hint().map_or_else(|| anyhow::anyhow!("{said}"), |advice| hint::error(&said, advice))
                }
                Ok(Ok(())) => hint::error(
                    format!("{}: there is no suite beside a module alone", subject.display()),
                    "name one with --suite cases.yaml, or name the policy folder",
                ),
                Err(error) => hinted(error.into()),
            });
        }
        return Suite::read(subject).map_err(hinted);
    };
    let mut suite = Suite::read(suite).map_err(hinted)?;
    if subject != Path::new(".") {
        suite.subject = Subject::open(subject).map_err(|error| hinted(error.into()))?;
    }
    Ok(suite)
}

fn measure_rules(suite: &Suite, progress: &Progress) -> Result<Rules, LoadError> {
    let host = Host::new().map_err(|error| LoadError::Invalid(format!("{error:#}")))?;
    let prepared = Prepared::new(&host, suite.subject.bytes.clone())?;
    let target = Target { host: &host, prepared: &prepared, name: &suite.subject.name };
    rules::rules(target, suite, &mut |done, known| {
        progress.say(|| format!("rules: {done} of {known} elements of the settings"));
    })
}

fn failed(suite: &Suite, error: &dyn std::fmt::Display, advice: Option<&str>) -> anyhow::Error {
    let file =
        suite.subject.file.as_ref().map_or_else(|| suite.subject.name.clone(), |file| file.display().to_string());
    match advice {
        Some(advice) => hint::error(format!("{file}: {error}"), advice),
        None => anyhow::anyhow!("{file}: {error}"),
    }
}

fn text(report: &Report, arguments: &Arguments) -> String {
    let Report { code, rules, .. } = report;
    let mut text = format!(
        "{}  {}\n\n",
        styled(STRONG, &report.module),
        styled(FAINT, format!("{} questions, {} settings to refuse", report.questions, report.refusals))
    );
    match &code.unmeasured {
        Some(Unmeasured { reason, .. }) => text += &format!("code   not measured: {reason}\n"),
        None => {
            text += &share("code   functions ", code.functions, None);
            let branches = if code.source_lines.total > 0 { "blocks    " } else { "branches  " };
            if code.branches.total > 0 {
                text += &share(&format!("       {branches}"), code.branches, None);
            }
            if code.source_lines.total > 0 {
                text += &share("       lines     ", code.source_lines, None);
            }
            text += &share("       together  ", code.share(), arguments.min);
        }
    }
    text += &share("rules  settings  ", rules.elements, arguments.min_rules);
    text += &functions(code, arguments.all);
    text += &lines(code, arguments.all);
    text += &settings(rules, arguments.all);
    for note in notes(report) {
        text += &format!("\n{} {note}", styled(FAINT, "note:"));
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn share(label: &str, share: Share, min: Option<f64>) -> String {
    let percent = share.percent();
    let line = format!("{label} {:>5} of {:<5} {percent:>5.1} %", share.hit, share.total);
    match min {
        None if share.total == 0 => format!("{label} none\n"),
        None => format!("{line}\n"),
        Some(min) if percent < min => format!("{}\n", styled(BAD, format!("{line}  less than {min} %"))),
        Some(min) => format!("{}\n", styled(GOOD, format!("{line}  at least {min} %"))),
    }
}

fn functions(code: &Code, all: bool) -> String {
    // Functions by number tell nobody anything.
    if code.missed.is_empty() || !(code.named || code.lines || all) {
        return String::new();
    }
    let mut missed: Vec<&MissedFunction> = code.missed.iter().collect();
    missed.sort_by_key(|function| std::cmp::Reverse(function.branches.total - function.branches.hit));
    let max = if all { usize::MAX } else { FUNCTIONS_SHOWN_MAX };
    let mut text = format!("\n{}\n", styled(STRONG, "Functions of which not all ran"));
    for function in missed.iter().take(max) {
        let Share { hit, total } = function.branches;
        let what = match (function.ran, total) {
            (false, _) => "never ran".to_owned(),
            (true, _) => format!("{} of {total} arms never taken", total - hit),
        };
        text += &format!("  {}  {what}{}\n", function.name, styled(FAINT, place("  ", function.place.as_ref())));
        if function.ran {
            text += &branches(function, all);
        }
    }
    if missed.len() > max {
        text += &format!("  and {} more: --all lists them\n", missed.len() - max);
    }
    text
}

fn lines(code: &Code, all: bool) -> String {
    if code.missed_lines.is_empty() {
        return String::new();
    }
    let max = if all { usize::MAX } else { LINES_SHOWN_MAX };
    let mut text = format!("\n{}\n", styled(STRONG, "Lines that no case comes by"));
    for MissedLines { file, from, to, partly } in code.missed_lines.iter().take(max) {
        let to = if from == to { String::new() } else { format!("-{to}") };
        let partly = if *partly { "  a part of it" } else { "" };
        text += &format!("  {file}:{from}{to}{}\n", styled(FAINT, partly));
    }
    if code.missed_lines.len() > max {
        text += &format!("  and {} more: --all lists them\n", code.missed_lines.len() - max);
    }
    text
}

fn branches(function: &MissedFunction, all: bool) -> String {
    let mut lines: Vec<String> = Vec::new();
    for branch in &function.missed {
        // Without a line, which branch it is can't be said.
        if let Some(Place { file, line }) = &branch.place {
            let shown = format!("      {file}:{line}  {}\n", branch.missed);
            if !lines.contains(&shown) {
                lines.push(shown);
            }
        }
    }
    let max = if all { usize::MAX } else { BRANCHES_SHOWN_MAX };
    let mut text: String = lines.iter().take(max).cloned().collect();
    if lines.len() > max {
        text += &format!("      and {} more\n", lines.len() - max);
    }
    text
}

fn place(before: &str, place: Option<&Place>) -> String {
    place.map(|Place { file, line }| format!("{before}{file}:{line}")).unwrap_or_default()
}

fn settings(rules: &Rules, all: bool) -> String {
    if rules.unused.is_empty() {
        return String::new();
    }
    let max = if all { usize::MAX } else { SETTINGS_SHOWN_MAX };
    let mut text = format!(
        "\n{}\n",
        styled(STRONG, "Settings that no case depends on: without one of them every answer is the same")
    );
    for unused in rules.unused.iter().take(max) {
        let Unused { path, file, line, question, only_reason } = unused;
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        let question = question.as_ref().map(|question| format!("  (settings of {question:?})")).unwrap_or_default();
        let reason = if *only_reason { "  (only a reason's text depends on it)" } else { "" };
        text += &format!("  {}{line}  {path}{}{}\n", file.display(), styled(FAINT, question), styled(FAINT, reason));
    }
    if rules.unused.len() > max {
        text += &format!("  and {} more: --all lists them\n", rules.unused.len() - max);
    }
    text
}

/// What else there is to know about the figures.
fn notes(report: &Report) -> Vec<String> {
    let Report { code, rules, .. } = report;
    let mut notes = Vec::new();
    match &code.unmeasured {
        Some(Unmeasured { hint, .. }) => notes.push(format!("to measure the code: {hint}")),
        None => notes.push(format!("counted is {}", code.how)),
    }
    if let [first, more @ ..] = code.failed.as_slice() {
        let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        let what =
            if code.source_lines.total > 0 { "not answered as the suite says" } else { "trapped or exceeded a limit" };
        notes.push(format!("{first:?}{more} {what}; what ran until then counts"));
    }
    if rules.left_out > 0 {
        notes.push(format!("{} elements of the settings were not looked at: there are too many", rules.left_out));
    }
    notes
}
