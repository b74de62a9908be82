//! A suite, run: every question is put to the module as the controller would put it, in the very host.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    author::{
        question::{Expected, Question},
        suite::{Refusal, Suite},
    },
    policy::{
        decision::{Answer, Denial},
        host::Host,
        module::{LoadError, Module, Prepared},
    },
};

/// What came of a suite.
#[derive(Clone, Debug)]
pub struct Report {
    /// One for each question and refusal that was asked for, in the order of the suite.
    pub results: Vec<CaseResult>,
    /// How many were left out by the filter.
    pub left_out: usize,
    /// How often the module was configured.
    pub settings: usize,
    /// How long all of it took.
    pub took: Duration,
}

/// What came of one question, or of settings that must be refused.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseResult {
    /// Its name.
    pub name: String,
    /// Its line in the suite.
    pub line: u64,
    /// What was said.
    pub said: Said,
    /// What is wrong with that, if anything is.
    pub problem: Option<Problem>,
    /// How long the answer took; for settings, how long `configure` took.
    pub took: Duration,
}

/// What was said. Displays on one line, as snapshots have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// An answer to a question.
    Answered(Answer),
    /// The module refused its settings, or could not be configured: with these words.
    Refused(String),
    /// The module took the settings.
    Configured,
}

/// How it is not as expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Problem {
    /// Denied, or not answered.
    #[error("expected allow")]
    NotAllowed,
    /// Allowed.
    #[error("expected deny{}", of(.codes))]
    Allowed {
        /// The codes that were expected.
        codes: Vec<String>,
    },
    /// Denied with another code.
    #[error("expected deny{}", of(.codes))]
    OtherCode {
        /// The codes that were expected.
        codes: Vec<String>,
    },
    /// Denied with another reason.
    #[error("expected a reason with {part:?} in it")]
    OtherReason {
        /// What is not in it.
        part: String,
    },
    /// The module gave no answer. No case expects that unless it names the host's code.
    #[error("expected the module to decide, and it failed")]
    NoAnswer,
    /// There is nothing to ask: the settings of the case were refused.
    #[error("expected the module to take these settings")]
    NotConfigured,
    /// The settings were taken.
    #[error("expected the module to refuse these settings")]
    NotRefused,
    /// The settings were refused in other words.
    #[error("expected a refusal with {part:?} in it")]
    OtherRefusal {
        /// What is not in it.
        part: String,
    },
}

/// The questions that share their settings, by their place in the suite.
struct Group {
    settings: Arc<serde_json::Value>,
    questions: Vec<usize>,
}

/// Asks everything whose name contains `filter`.
///
/// # Errors
///
/// The module can't be loaded at all.
pub fn run(host: &Host, suite: &Suite, filter: Option<&str>) -> Result<Report, LoadError> {
    let start = Instant::now();
    let prepared = Prepared::new(host, Arc::clone(&suite.subject.bytes))?;
    let name = suite.subject.name.as_str();
    let wanted = |name: &str| filter.is_none_or(|part| name.contains(part));
    let groups = group(&suite.questions, wanted);
    let settings = groups.len();
    let mut results = Vec::new();
    for Group { settings, questions } in groups {
        match prepared.configure_for(host, name, &settings, questions.len()) {
            Ok(module) => {
                for place in questions {
                    results.push((place, ask(host, (&prepared, &module), &suite.questions[place])));
                }
            }
            Err(error) => {
                let error = prepared.load_error_with_last_words(host, &settings, error);
                for place in questions {
                    results.push((place, not_configured(&suite.questions[place], &error)));
                }
            }
        }
    }
    results.sort_by_key(|(place, _)| *place);
    let mut results: Vec<_> = results.into_iter().map(|(_, result)| result).collect();
    for refusal in suite.refusals.iter().filter(|refusal| wanted(&refusal.name)) {
        results.push(refuse(host, &prepared, refusal));
    }
    let left_out = suite.questions.len() + suite.refusals.len() - results.len();
    Ok(Report { results, left_out, settings, took: start.elapsed() })
}

impl Report {
    /// Those that are not as expected.
    pub fn failed(&self) -> impl Iterator<Item = &CaseResult> {
        self.results.iter().filter(|result| result.problem.is_some())
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Said::Answered(Answer::Allow) => f.write_str("allow"),
            Said::Answered(Answer::Deny { code, reason }) => write!(f, "deny {code}: {reason}"),
            Said::Answered(Answer::Failed { code, reason }) => write!(f, "no answer ({code}): {reason}"),
            Said::Refused(message) => write!(f, "refused: {}", message.replace('\n', " ")),
            Said::Configured => f.write_str("taken"),
        }
    }
}

fn group(questions: &[Question], wanted: impl Fn(&str) -> bool) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for (place, question) in questions.iter().enumerate().filter(|(_, question)| wanted(&question.name)) {
        // A matrix has many thousands with one settings value: its text is made once.
        if let Some(last) = groups.last_mut().filter(|last| Arc::ptr_eq(&last.settings, &question.settings)) {
            last.questions.push(place);
            continue;
        }
        let number = *known.entry(question.settings.to_string()).or_insert(groups.len());
        match groups.get_mut(number) {
            Some(group) => group.questions.push(place),
            None => groups.push(Group { settings: Arc::clone(&question.settings), questions: vec![place] }),
        }
    }
    groups
}

fn ask(host: &Host, (prepared, module): (&Prepared, &Module), question: &Question) -> CaseResult {
    let start = Instant::now();
    let answer = match module.ask(host, &question.request) {
        Ok(None) => Answer::Allow,
        Ok(Some(Denial { code, reason, .. })) => Answer::Deny { code, reason },
        Err(failure) => {
            let failure = prepared.with_last_words(host, &question.settings, &question.request, failure);
            Answer::Failed { code: failure.code.to_owned(), reason: failure.message }
        }
    };
    let took = start.elapsed();
    let problem = problem(&question.expected, &answer);
    CaseResult { name: question.name.clone(), line: question.line, said: Said::Answered(answer), problem, took }
}

fn problem(expected: &Expected, answer: &Answer) -> Option<Problem> {
    match (expected, answer) {
        (Expected::Allow, Answer::Allow) => None,
        (Expected::Allow, Answer::Deny { .. } | Answer::Failed { .. }) => Some(Problem::NotAllowed),
        (Expected::Deny { codes, .. }, Answer::Allow) => Some(Problem::Allowed { codes: codes.clone() }),
        // Where a module traps or throws the host denies, and by "deny" nobody means that.
        (Expected::Deny { codes, .. }, Answer::Failed { code, .. }) if !codes.contains(code) => Some(Problem::NoAnswer),
        (Expected::Deny { codes, .. }, Answer::Deny { code, .. }) if !codes.is_empty() && !codes.contains(code) => {
            Some(Problem::OtherCode { codes: codes.clone() })
        }
        (Expected::Deny { reason, .. }, Answer::Deny { reason: found, .. } | Answer::Failed { reason: found, .. }) => {
            let part = reason.as_ref().filter(|part| !found.contains(part.as_str()))?;
            Some(Problem::OtherReason { part: part.clone() })
        }
    }
}

fn not_configured(question: &Question, error: &LoadError) -> CaseResult {
    let Question { name, line, .. } = question;
    let problem = Some(Problem::NotConfigured);
    CaseResult { name: name.clone(), line: *line, said: refused(error), problem, took: Duration::ZERO }
}

fn refuse(host: &Host, prepared: &Prepared, refusal: &Refusal) -> CaseResult {
    let start = Instant::now();
    let (said, problem) = match prepared.measure_configure(host, &refusal.settings) {
        Ok(_) => (Said::Configured, Some(Problem::NotRefused)),
        Err(error) => {
            let error = prepared.load_error_with_last_words(host, &refusal.settings, error);
            let said = refused(&error);
            let part = refusal.message.as_ref().filter(|part| !error.to_string().contains(part.as_str()));
            let problem = match (&error, part) {
                (LoadError::Settings(_), None) => None,
                (LoadError::Settings(_), Some(part)) => Some(Problem::OtherRefusal { part: part.clone() }),
                // A trap in `configure` refuses the set as well, and tells the operator nothing.
                (
                    LoadError::TooLarge { .. }
                    | LoadError::Unfit(_)
                    | LoadError::Invalid(_)
                    | LoadError::WrongWorld(_)
                    | LoadError::Configure(_)
                    | LoadError::Trial(_),
                    _,
                ) => Some(Problem::NotRefused),
            };
            (said, problem)
        }
    };
    let Refusal { name, line, .. } = refusal;
    CaseResult { name: name.clone(), line: *line, said, problem, took: start.elapsed() }
}

fn refused(error: &LoadError) -> Said {
    Said::Refused(match error {
        LoadError::Settings(message) => message.clone(),
        LoadError::TooLarge { .. }
        | LoadError::Unfit(_)
        | LoadError::Invalid(_)
        | LoadError::WrongWorld(_)
        | LoadError::Configure(_)
        | LoadError::Trial(_) => error.to_string(),
    })
}

fn of(codes: &[String]) -> String {
    if codes.is_empty() { String::new() } else { format!(" {}", codes.join(" or ")) }
}
