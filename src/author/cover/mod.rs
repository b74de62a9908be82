//! How much of a module its suite looks at: which of its code runs, and which of its settings decide anything.
//!
//! [`code`] works for any compiled guest: the module is rewritten so that it leaves marks (`component`, `module`,
//! `function`), answers all questions, and the marks are read and added up (`tally`). Of an interpreter that says nothing
//! about the policy that it interprets, so scripts are run by another one (`script`).
//! [`rules`](crate::author::cover::rules) says the same of every module. What is shown of it is `cli`'s.

mod component;
mod function;
mod module;
mod names;
pub mod rules;
mod script;
mod tally;

use std::sync::Arc;

use serde::Serialize;

pub use crate::author::cover::names::Place;
use crate::{
    author::{
        build::{self, BuildError, Language},
        cover::{
            module::Map,
            names::{Lines, Texts},
            tally::{Look, Tally},
        },
        suite::Suite,
    },
    policy::{
        host::Host,
        limits::Limits,
        marked::{Marked, Run},
        module::LoadError,
    },
};

/// More functions than any policy has that is compiled: the module holds an interpreter.
const FUNCTIONS_MAX: usize = 1_200;
/// What is looked at of a crate.
const CRATE: &str = "the crate's own code, built anew with names and lines and without optimisation; not the code of \
                     libraries, nor what macros write";
/// Marks slow code down: a decision is given so many times what it may take otherwise. A decision that is stopped is not
/// covered, and a virtual machine that has to wait for its processor counts the wait as processor time.
const DECISION_ALLOWANCE: u32 = 100;
/// The same of `configure`, which has more time as it is.
const CONFIGURE_ALLOWANCE: u32 = 10;

/// What of a module's code ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Code {
    /// What was looked at, and how.
    pub how: String,
    /// Why nothing was measured, if so. Then all figures are of nothing.
    pub unmeasured: Option<Unmeasured>,
    /// The build left names of functions in.
    pub named: bool,
    /// The build left lines of sources in.
    pub lines: bool,
    /// Lines of code, where they are counted: of scripts.
    pub source_lines: Share,
    /// Functions that count: the policy's own, or all of them.
    pub functions: Share,
    /// Arms of their branches; of a script, the blocks that its runtime tells apart.
    pub branches: Share,
    /// So many functions of libraries don't count.
    pub library_functions: usize,
    /// So many arms don't count because they only lead to a trap, as the check of an index does.
    pub trapping_arms: usize,
    /// So many questions were answered.
    pub answered: usize,
    /// The questions and the settings that ended in a trap or exceeded a limit; of a script, those that were not answered as
    /// the suite says. What ran until then counts.
    pub failed: Vec<String>,
    /// Lines of a script that never ran, in the order of the text.
    pub missed_lines: Vec<MissedLines>,
    /// Functions of which not all ran, in the order of the code.
    pub missed: Vec<MissedFunction>,
}

/// Why the code was not measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unmeasured {
    /// Why.
    pub reason: String,
    /// What to do about it.
    pub hint: String,
}

/// Lines of a source next to each other that never ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissedLines {
    /// The file, relative to the policy folder.
    pub file: String,
    /// The first.
    pub from: u32,
    /// The last.
    pub to: u32,
    /// The line ran, but not all that is in it.
    pub partly: bool,
}

/// A part of a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// The part.
    pub hit: usize,
    /// The whole.
    pub total: usize,
}

/// A function of which not all ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MissedFunction {
    /// Its name.
    pub name: String,
    /// Its first line, where known.
    pub place: Option<Place>,
    /// It ran at all.
    pub ran: bool,
    /// The arms of its branches.
    pub branches: Share,
    /// The branches of which not every arm was taken.
    pub missed: Vec<MissedBranch>,
}

/// A branch of which not every arm was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MissedBranch {
    /// Its line, where known.
    pub place: Option<Place>,
    /// What never happened, such as `never true`.
    pub missed: String,
}

/// Why nothing can be measured.
#[derive(Debug, thiserror::Error)]
pub enum CoverError {
    /// The component can't be rewritten.
    #[error("the component can't be rewritten: {0}")]
    Malformed(#[from] wasmparser::BinaryReaderError),
    /// The module can't be built so that its code can be told from that of libraries.
    #[error(transparent)]
    Build(Box<BuildError>),
    /// What runs the sources doesn't.
    #[error("{0}")]
    Runner(String),
    /// The rewritten one can't be run.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Runs the whole suite and looks at what of the module's code ran. Where the suite's module is a policy folder, the sources
/// in it are looked at: a crate is built anew for that, with its lines and names and without optimisation; a script is run by
/// the runtime of its language. Otherwise the component is, as far as the build left names in it. With `all`, the component
/// is looked at as it is, and the functions of libraries and interpreters count. `progress` is called with the number of
/// questions that are answered and of all.
///
/// `host` has to be a [metering](Host::metering) one.
///
/// # Errors
///
/// The module can't be built, rewritten or loaded.
pub fn code(host: &Host, suite: &Suite, all: bool, progress: &mut dyn FnMut(usize, usize)) -> Result<Code, CoverError> {
    let folder = suite.subject.folder.as_deref();
    let sources = folder.and_then(|folder| Language::of(folder).map(|language| (folder, language)));
    match sources.filter(|_| !all) {
        Some((folder, Language::Rust)) => match build::for_cover(folder) {
            Ok(component) => of_component(host, suite, (&component, CRATE), all, progress),
            Err(BuildError::Missing { what, install, .. }) => Ok(unmeasured(what, format!("install it: {install}"))),
            Err(error) => Err(CoverError::Build(Box::new(error))),
        },
        Some((folder, language @ (Language::JavaScript | Language::Python))) => {
            match script::code(folder, language, suite) {
                Err(CoverError::Build(error)) => match *error {
                    BuildError::Missing { what, install, .. } => Ok(unmeasured(what, format!("install it: {install}"))),
                    error => Err(CoverError::Build(Box::new(error))),
                },
                other => other,
            }
        }
        None => {
            let how =
                if all { "all code of the component" } else { "the code of the component that bears its crate's name" };
            of_component(host, suite, (&suite.subject.bytes, how), all, progress)
        }
    }
}

fn unmeasured(reason: String, hint: String) -> Code {
    Code { unmeasured: Some(Unmeasured { reason, hint }), ..Code::empty(&[]) }
}

fn of_component(
    host: &Host,
    suite: &Suite,
    (component, how): (&[u8], &str),
    all: bool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Code, CoverError> {
    let rewritten = component::rewrite(component)?;
    let mut code = Code { how: how.to_owned(), ..Code::empty(&rewritten.maps) };
    let sources = "name the policy folder, where its sources are";
    let is_crate = how == CRATE;
    if !all && !is_crate && rewritten.maps.iter().map(|map| map.functions.len()).sum::<usize>() > FUNCTIONS_MAX {
        let reason = "the component holds an interpreter, whose code says nothing about the policy";
        return Ok(unmeasured(reason.to_owned(), sources.to_owned()));
    }
    if !all && !code.named {
        let reason =
            "the build left no names in the component, so the policy's own code can't be told from that of libraries";
        return Ok(unmeasured(reason.to_owned(), format!("{sources}; or count all code with --all")));
    }
    let exports = rewritten.counters.iter().map(|counter| counter.export.clone()).collect();
    let marked = Marked::new(host, &rewritten.bytes, exports, limits())?;
    let mut seen = Seen {
        marks: rewritten.maps.iter().map(|map| vec![false; map.marks as usize]).collect(),
        maps: rewritten.counters.iter().map(|counter| counter.map).collect(),
    };
    ask(host, suite, &marked, (&mut seen, &mut code), progress)?;
    let folder = suite.subject.folder.as_deref().or(suite.file.parent()).and_then(|folder| folder.canonicalize().ok());
    let mut texts = Texts::default();
    for (map, marks) in rewritten.maps.iter().zip(&seen.marks) {
        let lines = Lines::read(component, map);
        code.lines |= lines.is_some();
        let mut tally = Tally::default();
        for function in &map.functions {
            let look = Look { function, marks, lines: lines.as_ref(), folder: folder.as_deref(), all };
            tally.add(&look, &mut texts, &mut code);
        }
        tally.sum_up(&mut code);
    }
    Ok(code)
}

/// Which marks were set by any instance.
struct Seen {
    /// By map.
    marks: Vec<Vec<bool>>,
    /// The map of each list that can be read.
    maps: Vec<usize>,
}

impl Seen {
    fn take(&mut self, run: &Run<'_>) {
        for (list, map) in run.lists().zip(&self.maps) {
            for (seen, mark) in self.marks.iter_mut().skip(*map).take(1).flatten().zip(list) {
                *seen |= *mark != 0;
            }
        }
    }
}

fn ask(
    host: &Host,
    suite: &Suite,
    marked: &Marked,
    (seen, code): (&mut Seen, &mut Code),
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(), CoverError> {
    for refusal in &suite.refusals {
        let mut run = marked.start(host)?;
        match run.configure(&refusal.settings) {
            Ok(()) | Err(LoadError::Settings(_)) => {}
            Err(_) => code.failed.push(refusal.name.clone()),
        }
        seen.take(&run);
    }
    let mut current: Option<(Arc<serde_json::Value>, Run<'_>)> = None;
    for (done, question) in suite.questions.iter().enumerate() {
        let mut run = match current.take() {
            Some((settings, run)) if settings == question.settings => run,
            other => {
                if let Some((_, run)) = &other {
                    seen.take(run);
                }
                let mut run = marked.start(host)?;
                run.configure(&question.settings)?;
                run
            }
        };
        if run.ask(&question.request).is_ok() {
            code.answered += 1;
            current = Some((Arc::clone(&question.settings), run));
        } else {
            // The instance can't be asked again, but what ran until then can be seen.
            code.failed.push(question.name.clone());
            seen.take(&run);
        }
        progress(done + 1, suite.questions.len());
    }
    if let Some((_, run)) = &current {
        seen.take(run);
    }
    Ok(())
}

fn limits() -> Limits {
    let Limits { decision_time, configure_time, memory_bytes, result_bytes } = Limits::default();
    Limits {
        decision_time: decision_time * DECISION_ALLOWANCE,
        configure_time: configure_time * CONFIGURE_ALLOWANCE,
        // The marks lie in the module's memory.
        memory_bytes: memory_bytes * 2,
        result_bytes,
    }
}

impl Code {
    fn empty(maps: &[Map]) -> Code {
        let functions = || maps.iter().flat_map(|map| &map.functions);
        Code {
            how: String::new(),
            unmeasured: None,
            named: functions().any(|function| function.symbol.is_some()),
            lines: false,
            source_lines: Share::default(),
            functions: Share::default(),
            branches: Share::default(),
            library_functions: 0,
            trapping_arms: 0,
            answered: 0,
            failed: Vec::new(),
            missed_lines: Vec::new(),
            missed: Vec::new(),
        }
    }

    /// Lines, functions and arms together.
    pub fn share(&self) -> Share {
        let mut share = self.functions;
        share.add(self.source_lines);
        share.add(self.branches);
        share
    }
}

impl Share {
    fn add(&mut self, other: Share) {
        self.hit += other.hit;
        self.total += other.total;
    }

    /// In percent; all of nothing is everything.
    pub fn percent(self) -> f64 {
        if self.total == 0 { 100.0 } else { self.hit as f64 * 100.0 / self.total as f64 }
    }
}
