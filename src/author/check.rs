//! One module, looked at on its own: what `landfall policy check` shows. Printing is not here.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    author::{
        origin::{Origin, SettingsError, read_settings},
        question::Draft,
        stale::{self, Sources},
        subject::{Subject, SubjectError},
    },
    policy::{
        host::Host,
        limits::{Limits, MODULE_BYTES},
        module::{LoadError, Module, Prepared},
    },
};

/// A decision's time is the median of so many.
const DECISIONS: usize = 101;

/// What was found out about a module that loads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Its name: the file's without `.wasm`.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest, as hex.
    pub digest: String,
    /// How it stands to the sources beside it; nothing where none were named.
    pub sources: Option<Sources>,
    /// What it imports. A module that loads imports nothing.
    pub imports: Vec<String>,
    /// What it wants with each request: `pod` or nothing.
    pub needs: Vec<String>,
    /// Why it is configured again for each decision and does not start from a snapshot, which is quicker.
    pub no_snapshot_because: Option<String>,
    /// How long compiling took.
    pub compile_nanoseconds: u64,
    /// How long configuring, the snapshot and the trial request took.
    pub configure_nanoseconds: u64,
    /// How long one decision takes: the median.
    pub decision_nanoseconds: u64,
    /// How much of each limit it takes.
    pub limits: Vec<Share>,
}

/// How much of a limit a module takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// What is limited.
    pub name: &'static str,
    /// In what it is counted.
    pub unit: Unit,
    /// What it takes.
    pub used: u64,
    /// What it may take, where nothing else is configured.
    pub limit: u64,
}

/// In what something is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// Time.
    Nanoseconds,
    /// Size.
    Bytes,
}

/// Why a module does not check.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is no module to look at.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// The sources can't be read.
    #[error("the sources in {}: {error}", .folder.display())]
    Sources {
        /// Their folder.
        folder: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The settings can't be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The module is refused.
    #[error("{said}")]
    Refused {
        /// Which and why, with the line of its settings where they are the reason.
        said: String,
        /// Why.
        error: LoadError,
    },
    /// The host itself can't be set up.
    #[error("setting up the WebAssembly engine: {0:#}")]
    Host(anyhow::Error),
}

impl CheckError {
    /// What to change, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            CheckError::Subject(error) => error.hint(),
            CheckError::Refused { error, .. } => error.hint().map(str::to_owned),
            CheckError::Sources { .. } | CheckError::Settings(_) | CheckError::Host(_) => None,
        }
    }
}

/// Loads, configures and tries a module: the file, folder or word that [`Subject::open`] takes, with the settings in the
/// file `settings` (YAML or JSON; `{}` without one).
///
/// # Errors
///
/// Why it would be refused.
pub fn check(path: &Path, settings: Option<&Path>) -> Result<Report, CheckError> {
    let subject = Subject::open(path)?;
    let (settings, origin) = match settings {
        Some(settings) => read_settings(settings)?,
        None => (serde_json::json!({}), Origin::None),
    };
    let refused = |error: LoadError| CheckError::Refused { said: origin.refusal(&subject.shown(), &error), error };
    let size = subject.bytes.len() as u64;
    let sources =
        stale::sources(&subject).map_err(|(folder, error)| CheckError::Sources { folder, error })?.map(|known| known.1);
    let host = Host::new().map_err(CheckError::Host)?;
    let start = Instant::now();
    let prepared = Prepared::new(&host, Arc::clone(&subject.bytes)).map_err(refused)?;
    let compile = start.elapsed();
    let start = Instant::now();
    let told = |error| refused(prepared.load_error_with_last_words(&host, &settings, error));
    let module = prepared.configure(&host, &subject.name, &settings).map_err(told)?;
    let configure = start.elapsed();
    let decision = time_decision(&host, &module).map_err(refused)?;
    Ok(Report {
        size,
        digest: prepared.digest().to_owned(),
        sources,
        imports: Vec::new(),
        needs: if module.needs_pod() { vec!["pod".to_owned()] } else { Vec::new() },
        no_snapshot_because: module.no_snapshot_because().map(str::to_owned),
        compile_nanoseconds: nanoseconds(compile),
        configure_nanoseconds: nanoseconds(configure),
        decision_nanoseconds: nanoseconds(decision),
        limits: shares(&host, &prepared, &module, &settings, decision).map_err(refused)?,
        name: subject.name.clone(),
    })
}

/// What the module takes of each limit. `configure` is timed without the snapshot, which is the host's doing.
fn shares(
    host: &Host,
    prepared: &Prepared,
    module: &Module,
    settings: &serde_json::Value,
    decision: Duration,
) -> Result<Vec<Share>, LoadError> {
    let size = prepared.size();
    let limits = Limits::default();
    let start = Instant::now();
    let configured = prepared.measure_configure(host, settings)?;
    let configure = start.elapsed();
    let question =
        Draft { namespace: "a".parse().ok(), target: crate::author::question::target("a/a").ok(), ..Draft::default() };
    let memory = match question.finish().map(|request| module.measure(host, &request)) {
        Ok(Ok((_, cost))) => cost.memory_bytes.max(configured.memory_bytes),
        Ok(Err(failure)) => return Err(LoadError::Trial(failure)),
        Err(_) => configured.memory_bytes,
    };
    let bytes = |name, used, limit| Share { name, unit: Unit::Bytes, used, limit };
    let time =
        |name, used, limit| Share { name, unit: Unit::Nanoseconds, used: nanoseconds(used), limit: nanoseconds(limit) };
    Ok(vec![
        time("decision", decision, limits.decision_time),
        time("configure", configure, limits.configure_time),
        bytes("memory", memory, limits.memory_bytes as u64),
        bytes("file", size, MODULE_BYTES),
    ])
}

fn time_decision(host: &Host, module: &Module) -> Result<Duration, LoadError> {
    let mut times = Vec::with_capacity(DECISIONS);
    for _ in 0..DECISIONS {
        let start = Instant::now();
        module.try_once(host)?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(DECISIONS / 2).copied().unwrap_or_default())
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
