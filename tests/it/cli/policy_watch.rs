//! `landfall policy test --watch`: it runs again when a file changes, and ends at an interrupt.

use std::{
    fs,
    io::{BufRead, BufReader, Read as _},
    process::{Command, Stdio},
};

use crate::cli::binary::{landfall, text};

#[test]
fn a_suite_runs_again_when_it_changes() {
    let suite = |expected: &str| {
        format!(
            "module: builtin\ncases:\n  - {{name: one, request: {{workflow: a/w, target: b/a}}, expect: {expected}}}\n"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.yaml");
    fs::write(&file, suite("allow")).unwrap();
    let mut command = landfall(&["policy", "test", text(folder.path()), "--watch"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut wait_for = |line: &str| {
        let found = said.by_ref().map(Result::unwrap).find(|said| said == line);
        assert!(found.is_some(), "it ended before it said {line:?}");
    };
    wait_for("watching 1 suite; Ctrl-C ends");
    // In one go, so that no half of it is run.
    let next = folder.path().join("next");
    fs::write(&next, suite("deny")).unwrap();
    fs::rename(&next, &file).unwrap();
    wait_for(&format!("changed: {}", file.display()));
    wait_for("watching 1 suite; Ctrl-C ends");
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let mut shown = String::new();
    child.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{shown}");
    let lines = |text: &str| shown.lines().filter(|line| line.starts_with(text)).count();
    assert_eq!((lines("failed: 1 of 1 question"), lines("ok: 1 suite")), (1, 1), "{shown}");
}
