//! Snapshots: what the module said to each question, word for word, in a file beside the suite. Where the file is there,
//! every change of a word is a failure until `--update` writes it anew.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::author::suite::run::Report;

/// How the file of a snapshot ends.
const EXTENSION: &str = "snapshot";
/// Stands between the name of a question and the answer.
const ARROW: &str = " => ";

/// The file of the suite's snapshot: `cases.snapshot` beside `cases.yaml`.
pub fn file_of(suite: &Path) -> PathBuf {
    suite.with_extension(EXTENSION)
}

/// What the snapshot of a report is: one line a question, in the order of the suite.
pub fn text(report: &Report) -> String {
    report.results.iter().map(|result| format!("{}{ARROW}{}\n", result.name, result.said)).collect()
}

/// What stands in the snapshot of the suite `file`, and what would stand there now, where the two differ. Nothing where
/// there is no snapshot. Of a report that leaves questions out, only those are compared that it has.
///
/// # Errors
///
/// The snapshot is there and can't be read.
pub fn compare(file: &Path, report: &Report) -> io::Result<Option<(String, String)>> {
    let mut before = match fs::read_to_string(file_of(file)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let now = text(report);
    if report.left_out > 0 {
        // A name may have an arrow in it: lines are found by what was asked, not taken apart.
        let lines: HashMap<&str, &str> =
            before.lines().flat_map(|line| line.match_indices(ARROW).map(move |(at, _)| (&line[..at], line))).collect();
        let asked = report.results.iter().filter_map(|result| lines.get(result.name.as_str()));
        before = asked.map(|line| format!("{line}\n")).collect();
    }
    Ok((before != now).then_some((before, now)))
}

/// Writes the snapshot. Returns whether it changed.
///
/// # Errors
///
/// It can't be written.
pub fn update(file: &Path, report: &Report) -> io::Result<bool> {
    let file = file_of(file);
    let now = text(report);
    if fs::read_to_string(&file).is_ok_and(|before| before == now) {
        return Ok(false);
    }
    fs::write(file, now).map(|()| true)
}
