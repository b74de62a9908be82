//! Many trials of the laws, from one seed.
//!
//! Each run has chance of its own, made from the seed, its number and the law. So any one run can be had again alone, and
//! leaving a law out changes nothing for the others.

use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::author::{
    asking::Asker,
    generate::Generator,
    laws::{Breach, Law, Trial, limits, shrink},
};
use crate::policy::module::LoadError;

/// So many runs share their settings.
const RUNS_EACH: u64 = 4;
/// So often settings are generated until the module takes some.
const SETTINGS_TRIES: u64 = 8;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The laws to try.
    pub laws: Vec<Law>,
    /// What all chance comes from.
    pub seed: u64,
    /// The number of the first run.
    pub first: u64,
    /// How many runs.
    pub runs: u64,
    /// When to stop before that.
    pub time: Option<Duration>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// How many runs there were.
    pub runs: u64,
    /// How many answers were given.
    pub decisions: u64,
    /// Settings that the module took.
    pub settings_taken: u64,
    /// Settings that the module refused.
    pub settings_refused: u64,
    /// Each law that was tried, and how many trials of it there were.
    pub trials: Vec<(Law, u64)>,
    /// The laws that the module breaks.
    pub broken: Vec<Broken>,
    /// How long it took.
    pub took: Duration,
}

/// A law that is broken.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    /// Which.
    pub law: Law,
    /// The number of the run that it was found in.
    pub run: u64,
    /// The smallest trial.
    pub trial: Trial,
    /// What happens in it.
    pub breach: Breach,
    /// How many trials it took to find that.
    pub shrinking: usize,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Runs done.
    pub runs: u64,
    /// Runs to do.
    pub of: u64,
    /// Answers so far.
    pub decisions: u64,
}

/// Tries the laws until all runs are done, the time is up, or each is broken.
pub fn run(
    asker: &mut Asker<'_>,
    generator: &mut Generator,
    plan: &Plan,
    progress: &mut dyn FnMut(Progress),
) -> Findings {
    let start = Instant::now();
    let mut findings = Findings {
        runs: 0,
        decisions: 0,
        settings_taken: 0,
        settings_refused: 0,
        trials: plan.laws.iter().map(|law| (*law, 0)).collect(),
        broken: Vec::new(),
        took: Duration::ZERO,
    };
    let mut settings = None;
    for run in plan.first..plan.first.saturating_add(plan.runs) {
        let out_of_time = plan.time.is_some_and(|time| start.elapsed() >= time);
        if out_of_time || findings.broken.len() == plan.laws.len() {
            break;
        }
        if settings.is_none() || run % RUNS_EACH == 0 {
            settings = Some(settings_of(asker, generator, plan, run, &mut findings));
        }
        if let Some(Some(settings)) = &settings {
            try_laws(asker, generator, plan, (run, settings), &mut findings);
        }
        findings.runs += 1;
        progress(Progress { runs: findings.runs, of: plan.runs, decisions: asker.decisions() });
    }
    findings.decisions = asker.decisions();
    findings.took = start.elapsed();
    findings
}

/// The settings of a run, if the module takes any of those that are tried.
fn settings_of(
    asker: &mut Asker<'_>,
    generator: &mut Generator,
    plan: &Plan,
    run: u64,
    findings: &mut Findings,
) -> Option<Json> {
    for attempt in 0..SETTINGS_TRIES {
        generator.dice.reseed([plan.seed, run / RUNS_EACH, attempt, u64::MAX]);
        let settings = generator.settings();
        match asker.start(&settings) {
            Ok(_) => {
                findings.settings_taken += 1;
                return Some(settings);
            }
            Err(LoadError::Configure(_)) => {
                let trial = limits::trial_of_settings(generator, &settings);
                note(asker, Law::Limits, trial, run, plan, findings);
            }
            Err(_) => {}
        }
        findings.settings_refused += 1;
    }
    None
}

fn try_laws(
    asker: &mut Asker<'_>,
    generator: &mut Generator,
    plan: &Plan,
    (run, settings): (u64, &Json),
    findings: &mut Findings,
) {
    generator.dice.reseed([plan.seed, run, 0, 0]);
    let request = generator.request();
    for (place, law) in (1..).zip(Law::ALL) {
        generator.dice.reseed([plan.seed, run, place, 0]);
        if let Some(trial) = law.trial(generator, settings, &request) {
            note(asker, law, trial, run, plan, findings);
        }
    }
}

/// Tries a law that is not broken yet, and if it is now, finds the smallest trial.
fn note(asker: &mut Asker<'_>, law: Law, trial: Trial, run: u64, plan: &Plan, findings: &mut Findings) {
    if !plan.laws.contains(&law) || findings.broken.iter().any(|broken| broken.law == law) {
        return;
    }
    if let Some((_, trials)) = findings.trials.iter_mut().find(|(other, _)| *other == law) {
        *trials += 1;
    }
    if let Some(breach) = law.check(asker, &trial) {
        let (trial, breach, shrinking) = shrink::shrink(law, asker, trial, breach);
        findings.broken.push(Broken { law, run, trial, breach, shrinking });
    }
}
