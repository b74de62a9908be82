//! One module, looked at on its own: what `landfall policy check` shows. Printing is not here.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::policy::{
    decision::MODULE_BUILTIN,
    host::Host,
    limits::MODULE_BYTES,
    module::{LoadError, Module, Prepared},
    store, yaml,
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
}

/// Why a module does not check.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A file can't be read.
    #[error("{}: {error}", .file.display())]
    Unreadable {
        /// Which.
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
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CheckError::Refused { error, .. } => error.hint(),
            CheckError::Unreadable { .. } | CheckError::Settings { .. } | CheckError::Host(_) => None,
        }
    }
}

/// Loads, configures and tries the module in `file`, with the settings in the file `settings` (YAML or JSON; `{}`
/// without one). The file name `builtin`, if there is no such file, means the built-in module.
///
/// # Errors
///
/// Why it would be refused.
pub fn check(file: &Path, settings: Option<&Path>) -> Result<Report, CheckError> {
    let builtin = file == Path::new(MODULE_BUILTIN) && !file.exists();
    let bytes: Arc<[u8]> = if builtin { store::BUILTIN.into() } else { read_module(file)? };
    let settings = match settings {
        Some(settings) => read_settings(settings)?,
        None => serde_json::json!({}),
    };
    let name = file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let refused = |error| CheckError::Refused { file: file.to_owned(), error };
    let size = bytes.len() as u64;
    let host = Host::new().map_err(CheckError::Host)?;
    let start = Instant::now();
    let prepared = Prepared::new(&host, bytes).map_err(refused)?;
    let compile = start.elapsed();
    let start = Instant::now();
    let module = prepared.configure(&host, &name, &settings).map_err(refused)?;
    let configure = start.elapsed();
    let decision = time_decision(&host, &module).map_err(refused)?;
    Ok(Report {
        name,
        size,
        digest: prepared.digest().to_owned(),
        imports: Vec::new(),
        needs: if module.needs_pod() { vec!["pod".to_owned()] } else { Vec::new() },
        no_snapshot_because: module.no_snapshot_because().map(str::to_owned),
        compile_nanoseconds: nanoseconds(compile),
        configure_nanoseconds: nanoseconds(configure),
        decision_nanoseconds: nanoseconds(decision),
    })
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

fn read_module(file: &Path) -> Result<Arc<[u8]>, CheckError> {
    let unreadable = |error| CheckError::Unreadable { file: file.to_owned(), error };
    let bytes = fs::metadata(file).map_err(unreadable)?.len();
    if bytes > MODULE_BYTES {
        return Err(CheckError::Refused { file: file.to_owned(), error: LoadError::TooLarge { bytes } });
    }
    Ok(fs::read(file).map_err(unreadable)?.into())
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
