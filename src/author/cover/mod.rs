//! How much of a module its suite looks at: which of its code runs, and which of its settings decide anything.
//!
//! [`code`] works for any guest language: the module is rewritten so that it leaves marks (`component`, `module`,
//! `function`), answers all questions, and the marks are read. Of an interpreter that says little about the policy that it
//! interprets; [`rules`](crate::author::cover::rules) says the same of every module. What is shown of it is `cli`'s.

mod component;
mod function;
mod module;
mod names;
pub mod rules;

use std::{path::Path, sync::Arc};

use serde::Serialize;

pub use crate::author::cover::names::Place;
use crate::{
    author::{
        cover::{
            function::{Arm, ArmKind, Branch},
            module::{Function, Map},
            names::Lines,
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
/// Marks slow code down: a decision is given so many times what it may take otherwise. A decision that is stopped is not
/// covered, and a virtual machine that has to wait for its processor counts the wait as processor time.
const DECISION_ALLOWANCE: u32 = 100;
/// The same of `configure`, which has more time as it is.
const CONFIGURE_ALLOWANCE: u32 = 10;

/// What of a module's code ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Code {
    /// The module holds an interpreter, by the number of its functions: its own code says little about the policy.
    pub interpreter: bool,
    /// The build left names of functions in.
    pub named: bool,
    /// The build left lines of sources in.
    pub lines: bool,
    /// Functions that count: the policy's own, or all of them.
    pub functions: Share,
    /// Arms of their branches.
    pub branches: Share,
    /// So many functions of libraries don't count.
    pub library_functions: usize,
    /// So many arms don't count because they only lead to a trap, as the check of an index does.
    pub trapping_arms: usize,
    /// So many questions were answered.
    pub answered: usize,
    /// The questions and the settings that ended in a trap or exceeded a limit. What ran until then counts.
    pub failed: Vec<String>,
    /// Functions of which not all ran, in the order of the code.
    pub missed: Vec<MissedFunction>,
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
    /// The rewritten one can't be run.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Runs the whole suite and looks at what of the module's code ran. With `all`, the functions of libraries count, and an
/// interpreter's as well; otherwise an interpreter is only named as one. `progress` is called with the number of questions
/// that are answered and of all.
///
/// `host` has to be a [metering](Host::metering) one.
///
/// # Errors
///
/// The module can't be rewritten, or can't be loaded.
pub fn code(host: &Host, suite: &Suite, all: bool, progress: &mut dyn FnMut(usize, usize)) -> Result<Code, CoverError> {
    let rewritten = component::rewrite(&suite.subject.bytes)?;
    let mut code = Code::empty(&rewritten.maps);
    if code.interpreter && !all {
        return Ok(code);
    }
    let exports = rewritten.counters.iter().map(|counter| counter.export.clone()).collect();
    let marked = Marked::new(host, &rewritten.bytes, exports, limits())?;
    let mut seen = Seen {
        marks: rewritten.maps.iter().map(|map| vec![false; map.marks as usize]).collect(),
        maps: rewritten.counters.iter().map(|counter| counter.map).collect(),
    };
    ask(host, suite, &marked, (&mut seen, &mut code), progress)?;
    let folder = suite.subject.folder.as_deref().or(suite.file.parent()).and_then(|folder| folder.canonicalize().ok());
    for (map, marks) in rewritten.maps.iter().zip(&seen.marks) {
        let lines = Lines::read(&suite.subject.bytes, map);
        code.lines |= lines.is_some();
        for function in &map.functions {
            code.add(&Look { function, marks, lines: lines.as_ref(), folder: folder.as_deref(), all });
        }
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

/// A function and everything by which it is judged.
struct Look<'a> {
    function: &'a Function,
    marks: &'a [bool],
    lines: Option<&'a Lines<'a>>,
    folder: Option<&'a Path>,
    all: bool,
}

impl Code {
    fn empty(maps: &[Map]) -> Code {
        let functions = || maps.iter().flat_map(|map| &map.functions);
        Code {
            interpreter: functions().count() > FUNCTIONS_MAX,
            named: functions().any(|function| function.symbol.is_some()),
            lines: false,
            functions: Share::default(),
            branches: Share::default(),
            library_functions: 0,
            trapping_arms: 0,
            answered: 0,
            failed: Vec::new(),
            missed: Vec::new(),
        }
    }

    /// Functions and arms together.
    pub fn share(&self) -> Share {
        let mut share = self.functions;
        share.add(self.branches);
        share
    }

    fn add(&mut self, look: &Look<'_>) {
        let Look { function, .. } = look;
        if function.marks.only_traps {
            return;
        }
        if !look.all && !look.is_own() {
            self.library_functions += 1;
            return;
        }
        let ran = look.is_set(function.marks.entry);
        let mut branches = Share::default();
        let mut missed = Vec::new();
        for branch in &function.marks.branches {
            let (place, own) = look.place(branch.offset);
            // What was inlined from a library counts as little as what is called of it.
            if !own && !look.all {
                continue;
            }
            let counted = || branch.arms.iter().filter(|arm| !arm.only_traps);
            self.trapping_arms += branch.arms.len() - counted().count();
            let hit = counted().filter(|arm| look.was_taken(arm)).count();
            branches.add(Share { hit, total: counted().count() });
            if hit < counted().count() {
                missed.push(MissedBranch { place, missed: look.missed(branch) });
            }
        }
        self.functions.add(Share { hit: usize::from(ran), total: 1 });
        self.branches.add(branches);
        if !ran || !missed.is_empty() {
            let (place, _) = look.place(function.marks.offset);
            self.missed.push(MissedFunction { name: names::name(function), place, ran, branches, missed });
        }
    }
}

impl Look<'_> {
    fn is_own(&self) -> bool {
        let by_line = self.lines.and_then(|lines| lines.place(self.function.marks.offset, self.folder));
        match by_line {
            // An exported function bears no crate's name, but its line tells whose it is.
            Some((_, own)) => own && !names::is_generated(&names::name(self.function)),
            None => names::is_own(self.function),
        }
    }

    /// The line, if it is known, and whether the policy's own code is there.
    fn place(&self, offset: usize) -> (Option<Place>, bool) {
        match self.lines {
            Some(lines) => lines.place(offset, self.folder).map_or((None, false), |(place, own)| (Some(place), own)),
            None => (None, true),
        }
    }

    fn is_set(&self, mark: u32) -> bool {
        self.marks.get(mark as usize).copied().unwrap_or_default()
    }

    fn was_taken(&self, arm: &Arm) -> bool {
        arm.marks.iter().any(|mark| self.is_set(*mark))
    }

    fn missed(&self, branch: &Branch) -> String {
        let missed: Vec<&Arm> = branch.arms.iter().filter(|arm| !arm.only_traps && !self.was_taken(arm)).collect();
        let all = branch.arms.iter().filter(|arm| !arm.only_traps).count();
        match missed.as_slice() {
            missed if missed.len() == all => "never reached".to_owned(),
            [Arm { kind: ArmKind::True, .. }] => "never true".to_owned(),
            [Arm { kind: ArmKind::False, .. }] => "never false".to_owned(),
            missed => format!("{} of {all} cases never", missed.len()),
        }
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
