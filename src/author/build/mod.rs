//! From a policy folder to its component: which language it is in, whether its tools are there, what they make of it.
//!
//! [`build`] is the entry point. The component is made by the language's own tools, then stamped with the digest of its
//! sources and checked as the controller would. Printing is not here, nor is trying it on cases.

mod javascript;
mod language;
mod python;
mod rust;
pub mod sources;
mod stamp;
mod tools;

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

pub use language::Language;
use serde::Serialize;
use serde_json::json;

use crate::{
    author::{
        build::tools::Tool,
        subject::{self, SubjectError},
        suite,
    },
    policy::{
        host::Host,
        inspect,
        module::{self, LoadError, Prepared},
    },
};

/// The interface, written where tools want to read it as a file.
pub const WIT: &str = include_str!("../../../wit/policy.wit");

/// The mode of a component's file.
const READABLE: u32 = 0o644;

/// How to build.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where the component goes; without one beside its sources, named as their folder is.
    pub out: Option<PathBuf>,
    /// Run the commands that install what is missing, instead of naming them.
    pub install: bool,
}

/// What is being done, for whoever waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Missing tools are being installed.
    Installing(Language),
    /// The language's tools are at work.
    Building(Language),
    /// The component is compiled, configured and tried.
    Checking,
}

/// A component that was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Built {
    /// The module's name.
    pub name: String,
    /// What it was built from.
    pub language: Language,
    /// The component.
    pub file: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest, as hex.
    pub digest: String,
    /// The digest of its sources, as hex: it stands in the component.
    pub sources_digest: String,
    /// What it wants in its settings before it takes them, where `{}` is not enough.
    pub refuses_empty_settings: Option<String>,
    /// What it was tried with then: the settings of the first case of its suite.
    pub tried_with: Option<TriedWith>,
}

/// Settings that a module was tried with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TriedWith {
    /// The case that they are of.
    pub case: String,
    /// Why it refuses them, if it does.
    pub refused: Option<String>,
}

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The folder can't be built in.
    #[error(transparent)]
    Folder(#[from] SubjectError),
    /// The folder holds sources of no language that is known.
    #[error("{}: no sources of a policy module: neither Cargo.toml nor package.json nor policy.py is there", .folder.display())]
    NoSources {
        /// The folder.
        folder: PathBuf,
    },
    /// A tool is not there, or too old.
    #[error("{what}")]
    Missing {
        /// What is missing.
        what: String,
        /// The command that installs it, or the place where it is described.
        install: String,
        /// `--install` runs that command.
        by_build: bool,
    },
    /// A tool did not do its work.
    #[error("{tool} ended with {status}{}", output_of(.output))]
    Tool {
        /// Its name.
        tool: String,
        /// How it ended.
        status: String,
        /// What it said, unless it said it to the terminal itself.
        output: String,
    },
    /// A file or a program can't be used.
    #[error("{}: {error}", .path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What the compiler made can't become a component.
    #[error("{}: {reason}", .file.display())]
    NoComponent {
        /// What the compiler made.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// The component was made, and the controller would not take it. The file that was there before stays.
    #[error("{}: the component was built, but would be refused: {error}", .folder.display())]
    Refused {
        /// The sources.
        folder: PathBuf,
        /// Why.
        error: LoadError,
    },
    /// The host itself can't be set up.
    #[error("setting up the WebAssembly engine: {0:#}")]
    Host(anyhow::Error),
}

impl BuildError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            BuildError::Folder(error) => error.hint(),
            BuildError::NoSources { .. } => Some("begin one: landfall policy new my-module --lang rust".to_owned()),
            BuildError::Missing { install, by_build: false, .. } => Some(format!("install it: {install}")),
            BuildError::Missing { install, by_build: true, .. } => {
                Some(format!("install it: {install}\n      or let the build do so, with --install"))
            }
            BuildError::Refused { error, .. } => error.hint().map(str::to_owned),
            BuildError::Tool { .. }
            | BuildError::Unusable { .. }
            | BuildError::NoComponent { .. }
            | BuildError::Host(_) => None,
        }
    }
}

/// Builds the policy folder and writes its component. `tell` hears of each stage as it begins.
///
/// # Errors
///
/// Why there is no component.
pub fn build(folder: &Path, options: &Options, mut tell: impl FnMut(Stage)) -> Result<Built, BuildError> {
    let beside = subject::component_of(folder)?;
    let full = fs::canonicalize(folder).map_err(|error| unusable(folder, error))?;
    let name = beside.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let language = Language::of(&full).ok_or_else(|| BuildError::NoSources { folder: folder.to_owned() })?;
    let sources_digest = sources::digest(&full, language).map_err(|error| unusable(folder, error))?;
    let tool = match (tool(&full, language), options.install) {
        (Err(BuildError::Missing { by_build: true, .. }), true) => {
            tell(Stage::Installing(language));
            tools::install(&full, language)?;
            tool(&full, language)
        }
        (found, true | false) => found,
    }?;
    tell(Stage::Building(language));
    let made = match language {
        Language::Rust => rust::component(&tool, &full),
        Language::JavaScript => javascript::component(&tool, &full),
        Language::Python => python::component(&tool, &full),
    }?;
    let component = stamp::stamp(made, &sources_digest);
    tell(Stage::Checking);
    let refused = |error| BuildError::Refused { folder: folder.to_owned(), error };
    let Checked { refuses_empty_settings, tried_with } = check(&name, &component, folder)?.map_err(refused)?;
    let file = options.out.clone().unwrap_or(beside);
    write(&file, &component).map_err(|error| unusable(&file, error))?;
    Ok(Built {
        name,
        language,
        size: component.len() as u64,
        digest: module::digest(&component),
        sources_digest,
        refuses_empty_settings,
        tried_with,
        file,
    })
}

/// Whether all is there that building in `folder` takes.
///
/// # Errors
///
/// What is missing, or why that can't be found out.
pub fn toolchain(folder: &Path, language: Language) -> Result<(), BuildError> {
    tool(folder, language).map(drop)
}

/// The component of the crate in `folder`, built so that each of its functions and lines can be found in it.
///
/// # Errors
///
/// Why there is none.
pub fn for_cover(folder: &Path) -> Result<Vec<u8>, BuildError> {
    let full = fs::canonicalize(folder).map_err(|error| unusable(folder, error))?;
    rust::component_for_cover(&rust::tool()?, &full)
}

/// What a script begins with: the file, or for Python the module.
///
/// # Errors
///
/// What names it can't be read, or there is nothing that would run it.
pub fn entry(folder: &Path, language: Language) -> Result<String, BuildError> {
    match language {
        Language::Rust => Ok("src/lib.rs".to_owned()),
        Language::JavaScript => {
            javascript::node()?;
            javascript::entry(folder)
        }
        Language::Python => {
            python::interpreter_found(&interpreter(folder))?;
            Ok(python::MODULE.to_owned())
        }
    }
}

/// The Python that runs the sources in `folder`: that of the virtual environment in it, of the active one, or in `PATH`.
pub fn interpreter(folder: &Path) -> PathBuf {
    python::interpreter(folder)
}

fn tool(folder: &Path, language: Language) -> Result<Tool, BuildError> {
    match language {
        Language::Rust => rust::tool(),
        Language::JavaScript => javascript::tool(folder),
        Language::Python => python::tool(folder),
    }
}

/// What came of loading a component.
#[derive(Default)]
struct Checked {
    refuses_empty_settings: Option<String>,
    tried_with: Option<TriedWith>,
}

/// Loads the component as the controller would. A module may want settings: that it refuses none at all is told, and is
/// no error; then it is tried with those of the suite in `folder`.
fn check(name: &str, component: &[u8], folder: &Path) -> Result<Result<Checked, LoadError>, BuildError> {
    if let Err(unfit) = inspect::inspect(component) {
        return Ok(Err(unfit.into()));
    }
    let host = Host::new().map_err(BuildError::Host)?;
    let prepared = match Prepared::new(&host, component.into()) {
        Ok(prepared) => prepared,
        Err(error) => return Ok(Err(error)),
    };
    let refused = |settings: &serde_json::Value| match prepared.configure(&host, name, settings) {
        Ok(_) => Ok(None),
        Err(LoadError::Settings(reason)) => Ok(Some(reason)),
        Err(error) => Err(prepared.load_error_with_last_words(&host, settings, error)),
    };
    let refuses_empty_settings = match refused(&json!({})) {
        Ok(Some(reason)) => Some(reason),
        Ok(None) => return Ok(Ok(Checked::default())),
        Err(error) => return Ok(Err(error)),
    };
    let tried = match suite::first_settings(folder) {
        None => Ok(None),
        Some((case, settings)) => refused(&settings).map(|refused| Some(TriedWith { case, refused })),
    };
    Ok(tried.map(|tried_with| Checked { refuses_empty_settings, tried_with }))
}

/// Writes the whole file or nothing: a controller may be looking at the folder.
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new().prefix(".build-").tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    // A temporary file is for its owner only; a component is for whoever may read its folder.
    temporary.as_file().set_permissions(fs::Permissions::from_mode(READABLE))?;
    temporary.persist(file).map_err(|error| error.error)?;
    Ok(())
}

fn unusable(path: &Path, error: io::Error) -> BuildError {
    BuildError::Unusable { path: path.to_owned(), error }
}

fn output_of(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!(":\n{output}") }
}
