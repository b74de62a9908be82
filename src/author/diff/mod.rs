//! Two versions of a policy, asked the same: what is answered differently, what is worst first, the smallest example of each.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::Value as Json;

use crate::{
    author::{
        asking::{self, Asker},
        removal, smaller,
    },
    policy::{
        decision::{Answer, Verdict},
        host::Host,
        request::Request,
        store::{Chain, Said},
    },
};

/// Stands in place of a code where the settings were refused, which is as good as denying everything.
pub const CODE_REFUSED: &str = "settings-refused";
/// Stands in place of a code where it was allowed.
pub const ALLOWED: &str = "allow";

/// So many steps at most are tried to make an example smaller.
const STEPS_MAX: usize = 1500;

/// One of two versions.
pub enum Side<'a> {
    /// A module. Without settings of its own it is configured with those of each question.
    Module {
        /// Asks it.
        asker: Asker<'a>,
        /// What it is always configured with.
        settings: Option<Json>,
    },
    /// All that a controller has in force.
    Set {
        /// Runs it.
        host: &'a Host,
        /// The set.
        chain: &'a Chain,
    },
}

/// Something to ask both.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// For modules that have no settings of their own.
    pub settings: Arc<Json>,
    /// What is asked.
    pub request: Request,
    /// Where it comes from, such as `records.jsonl:17`.
    pub from: String,
    /// Of what kind that is.
    pub source: Source,
}

/// Where questions come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A suite.
    Case,
    /// Decision records, which hold neither pods nor settings.
    Record,
    /// Chance.
    Generated,
}

/// Why a question could not be put to both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hindrance {
    /// Both refuse the settings.
    Refused,
    /// This module wants the pod, which no record holds.
    NoPod(String),
}

/// Questions that could not be put to both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// How many there are.
    pub count: u64,
    /// What was said to the first of them.
    pub said: String,
}

/// How an answer changed, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What was denied is allowed.
    Loosened,
    /// What was answered is not any more: the module traps, throws, or exceeds a limit, and the host denies.
    Failed,
    /// What was allowed is denied.
    Tightened,
    /// What had no answer is denied.
    Answered,
    /// It is denied as before, with another code.
    Code,
    /// It is denied with the same code in other words.
    Reason,
}

/// Answers that changed in the same way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// How.
    pub kind: Kind,
    /// The old code, or [`ALLOWED`].
    pub old: String,
    /// The new one.
    pub new: String,
}

/// Some of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// How many there are.
    pub count: u64,
    /// The smallest.
    pub example: Example,
}

/// A question with two answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// What was asked.
    pub asked: Asked,
    /// The old answer.
    pub old: Answer,
    /// The new one.
    pub new: Answer,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// How many questions were put to both.
    pub asked: u64,
    /// The same by where they come from.
    pub asked_of: BTreeMap<Source, u64>,
    /// Those that could not be.
    pub left_out: BTreeMap<(Source, Hindrance), LeftOut>,
    /// What changed.
    pub groups: BTreeMap<Change, Group>,
}

impl Source {
    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            Source::Case => "case",
            Source::Record => "record",
            Source::Generated => "generated",
        }
    }
}

impl Side<'_> {
    /// The module that wants the pod of this question and is not given one; nothing where an answer can be had. Of a set,
    /// only the modules count that are asked at all.
    fn without_pod(&self, asked: &Asked) -> Option<String> {
        match self {
            Side::Module { asker, settings } => {
                let settings = settings.as_ref().unwrap_or(&asked.settings);
                let lacks = asker.lacks_pod(settings, &asked.request).unwrap_or(false);
                lacks.then(|| asker.name().to_owned())
            }
            Side::Set { host, chain } => {
                let said = chain.decide(host, &asked.request).1;
                let wants = |name: &str| {
                    chain.members.iter().any(|member| member.module.name() == name && member.module.needs_pod())
                };
                said.iter().map(Said::module).find(|name| wants(name)).map(str::to_owned)
            }
        }
    }

    /// The answer; refused settings are a denial.
    fn ask(&mut self, asked: &Asked) -> Answer {
        match self {
            Side::Module { asker, settings } => asker
                .alone(settings.as_ref().unwrap_or(&asked.settings), &asked.request)
                .unwrap_or_else(|error| Answer::Failed { code: CODE_REFUSED.to_owned(), reason: error.to_string() }),
            Side::Set { host, chain } => {
                let (decision, said) = chain.decide(host, &asked.request);
                match (decision.verdict, said.last().map(Said::answer)) {
                    (Verdict::Allow, _) => Answer::Allow,
                    (Verdict::Deny { reason, code }, Some(Answer::Failed { .. })) => Answer::Failed { code, reason },
                    (Verdict::Deny { reason, code }, _) => Answer::Deny { code, reason },
                }
            }
        }
    }

    fn has_settings(&self) -> bool {
        match self {
            Side::Module { settings, .. } => settings.is_some(),
            Side::Set { .. } => true,
        }
    }
}

impl Comparison {
    /// Asks both, and keeps the question if they don't agree.
    pub fn ask(&mut self, old: &mut Side<'_>, new: &mut Side<'_>, asked: Asked) {
        let hindrance = match asked.source {
            Source::Record => old.without_pod(&asked).or_else(|| new.without_pod(&asked)).map(Hindrance::NoPod),
            Source::Case | Source::Generated => None,
        };
        if let Some(hindrance) = hindrance {
            self.leave_out(asked.source, hindrance, String::new);
            return;
        }
        let (before, after) = (old.ask(&asked), new.ask(&asked));
        if is_refusal(&before) && is_refusal(&after) {
            let said = || format!("old: {}; new: {}", reason(&before), reason(&after));
            self.leave_out(asked.source, Hindrance::Refused, said);
            return;
        }
        self.asked += 1;
        *self.asked_of.entry(asked.source).or_default() += 1;
        let Some((change, example)) = compared(before, after, asked) else { return };
        match self.groups.get_mut(&change) {
            None => drop(self.groups.insert(change, Group { count: 1, example })),
            Some(group) => {
                group.count += 1;
                if size(&example.asked) < size(&group.example.asked) {
                    group.example = example;
                }
            }
        }
    }

    fn leave_out(&mut self, source: Source, hindrance: Hindrance, said: impl FnOnce() -> String) {
        let left_out = self.left_out.entry((source, hindrance));
        left_out.or_insert_with(|| LeftOut { count: 0, said: said() }).count += 1;
    }

    /// Makes each example as small as it can be.
    pub fn shrink(&mut self, old: &mut Side<'_>, new: &mut Side<'_>) {
        let own_settings = old.has_settings() && new.has_settings();
        for (change, group) in &mut self.groups {
            let mut steps = 0;
            let mut place = 0;
            while let Some(asked) = candidates(&group.example.asked, own_settings).into_iter().nth(place) {
                steps += 1;
                if steps > STEPS_MAX {
                    break;
                }
                match compare(old, new, asked) {
                    Some((same, example)) if same == *change => {
                        group.example = example;
                        place = 0;
                    }
                    Some(_) | None => place += 1,
                }
            }
        }
    }

    /// How many answers changed in that way.
    pub fn count(&self, kind: Kind) -> u64 {
        self.groups.iter().filter(|(change, _)| change.kind == kind).map(|(_, group)| group.count).sum()
    }
}

impl Kind {
    /// All, worst first.
    pub const ALL: [Kind; 6] =
        [Kind::Loosened, Kind::Failed, Kind::Tightened, Kind::Answered, Kind::Code, Kind::Reason];

    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Loosened => "loosened",
            Kind::Failed => "failed",
            Kind::Tightened => "tightened",
            Kind::Answered => "answered",
            Kind::Code => "code",
            Kind::Reason => "reason",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Loosened => "denied before, allowed now",
            Kind::Failed => "answered before, no answer now",
            Kind::Tightened => "allowed before, denied now",
            Kind::Answered => "no answer before, denied now",
            Kind::Code => "denied with another code",
            Kind::Reason => "denied in other words",
        })
    }
}

fn compare(old: &mut Side<'_>, new: &mut Side<'_>, asked: Asked) -> Option<(Change, Example)> {
    compared(old.ask(&asked), new.ask(&asked), asked)
}

fn compared(before: Answer, after: Answer, asked: Asked) -> Option<(Change, Example)> {
    let code = |answer: &Answer| asking::code(answer).unwrap_or(ALLOWED).to_owned();
    let (was, is) = (code(&before), code(&after));
    let kind = match (&before, &after) {
        _ if before == after || (is_refusal(&before) && is_refusal(&after)) => return None,
        (_, Answer::Allow) => Kind::Loosened,
        _ if !is_failure(&before) && is_failure(&after) => Kind::Failed,
        _ if is_failure(&before) && !is_failure(&after) => Kind::Answered,
        (Answer::Allow, _) => Kind::Tightened,
        _ if was != is => Kind::Code,
        _ => Kind::Reason,
    };
    Some((Change { kind, old: was, new: is }, Example { asked, old: before, new: after }))
}

fn is_refusal(answer: &Answer) -> bool {
    matches!(answer, Answer::Failed { code, .. } if code == CODE_REFUSED)
}

fn reason(answer: &Answer) -> &str {
    match answer {
        Answer::Allow => ALLOWED,
        Answer::Deny { reason, .. } | Answer::Failed { reason, .. } => reason,
    }
}

/// The module gave no answer. Settings that it refuses are an answer, and as good as denying everything.
fn is_failure(answer: &Answer) -> bool {
    matches!(answer, Answer::Failed { code, .. } if code != CODE_REFUSED)
}

/// All that are a step smaller.
fn candidates(asked: &Asked, own_settings: bool) -> Vec<Asked> {
    let mut all = Vec::new();
    if !own_settings {
        for path in removal::elements(&asked.settings) {
            all.push(Asked { settings: Arc::new(removal::without(&asked.settings, &path)), ..asked.clone() });
        }
    }
    all.extend(smaller::requests(&asked.request).into_iter().map(|request| Asked { request, ..asked.clone() }));
    all
}

fn size(asked: &Asked) -> usize {
    let request = serde_json::to_string(&asked.request).map_or(0, |text| text.len());
    request + asked.request.pod.as_ref().map_or(0, |pod| pod.as_str().len()) + asked.settings.to_string().len()
}
