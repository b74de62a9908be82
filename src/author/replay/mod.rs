//! Recorded decisions, made again: is each the same, bit for bit?
//!
//! A module's answer depends on its component, its settings and the request alone. So each answer in a record is compared
//! with what the module of the same digests says now; and where the whole set is the one of the record, the decision too.
//! A record holds no pod: what a module said that was given one can't be had again.

use std::{
    collections::BTreeMap,
    io::{self, BufRead},
};

use crate::{
    author::{asking, records::Records},
    policy::{
        audit::Record,
        decision::{Answer, Evaluation, MODULE_CORE, Verdict},
        host::Host,
        store::Chain,
    },
};

/// So many differences and lines that can't be read are kept; all are counted.
pub const SHOWN_MAX: usize = 20;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// Records that were read.
    pub records: u64,
    /// Answers of modules that were compared, and decisions of the whole set.
    pub compared: u64,
    /// How many of them are not the same.
    pub different: u64,
    /// The first of those.
    pub differences: Vec<Difference>,
    /// Records that the host decided before any module was asked.
    pub by_host: u64,
    /// Answers that can't be had again because the module was given the pod, by module.
    pub with_pod: BTreeMap<String, u64>,
    /// Answers of modules that are not here.
    pub missing: BTreeMap<Missing, u64>,
    /// Records of other sets, by the set's digest.
    pub other_sets: BTreeMap<String, u64>,
    /// Lines that are no record.
    pub malformed: u64,
    /// The first of those.
    pub malformed_lines: Vec<Malformed>,
}

/// An answer that is not the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The file and the line.
    pub place: String,
    /// The record's.
    pub id: String,
    /// The module; `whole set` for the decision.
    pub module: String,
    /// As it is recorded.
    pub recorded: Answer,
    /// As it is now.
    pub now: Answer,
    /// The whole record.
    pub record: Box<Record>,
}

/// A module that records name and that is not here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// Its name.
    pub module: String,
    /// The digest of its component.
    pub digest: String,
    /// The digest of its settings.
    pub settings_digest: String,
    /// The module is here, with other settings.
    pub only_settings: bool,
}

/// A line that is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The file and the line.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

/// What stands for the module where the decision of all is compared.
const WHOLE_SET: &str = "whole set";

/// Replays the records of one file, which is called `name`, with `chain`. `progress` is called after each.
///
/// # Errors
///
/// The file can't be read.
pub fn replay(
    (host, chain): (&Host, &Chain),
    name: &str,
    from: impl BufRead,
    findings: &mut Findings,
    progress: &mut dyn FnMut(&Findings),
) -> io::Result<()> {
    let mut records = Records::new(from);
    while let Some((line, record)) = records.next_line()? {
        let place = format!("{name}:{line}");
        match record {
            Ok(record) => findings.record(host, chain, place, record),
            Err(message) => findings.malformed(place, message),
        }
        progress(findings);
    }
    Ok(())
}

impl Findings {
    /// Everything that was compared is the same, and every line could be read.
    pub fn is_good(&self) -> bool {
        self.different == 0 && self.malformed == 0
    }

    fn record(&mut self, host: &Host, chain: &Chain, place: String, record: Box<Record>) {
        self.records += 1;
        if record.modules.is_empty() || record.module == MODULE_CORE {
            self.by_host += 1;
            return;
        }
        let same_set = record.set_digest == chain.digest;
        if !same_set {
            *self.other_sets.entry(record.set_digest.clone()).or_default() += 1;
        }
        for said in &record.modules {
            self.answer(host, chain, &place, &record, said);
        }
        if same_set && record.modules.iter().all(|said| !said.pod_given) {
            let (decision, _) = chain.decide(host, &record.request);
            let now = match decision.verdict {
                Verdict::Allow => Answer::Allow,
                Verdict::Deny { reason, code } => Answer::Deny { code, reason },
            };
            self.compare((&place, &record), WHOLE_SET, &record.answer, now);
        }
    }

    fn answer(&mut self, host: &Host, chain: &Chain, place: &str, record: &Record, said: &Evaluation) {
        if said.pod_given {
            *self.with_pod.entry(said.name.clone()).or_default() += 1;
            return;
        }
        let same_component = |digest: &str| digest == said.digest;
        let member = chain.members.iter().find(|member| {
            same_component(member.module.digest()) && member.module.settings_digest() == said.settings_digest
        });
        let Some(member) = member else {
            let missing = Missing {
                module: said.name.clone(),
                digest: said.digest.clone(),
                settings_digest: said.settings_digest.clone(),
                only_settings: chain.members.iter().any(|member| same_component(member.module.digest())),
            };
            *self.missing.entry(missing).or_default() += 1;
            return;
        };
        let now = match member.module.ask(host, &record.request) {
            Ok(None) => Answer::Allow,
            Ok(Some(denial)) => Answer::Deny { code: denial.code, reason: denial.reason },
            Err(failure) => Answer::Failed { code: failure.code.to_owned(), reason: failure.message },
        };
        self.compare((place, record), &said.name, &said.answer, now);
    }

    fn compare(&mut self, (place, record): (&str, &Record), module: &str, recorded: &Answer, now: Answer) {
        self.compared += 1;
        if *recorded == now {
            return;
        }
        self.different += 1;
        if self.differences.len() < SHOWN_MAX {
            self.differences.push(Difference {
                place: place.to_owned(),
                id: record.id.clone(),
                module: module.to_owned(),
                recorded: recorded.clone(),
                now,
                record: Box::new(record.clone()),
            });
        }
    }

    fn malformed(&mut self, place: String, message: String) {
        self.malformed += 1;
        if self.malformed_lines.len() < SHOWN_MAX {
            self.malformed_lines.push(Malformed { place, message });
        }
    }
}

impl Difference {
    /// Only the words changed, or also the verdict or the code?
    pub fn is_only_words(&self) -> bool {
        let is_allow = |answer: &Answer| matches!(answer, Answer::Allow);
        asking::code(&self.recorded) == asking::code(&self.now) && is_allow(&self.recorded) == is_allow(&self.now)
    }
}
