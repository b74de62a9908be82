//! What Argo does, as data: the folder that LANDFALL_CONFORMANCE names, whose README says what each case is. Without
//! the variable the tests are skipped, and say so. Cases that can't pass yet stand in `known.tsv`.

mod controller;
mod examples;
mod expressions;
mod golden;
mod known;
mod node_ids;
mod objects;
mod recorded;
mod validate;

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::Value;

/// How a case went: what was wrong, if anything.
pub type Outcome = Result<(), String>;

/// The folder of the data, if there is one; otherwise says that `what` is skipped.
pub fn folder(what: &str) -> Option<PathBuf> {
    let folder = env::var_os("LANDFALL_CONFORMANCE").map(PathBuf::from);
    if folder.is_none() {
        say(&format!("conformance {what}: skipped, LANDFALL_CONFORMANCE is not set"));
    }
    folder
}

/// Prints a line, also of a test that passes: `println!` would only show with `--nocapture`.
pub fn say(line: &str) {
    writeln!(io::stdout(), "{line}").unwrap();
}

/// All files below, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}

/// The name of a case that is a file.
pub fn case_name(file: &Path) -> String {
    file.file_stem().unwrap().to_string_lossy().into_owned()
}

/// Takes out what says nothing, at every depth: nulls, empty texts, lists and objects.
pub fn without_empties(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(without_empties);
            fields.retain(|_, it| !is_empty(it));
        }
        Value::Array(items) => items.iter_mut().for_each(without_empties),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
