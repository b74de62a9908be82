//! The list of cases that can't pass yet, `known.tsv`: folder, case, reason. It only ever shrinks: a case that fails and
//! isn't listed fails the test, and so does one that is listed and passes. UPDATE_KNOWN=1 rewrites it.

use std::{
    collections::BTreeMap,
    env, fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use crate::conformance::{Outcome, say};

/// How the code itself says that it can't do something yet.
const UNSUPPORTED: &str = ": not supported yet";

/// Folder and case.
type Key = (String, String);

/// The cases of a folder that are listed, with the reasons.
pub fn listed(folder: &str) -> BTreeMap<String, String> {
    read().into_iter().filter(|(key, _)| key.0 == folder).map(|(key, reason)| (key.1, reason)).collect()
}

/// Whether the list is being rewritten: then all cases are to be run.
pub fn is_rewritten() -> bool {
    env::var_os("UPDATE_KNOWN").is_some()
}

/// Whether a reason is the code's own refusal, which comes at once.
pub fn is_refusal(reason: &str) -> bool {
    reason.ends_with(UNSUPPORTED)
}

/// Prints how the cases of a folder went, and compares with the list.
pub fn report(folder: &str, outcomes: &BTreeMap<String, Outcome>) {
    let passed = outcomes.values().filter(|it| it.is_ok()).count();
    say(&format!("conformance {folder}: {passed} passed, {} failed", outcomes.len() - passed));
    if is_rewritten() {
        rewrite(folder, outcomes);
    }
    let listed = listed(folder);
    let mut wrong = Vec::new();
    for (case, outcome) in outcomes {
        match (outcome, listed.contains_key(case)) {
            (Ok(()), false) | (Err(_), true) => (),
            (Ok(()), true) => wrong.push(format!("{case} passes: take it off known.tsv")),
            (Err(problem), false) => wrong.push(format!("{case}: {problem}")),
        }
    }
    let gone = listed.keys().filter(|case| !outcomes.contains_key(*case));
    wrong.extend(gone.map(|case| format!("{case} is no case: take it off known.tsv")));
    assert!(wrong.is_empty(), "conformance {folder}:\n{}", wrong.join("\n"));
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/conformance/known.tsv")
}

fn read() -> BTreeMap<Key, String> {
    let text = fs::read_to_string(path()).unwrap_or_default();
    let mut known = BTreeMap::new();
    for line in text.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [folder, case, reason] = columns[..] else { panic!("known.tsv: three columns in {line:?}") };
        known.insert((folder.to_owned(), case.to_owned()), reason.to_owned());
    }
    known
}

/// Writes the rows of one folder anew; a reason that stands is kept.
fn rewrite(folder: &str, outcomes: &BTreeMap<String, Outcome>) {
    // The folders' tests run side by side and share the file.
    static FILE: Mutex<()> = Mutex::new(());
    let _guard = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = read();
    let mut known: BTreeMap<Key, String> = before.clone().into_iter().filter(|(key, _)| key.0 != folder).collect();
    for (case, outcome) in outcomes {
        if let Err(problem) = outcome {
            let key = (folder.to_owned(), case.clone());
            let problem = problem.lines().next().unwrap_or_default().replace('\t', " ");
            // What the code itself refuses is named best by its own words; for the rest someone has found out why.
            let reason = match before.get(&key) {
                Some(reason) if !is_refusal(&problem) => reason.clone(),
                Some(_) | None => problem,
            };
            known.insert(key, reason);
        }
    }
    let text: String = known.iter().map(|((folder, case), reason)| format!("{folder}\t{case}\t{reason}\n")).collect();
    fs::write(path(), text).unwrap();
}
