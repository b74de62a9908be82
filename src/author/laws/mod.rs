//! What every policy module should keep, whatever it decides by. Settings and requests are generated, and each law is put
//! to the test with them; what breaks one is shrunk to the smallest case.
//!
//! [`run::run`] is the entry point. A law is a file: it makes a [`Twist`] that fits the settings and the request, and
//! looks at the answers with it and without it. No law knows what a module decides by.

mod deterministic;
mod garbage;
mod limits;
mod monotone;
pub mod run;
pub mod saved;
mod shrink;
mod tenants;

use serde_json::Value as Json;

use crate::{
    author::{
        asking::{self, Asker},
        generate::Generator,
        removal::Path,
    },
    policy::{
        decision::Answer,
        request::{PodJson, Request},
    },
};

/// One of the laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Law {
    /// See `deterministic.rs`.
    Deterministic,
    /// See `monotone.rs`.
    Monotone,
    /// See `tenants.rs`.
    Tenants,
    /// See `garbage.rs`.
    Garbage,
    /// See `limits.rs`.
    Limits,
}

/// Settings, a request, and what is done to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// What the module is configured with.
    pub settings: Json,
    /// What it is asked.
    pub request: Request,
    /// What is changed.
    pub twist: Twist,
}

/// What is changed between two answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Twist {
    /// Nothing: there is one answer.
    None,
    /// The same instance is asked this before.
    After(Box<Request>),
    /// This item of a list is taken out of the settings.
    Without(Path),
    /// A copy of this element stands beside it in the settings, in which these names are those of strangers.
    Beside(Path, Vec<String>),
    /// This is given in place of the pod.
    Pod(Option<PodJson>),
    /// The settings have another field, of this name.
    Unknown(String),
    /// These are the settings.
    Instead(Json),
}

/// How a law is broken.
#[derive(Clone, Debug, PartialEq)]
pub struct Breach {
    /// What happened, in a sentence.
    pub sentence: String,
    /// What was said, and when.
    pub said: Vec<Said>,
    /// What a module that keeps the law does.
    pub wanted: Wanted,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// With which settings or after what.
    pub when: String,
    /// On one line.
    pub what: String,
}

/// What a module that keeps the law does, as a suite can say it.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// It answers this request so.
    Answer(Box<Case>),
    /// It refuses these settings.
    Refusal(Json),
}

/// A case of a suite.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What the module is configured with.
    pub settings: Json,
    /// What is asked.
    pub request: Request,
    /// What is to be answered.
    pub answer: Answer,
}

impl Law {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Law; 5] = [Law::Deterministic, Law::Monotone, Law::Tenants, Law::Garbage, Law::Limits];

    /// Its name on the command line and in suites.
    pub fn name(self) -> &'static str {
        match self {
            Law::Deterministic => "deterministic",
            Law::Monotone => "monotone",
            Law::Tenants => "tenants",
            Law::Garbage => "garbage",
            Law::Limits => "limits",
        }
    }

    /// The law of that name.
    pub fn of_name(name: &str) -> Option<Law> {
        Law::ALL.into_iter().find(|law| law.name() == name)
    }

    /// Why a module should keep it, in a sentence.
    pub fn why(self) -> &'static str {
        match self {
            Law::Deterministic => deterministic::WHY,
            Law::Monotone => monotone::WHY,
            Law::Tenants => tenants::WHY,
            Law::Garbage => garbage::WHY,
            Law::Limits => limits::WHY,
        }
    }

    /// When a good module may break it: what to do then.
    pub fn unless(self) -> Option<&'static str> {
        match self {
            Law::Monotone => Some(monotone::UNLESS),
            Law::Tenants => Some(tenants::UNLESS),
            Law::Deterministic | Law::Garbage | Law::Limits => None,
        }
    }

    /// What settings must have, for there to be a trial of it.
    pub fn takes(self) -> &'static str {
        match self {
            Law::Monotone => monotone::TAKES,
            Law::Tenants => tenants::TAKES,
            Law::Deterministic | Law::Garbage | Law::Limits => "settings that the module takes",
        }
    }

    /// A trial of it, if one can be made with these settings and this request.
    fn trial(self, generator: &mut Generator, settings: &Json, request: &Request) -> Option<Trial> {
        match self {
            Law::Deterministic => Some(deterministic::trial(generator, settings, request)),
            Law::Monotone => monotone::trial(generator, settings, request),
            Law::Tenants => tenants::trial(generator, settings, request),
            Law::Garbage => Some(garbage::trial(generator, settings, request)),
            Law::Limits => Some(limits::trial(settings, request)),
        }
    }

    /// How the module breaks it in this trial, if it does.
    fn check(self, asker: &mut Asker<'_>, trial: &Trial) -> Option<Breach> {
        match self {
            Law::Deterministic => deterministic::check(asker, trial),
            Law::Monotone => monotone::check(asker, trial),
            Law::Tenants => tenants::check(asker, trial),
            Law::Garbage => garbage::check(asker, trial),
            Law::Limits => limits::check(asker, trial),
        }
    }
}

impl Said {
    fn new(when: impl Into<String>, answer: &Answer) -> Said {
        Said { when: when.into(), what: asking::line(answer) }
    }
}

/// A denial of which nothing more is known.
fn any_denial() -> Answer {
    Answer::Deny { code: String::new(), reason: String::new() }
}
