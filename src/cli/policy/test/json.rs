//! Results for programs.

use serde::Serialize;

use crate::{
    author::suite::run::{CaseResult, Problem, Said},
    cli::policy::test::{Ended, Snapshot, Tested},
    policy::decision::Answer,
};

/// All suites.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Results<'a> {
    ok: bool,
    suites: Vec<Suite<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Suite<'a> {
    path: String,
    ok: bool,
    /// Why nothing was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<&'a str>,
    left_out: usize,
    nanoseconds: u64,
    /// `same`, `differs` or `written`.
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<&'static str>,
    questions: Vec<Question<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    name: &'a str,
    line: u64,
    ok: bool,
    #[serde(flatten)]
    said: Words<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a Problem>,
    nanoseconds: u64,
}

/// What was said; for refusals `refused` or `taken` stands for the verdict.
#[derive(Serialize)]
#[serde(untagged)]
enum Words<'a> {
    Answer(&'a Answer),
    Refused { verdict: &'static str, message: &'a str },
    Configured { verdict: &'static str },
}

/// As JSON has it.
pub fn results(all: &[Tested]) -> Results<'_> {
    Results { ok: all.iter().all(Tested::is_good), suites: all.iter().map(suite).collect() }
}

fn suite(tested: &Tested) -> Suite<'_> {
    let path = tested.path.display().to_string();
    let ok = tested.is_good();
    let failed = |error: String| Suite {
        path: path.clone(),
        ok,
        error: Some(error),
        module: None,
        left_out: 0,
        nanoseconds: 0,
        snapshot: None,
        questions: Vec::new(),
    };
    match &tested.outcome {
        Ended::Unread(error) => failed(error.to_string()),
        Ended::Failed { what, .. } => failed(what.clone()),
        Ended::Ran { suite, report, snapshot } => Suite {
            path,
            ok,
            error: None,
            module: Some(&suite.subject.name),
            left_out: report.left_out,
            nanoseconds: nanoseconds(report.took),
            snapshot: Some(match snapshot {
                Snapshot::Same => "same",
                Snapshot::Differs { .. } => "differs",
                Snapshot::Written => "written",
            }),
            questions: report.results.iter().map(question).collect(),
        },
    }
}

fn question(result: &CaseResult) -> Question<'_> {
    let said = match &result.said {
        Said::Answered(answer) => Words::Answer(answer),
        Said::Refused(message) => Words::Refused { verdict: "refused", message },
        Said::Configured => Words::Configured { verdict: "taken" },
    };
    Question {
        name: &result.name,
        line: result.line,
        ok: result.problem.is_none(),
        said,
        problem: result.problem.as_ref(),
        nanoseconds: nanoseconds(result.took),
    }
}

fn nanoseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
