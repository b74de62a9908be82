//! One module, looked at on its own: what `landfall policy check` shows. Printing is not here.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    author::{
        build::{Language, sources},
        question::Draft,
        subject::{Subject, SubjectError},
    },
    policy::{
        host::Host,
        limits::{Limits, MODULE_BYTES},
        module::{LoadError, Module, Prepared},
        yaml,
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

/// How a component stands to the sources in its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Sources {
    /// It was built from them.
    AsBuilt,
    /// They are not what it was built from.
    Changed,
    /// `landfall policy build` did not make it, so that nobody knows.
    Unknown,
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
    #[error("{}: {error}", .file.display())]
    Unreadable {
        /// Their file.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The settings are neither YAML nor JSON.
    #[error("{}{}: {message}", .file.display(), .line.map(|line| format!(":{line}")).unwrap_or_default())]
    Settings {
        /// The file.
        file: PathBuf,
        /// The line, where it is known.
        line: Option<u64>,
        /// What is wrong.
        message: String,
    },
    /// The module is refused.
    #[error("{}: {error}", .file.display())]
    Refused {
        /// The file.
        file: PathBuf,
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
            CheckError::Sources { .. }
            | CheckError::Unreadable { .. }
            | CheckError::Settings { .. }
            | CheckError::Host(_) => None,
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
    let settings = match settings {
        Some(settings) => read_settings(settings)?,
        None => serde_json::json!({}),
    };
    let file = subject.file.clone().unwrap_or_else(|| PathBuf::from(&subject.name));
    let refused = |error| CheckError::Refused { file: file.clone(), error };
    let size = subject.bytes.len() as u64;
    let sources = sources_of(&subject)?;
    let host = Host::new().map_err(CheckError::Host)?;
    let start = Instant::now();
    let prepared = Prepared::new(&host, Arc::clone(&subject.bytes)).map_err(refused)?;
    let compile = start.elapsed();
    let start = Instant::now();
    let module = prepared.configure(&host, &subject.name, &settings).map_err(refused)?;
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
        name: subject.name,
    })
}

/// A folder in which there are no sources has a component from elsewhere: there is nothing to compare.
fn sources_of(subject: &Subject) -> Result<Option<Sources>, CheckError> {
    let Some((folder, language)) =
        subject.folder.as_ref().and_then(|folder| Language::of(folder).map(|language| (folder, language)))
    else {
        return Ok(None);
    };
    let now =
        sources::digest(folder, language).map_err(|error| CheckError::Sources { folder: folder.clone(), error })?;
    Ok(Some(match sources::of_component(&subject.bytes) {
        None => Sources::Unknown,
        Some(built) if built == now => Sources::AsBuilt,
        Some(_) => Sources::Changed,
    }))
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

fn read_settings(file: &Path) -> Result<serde_json::Value, CheckError> {
    let text = fs::read_to_string(file).map_err(|error| CheckError::Unreadable { file: file.to_owned(), error })?;
    match yaml::parse(&text) {
        Ok(node) => Ok(node.to_json()),
        Err(yaml::Malformed { line, message }) => Err(CheckError::Settings { file: file.to_owned(), line, message }),
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
