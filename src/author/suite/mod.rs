//! Suites: what a module is to answer, as a file `cases.yaml` beside its sources says.
//!
//! [`Suite::read`] makes questions of cases and matrices; `run` asks them. The keys of the file are described in
//! `policies/README.md`.

pub mod files;
mod matrix;
pub mod place;
mod read;
pub mod run;
pub mod snapshot;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    author::{
        laws::Law,
        origin::Origin,
        question::{Question, listed},
        subject::{Subject, SubjectError},
    },
    policy::config::Mistake,
};

/// The suite of a policy folder.
pub const FILE: &str = "cases.yaml";
/// Of a long list of names so many are shown.
const NAMES_SHOWN_MAX: usize = 20;
/// A matrix grows with the product of three lists: more questions than this are a mistake.
pub const QUESTIONS_MAX: usize = 100_000;

/// A module and what it is to answer.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The file, as it was named.
    pub file: PathBuf,
    /// Its text, so that a line of it can be shown.
    pub text: Arc<str>,
    /// The module that is asked.
    pub subject: Subject,
    /// Cases, and the matrices unfolded, in the order of the text. Names are unique.
    pub questions: Vec<Question>,
    /// Settings that the module must refuse.
    pub refusals: Vec<Refusal>,
    /// Laws that the module is not meant to keep.
    pub laws_off: Vec<Law>,
}

/// Settings that `configure` must refuse.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// Unique in its suite.
    pub name: String,
    /// Its line.
    pub line: u64,
    /// The settings.
    pub settings: Arc<serde_json::Value>,
    /// What the module's message must contain.
    pub message: Option<String>,
}

/// Why there is no suite to run.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// A folder without a suite.
    #[error("{}: there is no {FILE}", .folder.display())]
    Missing {
        /// The folder, as it was named.
        folder: PathBuf,
    },
    /// The file can't be read.
    #[error("{}: {error}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file says what can't be.
    #[error("{}", listed(.file, .mistakes))]
    Mistakes {
        /// The file.
        file: PathBuf,
        /// Its text.
        text: Arc<str>,
        /// In the order of the text. There is at least one.
        mistakes: Vec<Mistake>,
    },
    /// There is no module to ask.
    #[error(transparent)]
    Subject(#[from] SubjectError),
}

impl SuiteError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            SuiteError::Missing { .. } => {
                Some(format!("name a policy folder with a {FILE}, or the suite's file itself"))
            }
            SuiteError::Subject(error) => error.hint(),
            SuiteError::Unreadable { .. } | SuiteError::Mistakes { .. } => None,
        }
    }
}

impl Suite {
    /// Reads the suite at `path`: a policy folder, or the file itself.
    ///
    /// # Errors
    ///
    /// There is none, all that is wrong with it, or its module isn't there.
    pub fn read(path: &Path) -> Result<Suite, SuiteError> {
        let file = file_of(path)?;
        let text = match fs::read_to_string(&file) {
            Ok(text) => Arc::<str>::from(text),
            Err(error) => return Err(SuiteError::Unreadable { file, error }),
        };
        let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match read::read(&text, folder) {
            Ok(read::Read { module, questions, refusals, laws_off }) => {
                let subject = match module {
                    None => Subject::open(folder)?,
                    Some(module) => Subject::open(&module)?,
                };
                Ok(Suite { file, text, subject, questions, refusals, laws_off })
            }
            Err(mistakes) => Err(SuiteError::Mistakes { file, text, mistakes }),
        }
    }
}

impl Suite {
    /// The names of what it asks, for whoever named another.
    pub fn names_listed(&self) -> String {
        let questions = self.questions.iter().map(|question| &question.name);
        let names: Vec<_> = questions.chain(self.refusals.iter().map(|refusal| &refusal.name)).collect();
        let shown: Vec<_> = names.iter().take(NAMES_SHOWN_MAX).map(|name| format!("{name:?}")).collect();
        let more = names.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more}", shown.join(", "))
    }

    /// Where the settings of what stands at this line are said.
    pub fn origin(&self, line: u64) -> Origin {
        let file = self.file.clone();
        match place::settings_of(&self.text, line) {
            Some(root) => Origin::File { file, root },
            None => Origin::Case { file, line },
        }
    }
}

/// The settings of the first case in the suite of `folder`, and its name. Nothing where there is no case, or no suite that
/// can be read: whoever runs it hears why.
pub fn first_settings(folder: &Path) -> Option<(String, Arc<serde_json::Value>)> {
    let text = fs::read_to_string(folder.join(FILE)).ok()?;
    let read = read::read(&text, folder).ok()?;
    read.questions.into_iter().next().map(|question| (question.name, question.settings))
}

fn file_of(path: &Path) -> Result<PathBuf, SuiteError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let file = if path == Path::new(".") { PathBuf::from(FILE) } else { path.join(FILE) };
    if file.exists() { Ok(file) } else { Err(SuiteError::Missing { folder: path.to_owned() }) }
}
