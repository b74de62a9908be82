//! What decisions of a module take: time, which depends on the machine, and instructions and memory, which don't.
//!
//! Instructions ("fuel") and memory are the same in every run of the same program, so a comparison with an earlier run can
//! fail for a single one of them. Times can't be compared so: they are shown, and only gate where that is asked for.

mod compare;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

pub use compare::{Comparison, Gate, Row, Unit, compare};
use serde::{Deserialize, Serialize};

use crate::policy::{
    host::Host,
    limits::Failure,
    module::{LoadError, Module, Prepared},
    request::Request,
};

/// Different settings among the questions, each of which is a module of its own to load.
pub const SETTINGS_MAX: usize = 16;
/// Questions that are asked; a matrix can have many more.
pub const QUESTIONS_MAX: usize = 1_000;
/// Samples of time that are kept.
const SAMPLES_MAX: usize = 1_000_000;
/// Rounds of all questions that come before the first sample.
const WARM_UP_ROUNDS: usize = 3;
/// Samples there are at least, however short the time is: a p99 of fewer says nothing.
const SAMPLES_MIN: usize = 200;
/// Decisions between two looks at how long it has taken.
const LOOK_EVERY: usize = 64;

/// One question and what the module is configured with.
#[derive(Clone, Debug)]
pub struct Task<'a> {
    /// Its name.
    pub name: &'a str,
    /// What the module is configured with.
    pub settings: Arc<serde_json::Value>,
    /// What is asked.
    pub request: &'a Request,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// The module's name.
    pub module: String,
    /// Its digest, as hex.
    pub digest: String,
    /// The program that measured: another one compiles differently, and counts differently.
    pub landfall: String,
    /// The component's size.
    pub size_bytes: u64,
    /// What every run of the same program measures alike.
    pub exact: Exact,
    /// What depends on the machine.
    pub times: Times,
    /// So many questions were left out, beyond [`QUESTIONS_MAX`] or [`SETTINGS_MAX`].
    pub left_out: usize,
    /// Why the module is configured for each decision, if it is.
    pub no_snapshot_because: Option<String>,
}

/// Instructions and memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exact {
    /// Instructions of `configure`, the most of all settings.
    pub configure_fuel: u64,
    /// Memory after `configure`, the most of all settings.
    pub configure_memory_bytes: u64,
    /// Memory after a decision, the most of all.
    pub decision_memory_bytes: u64,
    /// Instructions of each decision, by the name of its question.
    pub decision_fuel: BTreeMap<String, u64>,
}

/// Times, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Times {
    /// Compiling the component.
    pub compile_nanoseconds: u64,
    /// Configuring it, with the snapshot and the trial request.
    pub configure_nanoseconds: u64,
    /// The median of fresh decisions.
    pub p50_nanoseconds: u64,
    /// What 99 of 100 of them stay below.
    pub p99_nanoseconds: u64,
    /// How many decisions that is of.
    pub samples: usize,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Modules are being compiled and configured.
    Loading,
    /// Instructions are counted.
    Counting,
    /// Decisions are timed, for so long until now.
    Timing(Duration),
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Nothing is asked.
    #[error("there is no question to ask")]
    Nothing,
    /// The engine can't be set up.
    #[error("setting up the WebAssembly engine: {0:#}")]
    Host(anyhow::Error),
    /// The module is refused.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A decision has no result, whose cost would be the time until the limit.
    #[error("{question:?}: {failure}")]
    Decision {
        /// The question.
        question: String,
        /// What happened.
        failure: Failure,
    },
}

/// Measures the module of `bytes`: first instructions and memory of each task once, then times for `length` in all.
///
/// # Errors
///
/// It can't be loaded, or doesn't answer.
pub fn bench(
    (name, bytes): (&str, &Arc<[u8]>),
    tasks: &[Task<'_>],
    length: Duration,
    progress: &mut dyn FnMut(Stage),
) -> Result<Figures, BenchError> {
    let all = tasks.len();
    let (tasks, settings) = chosen(tasks);
    if tasks.is_empty() {
        return Err(BenchError::Nothing);
    }
    progress(Stage::Loading);
    let exact = exact((name, bytes), &tasks, &settings, progress)?;
    progress(Stage::Loading);
    let host = Host::new().map_err(BenchError::Host)?;
    let start = Instant::now();
    let prepared = Prepared::new(&host, Arc::clone(bytes))?;
    let compile = start.elapsed();
    let start = Instant::now();
    let mut modules = vec![prepared.configure(&host, name, &settings[0])?];
    let configure = start.elapsed();
    for settings in settings.iter().skip(1) {
        modules.push(prepared.configure(&host, name, settings)?);
    }
    let samples = samples(&host, &modules, &tasks, length, progress)?;
    Ok(Figures {
        module: name.to_owned(),
        digest: prepared.digest().to_owned(),
        landfall: env!("CARGO_PKG_VERSION").to_owned(),
        size_bytes: bytes.len() as u64,
        exact,
        times: Times {
            compile_nanoseconds: nanoseconds(compile),
            configure_nanoseconds: nanoseconds(configure),
            p50_nanoseconds: percentile(&samples, 50),
            p99_nanoseconds: percentile(&samples, 99),
            samples: samples.len(),
        },
        left_out: all - tasks.len(),
        no_snapshot_because: modules[0].no_snapshot_because().map(str::to_owned),
    })
}

/// A task that is measured, and the place of its settings.
type Chosen<'a> = (Task<'a>, usize);

/// The tasks that are measured, and their different settings.
fn chosen<'a>(tasks: &[Task<'a>]) -> (Vec<Chosen<'a>>, Vec<Arc<serde_json::Value>>) {
    let mut settings: Vec<Arc<serde_json::Value>> = Vec::new();
    let mut chosen = Vec::new();
    for task in tasks {
        if chosen.len() == QUESTIONS_MAX {
            break;
        }
        let known = settings.iter().position(|known| *known == task.settings);
        let place = match known {
            Some(place) => place,
            None if settings.len() == SETTINGS_MAX => continue,
            None => {
                settings.push(Arc::clone(&task.settings));
                settings.len() - 1
            }
        };
        chosen.push((task.clone(), place));
    }
    (chosen, settings)
}

fn exact(
    (name, bytes): (&str, &Arc<[u8]>),
    tasks: &[Chosen<'_>],
    settings: &[Arc<serde_json::Value>],
    progress: &mut dyn FnMut(Stage),
) -> Result<Exact, BenchError> {
    let host = Host::metering().map_err(BenchError::Host)?;
    let prepared = Prepared::new(&host, Arc::clone(bytes))?;
    let mut exact = Exact {
        configure_fuel: 0,
        configure_memory_bytes: 0,
        decision_memory_bytes: 0,
        decision_fuel: BTreeMap::new(),
    };
    let mut modules = Vec::with_capacity(settings.len());
    for settings in settings {
        let cost = prepared.measure_configure(&host, settings)?;
        exact.configure_fuel = exact.configure_fuel.max(cost.fuel);
        exact.configure_memory_bytes = exact.configure_memory_bytes.max(cost.memory_bytes);
        modules.push(prepared.configure(&host, name, settings)?);
    }
    progress(Stage::Counting);
    for (task, place) in tasks {
        let failed = |failure| BenchError::Decision { question: task.name.to_owned(), failure };
        let (_, cost) = modules[*place].measure(&host, task.request).map_err(failed)?;
        exact.decision_fuel.insert(task.name.to_owned(), cost.fuel);
        exact.decision_memory_bytes = exact.decision_memory_bytes.max(cost.memory_bytes);
    }
    Ok(exact)
}

/// The times of decisions, one question after the other, in order of length.
fn samples(
    host: &Host,
    modules: &[Module],
    tasks: &[Chosen<'_>],
    length: Duration,
    progress: &mut dyn FnMut(Stage),
) -> Result<Vec<u64>, BenchError> {
    let ask = |(task, place): &Chosen<'_>| {
        let start = Instant::now();
        let answer = modules[*place].ask(host, task.request);
        let took = start.elapsed();
        match answer {
            Ok(_) => Ok(nanoseconds(took)),
            Err(failure) => Err(BenchError::Decision { question: task.name.to_owned(), failure }),
        }
    };
    let begin = Instant::now();
    for _ in 0..WARM_UP_ROUNDS {
        for task in tasks {
            ask(task)?;
        }
        // A thousand questions to an interpreter are warm after the first round.
        if begin.elapsed() > length {
            break;
        }
    }
    let begin = Instant::now();
    let mut samples = Vec::new();
    for task in tasks.iter().cycle() {
        if samples.len() >= SAMPLES_MIN && samples.len() % LOOK_EVERY == 0 {
            let elapsed = begin.elapsed();
            progress(Stage::Timing(elapsed));
            if elapsed >= length || samples.len() >= SAMPLES_MAX {
                break;
            }
        }
        samples.push(ask(task)?);
    }
    samples.sort_unstable();
    Ok(samples)
}

impl Exact {
    /// The mean of all decisions.
    pub fn mean_fuel(&self) -> u64 {
        let count = self.decision_fuel.len().max(1) as u64;
        self.decision_fuel.values().sum::<u64>() / count
    }

    /// The decision with the most instructions.
    pub fn most_fuel(&self) -> Option<(&str, u64)> {
        self.decision_fuel.iter().max_by_key(|(_, fuel)| **fuel).map(|(name, fuel)| (name.as_str(), *fuel))
    }
}

/// Of sorted samples, the one that so many percent don't exceed.
fn percentile(samples: &[u64], percent: usize) -> u64 {
    let place = (samples.len() * percent).div_ceil(100).saturating_sub(1);
    samples.get(place).copied().unwrap_or_default()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_samples() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!((percentile(&hundred, 50), percentile(&hundred, 99)), (50, 99));
        assert_eq!((percentile(&[7], 50), percentile(&[7], 99), percentile(&[], 99)), (7, 7, 0));
    }
}
