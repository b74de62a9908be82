//! Results for people: a line a suite, and below it what is not as expected.

use similar::{ChangeTag, TextDiff};

use crate::{
    author::suite::{
        Suite, SuiteError, place,
        run::{CaseResult, Problem, Report, Said},
        snapshot,
    },
    cli::{
        policy::test::{Ended, Snapshot, Tested},
        snippet::{self, Shown},
        style::{BAD, FAINT, GOOD, HINT, STRONG, styled, time},
        words,
    },
    policy::decision::Answer,
};

/// Of a suite that fails everywhere, so many failures are shown.
const FAILURES_SHOWN_MAX: usize = 20;

/// One suite.
pub fn suite(tested: &Tested) -> String {
    let path = styled(STRONG, tested.path.display());
    match &tested.outcome {
        Ended::Unread(error) => format!("{path}  {}\n\n{}", styled(BAD, "not run"), unread(error)),
        Ended::Failed { what, hint } => {
            let hint = hint.as_ref().map(|hint| format!("{}: {hint}\n", styled(HINT, "hint"))).unwrap_or_default();
            format!("{path}  {}\n\n{}: {what}\n{hint}\n", styled(BAD, "not run"), styled(BAD, "error"))
        }
        Ended::Ran { suite, report, snapshot } => {
            let failed = report.failed().count();
            let good = if failed == 0 { styled(GOOD, "ok") } else { styled(BAD, format!("{failed} not as expected")) };
            let mut text = format!(
                "{path}  {good}  {}\n",
                styled(FAINT, format!("{}, {}", counts(report), time(nanoseconds(report.took))))
            );
            if failed > 0 {
                text.push('\n');
            }
            for result in report.failed().take(FAILURES_SHOWN_MAX) {
                text += &failure(tested, suite, result);
                text.push('\n');
            }
            if failed > FAILURES_SHOWN_MAX {
                text +=
                    &format!("and {} more; `--filter TEXT` shows some, `-o json` all\n\n", failed - FAILURES_SHOWN_MAX);
            }
            text + &snapshot_text(tested, suite, snapshot)
        }
    }
}

/// The last line.
pub fn summary(all: &[Tested]) -> String {
    let (mut asked, mut failed, mut took) = (0, 0, 0);
    for tested in all {
        if let Ended::Ran { report, .. } = &tested.outcome {
            asked += report.results.len();
            failed += report.failed().count();
            took += nanoseconds(report.took);
        }
    }
    let suites = plural(all.len(), "suite");
    let bad = all.iter().filter(|tested| !tested.is_good()).count();
    if bad == 0 {
        let nothing = if asked == 0 { "; nothing was asked" } else { "" };
        return format!("{}: {suites}, {}, {}{nothing}\n", styled(GOOD, "ok"), plural(asked, "question"), time(took));
    }
    format!(
        "{}: {failed} of {} not as expected, {bad} of {suites} not good\n",
        styled(BAD, "failed"),
        plural(asked, "question"),
    )
}

fn counts(report: &Report) -> String {
    let left_out = if report.left_out > 0 { format!(" ({} left out)", report.left_out) } else { String::new() };
    format!("{}{left_out}, {}", plural(report.results.len(), "question"), plural(report.settings, "configuration"))
}

fn failure(tested: &Tested, suite: &Suite, result: &CaseResult) -> String {
    let Some(problem) = &result.problem else { return String::new() };
    let (label, notes) = match &result.said {
        Said::Answered(Answer::Allow) => ("it is allowed".to_owned(), Vec::new()),
        Said::Answered(Answer::Deny { code, reason }) => {
            (format!("it is denied with {code}"), vec![format!("reason: {reason}")])
        }
        Said::Answered(Answer::Failed { code, reason }) => {
            (format!("{code}: the module gave no answer"), vec![reason.clone()])
        }
        Said::Refused(message) => {
            let place = suite.origin(result.line).place_of(message);
            let place = place.map(|place| format!("the settings stand at {place}"));
            let notes = [format!("configure: {message}")].into_iter().chain(place);
            ("the settings are refused".to_owned(), notes.collect())
        }
        Said::Configured => ("the settings are taken".to_owned(), Vec::new()),
    };
    let help = match problem {
        Problem::NotAllowed | Problem::Allowed { .. } | Problem::OtherCode { .. } | Problem::OtherReason { .. } => {
            let (path, name) = (words::quoted(&tested.path), words::word(&result.name));
            Some(format!("see why: landfall policy explain {path} --case {name}"))
        }
        Problem::NotConfigured => Some("what must be refused stands under `refused`".to_owned()),
        Problem::NoAnswer => Some(
            "where a module fails the pod is denied, which no case means by deny; if this one does, expect this code"
                .to_owned(),
        ),
        Problem::NotRefused => Some("a misspelt setting that is taken goes unnoticed".to_owned()),
        Problem::OtherRefusal { .. } => None,
    };
    snippet::render(&Shown {
        title: format!("{}: {problem}", result.name),
        file: suite.file.display().to_string(),
        text: &suite.text,
        line: Some(result.line),
        span: None,
        label,
        notes,
        help,
    })
}

fn unread(error: &SuiteError) -> String {
    match error {
        SuiteError::Mistakes { file, text, mistakes } => {
            let show = |mistake: &crate::policy::config::Mistake| {
                let title = if mistake.path.is_empty() {
                    mistake.message.clone()
                } else {
                    format!("{}: {}", mistake.path, mistake.message)
                };
                let file = file.display().to_string();
                let (label, notes) = (String::new(), Vec::new());
                let span = mistake.line.and_then(|line| place::span(text, &mistake.path, line));
                snippet::render(&Shown { title, file, text, line: mistake.line, span, label, notes, help: None }) + "\n"
            };
            mistakes.iter().map(show).collect()
        }
        SuiteError::Missing { .. } | SuiteError::Unreadable { .. } | SuiteError::Subject(_) => {
            let hint = error.hint().map(|hint| format!("{}: {hint}\n", styled(HINT, "hint"))).unwrap_or_default();
            format!("{}: {error}\n{hint}\n", styled(BAD, "error"))
        }
    }
}

fn snapshot_text(tested: &Tested, suite: &Suite, snapshot: &Snapshot) -> String {
    let file = snapshot::file_of(&suite.file);
    match snapshot {
        Snapshot::Same => String::new(),
        Snapshot::Written => format!("  wrote {}\n", file.display()),
        Snapshot::Differs { before, now } => {
            let mut text = format!("\n{}: the answers are not those of {}\n\n", styled(BAD, "error"), file.display());
            for change in TextDiff::from_lines(before.as_str(), now.as_str()).iter_all_changes() {
                let line = change.value().trim_end_matches('\n');
                match change.tag() {
                    ChangeTag::Equal => {}
                    ChangeTag::Delete => text += &format!("{}\n", styled(BAD, format!("- {line}"))),
                    ChangeTag::Insert => text += &format!("{}\n", styled(GOOD, format!("+ {line}"))),
                }
            }
            let path = words::quoted(&tested.path);
            text + &format!("\n{}: if that is meant: landfall policy test {path} --update\n\n", styled(HINT, "hint"))
        }
    }
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn nanoseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
