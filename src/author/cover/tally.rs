//! Marks, added up: which functions of the policy's own ran, and which arms of their branches were taken.

use std::{collections::HashMap, path::Path};

use crate::author::cover::{
    Code, MissedBranch, MissedFunction, Share,
    function::{Arm, ArmKind},
    module::Function,
    names::{self, Lines, Place, Texts},
};

/// A function and everything by which it is judged.
pub struct Look<'a> {
    /// The function.
    pub function: &'a Function,
    /// The marks of its module.
    pub marks: &'a [bool],
    /// The sources of its module.
    pub lines: Option<&'a Lines<'a>>,
    /// The policy folder.
    pub folder: Option<&'a Path>,
    /// The code of libraries counts, too.
    pub all: bool,
}

/// The functions of one module. What a compiler makes several functions of, as of one with type parameters, is one.
#[derive(Default)]
pub struct Tally {
    functions: Vec<Counted>,
    known: HashMap<(String, Option<Place>), usize>,
}

struct Counted {
    name: String,
    place: Option<Place>,
    ran: bool,
    branches: Vec<Taken>,
}

/// A branch, and which of its arms were taken.
struct Taken {
    place: Option<Place>,
    arms: Vec<(ArmKind, bool)>,
}

impl Tally {
    /// Adds a function, if it counts.
    pub fn add(&mut self, look: &Look<'_>, texts: &mut Texts, code: &mut Code) {
        let Look { function, .. } = look;
        if function.marks.only_traps {
            return;
        }
        if !look.all && !look.is_own(texts) {
            code.library_functions += 1;
            return;
        }
        let mut branches = Vec::new();
        for branch in &function.marks.branches {
            let (place, own) = look.place(branch.offset);
            // What was inlined from a library counts as little as what is called of it, or what a macro writes.
            let written = place.as_ref().is_none_or(|place| texts.is_code(look.folder, place));
            let counts = look.all || (own && written);
            if !counts {
                continue;
            }
            let counted = branch.arms.iter().filter(|arm| !arm.only_traps);
            let arms: Vec<_> = counted.map(|arm| (arm.kind, look.was_taken(arm))).collect();
            code.trapping_arms += branch.arms.len() - arms.len();
            // Where all ways but one trap, there is nothing to choose.
            if arms.len() > 1 {
                branches.push(Taken { place, arms });
            }
        }
        let name = names::name(function);
        let (place, _) = look.place(function.marks.offset);
        let ran = look.is_set(function.marks.entry);
        let key = (name.clone(), place.clone());
        match self.known.get(&key).and_then(|at| self.functions.get_mut(*at)) {
            Some(same) if place.is_some() && same.is_like(&branches) => same.join(ran, &branches),
            Some(_) | None => {
                self.known.insert(key, self.functions.len());
                self.functions.push(Counted { name, place, ran, branches });
            }
        }
    }

    /// Gives all figures to `code`.
    pub fn sum_up(self, code: &mut Code) {
        for Counted { name, place, ran, branches } in self.functions {
            let mut share = Share::default();
            let mut missed = Vec::new();
            for branch in &branches {
                let hit = branch.arms.iter().filter(|(_, taken)| *taken).count();
                share.add(Share { hit, total: branch.arms.len() });
                if hit < branch.arms.len() {
                    missed.push(MissedBranch { place: branch.place.clone(), missed: branch.missed() });
                }
            }
            code.functions.add(Share { hit: usize::from(ran), total: 1 });
            code.branches.add(share);
            if !ran || !missed.is_empty() {
                code.missed.push(MissedFunction { name, place, ran, branches: share, missed });
            }
        }
    }
}

impl Counted {
    fn is_like(&self, branches: &[Taken]) -> bool {
        let shape = |branches: &[Taken]| branches.iter().map(|branch| branch.arms.len()).collect::<Vec<_>>();
        shape(&self.branches) == shape(branches)
    }

    fn join(&mut self, ran: bool, branches: &[Taken]) {
        self.ran |= ran;
        for (own, other) in self.branches.iter_mut().zip(branches) {
            for ((_, taken), (_, also)) in own.arms.iter_mut().zip(&other.arms) {
                *taken |= *also;
            }
        }
    }
}

impl Taken {
    fn missed(&self) -> String {
        let missed: Vec<ArmKind> = self.arms.iter().filter(|(_, taken)| !taken).map(|(kind, _)| *kind).collect();
        match missed.as_slice() {
            missed if missed.len() == self.arms.len() => "never reached".to_owned(),
            // Which way of the source is `true` in the module, nobody knows.
            [ArmKind::True | ArmKind::False] => "always went the same way".to_owned(),
            missed => format!("{} of {} cases never", missed.len(), self.arms.len()),
        }
    }
}

impl Look<'_> {
    fn is_own(&self, texts: &mut Texts) -> bool {
        let by_line = self.lines.and_then(|lines| lines.place(self.function.marks.offset, self.folder));
        match by_line {
            // An exported function bears no crate's name, but its line tells whose it is.
            Some((place, own)) => {
                own && !names::is_generated(&names::name(self.function)) && texts.is_code(self.folder, &place)
            }
            // What no line of a source made, a tool did.
            None => self.lines.is_none() && names::is_own(self.function),
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
}
