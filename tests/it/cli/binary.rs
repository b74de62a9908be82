//! Calls the program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// What a call of the program left.
pub struct Ended {
    /// The exit status; `None` after a signal.
    pub code: Option<i32>,
    /// What stood on stdout.
    pub stdout: String,
    /// What stood on stderr.
    pub stderr: String,
}

/// The program, to be run at the root of the repository.
pub fn landfall(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_landfall"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command.env_remove("LANDFALL_LOG");
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Ended {
    let output = landfall(arguments).output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ended {
    /// The one JSON value on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr))
    }
}

/// A file in a folder that lives as long as the first answer.
pub fn file(name: &str, text: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    (folder, path)
}

/// A workflow of one pod, which runs `argosay` with these arguments.
pub fn argosay(name: &str, arguments: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: {name}}}\nspec:\n  entrypoint: main\n  \
         templates:\n    - name: main\n      container: {{image: 'argoproj/argosay:v2', args: {arguments}}}\n"
    )
}

/// As text for the command line.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The node of that display name.
#[track_caller]
pub fn node<'a>(workflow: &'a Value, name: &str) -> &'a Value {
    let nodes = workflow["status"]["nodes"].as_object().unwrap();
    nodes.values().find(|node| node["displayName"] == name).unwrap_or_else(|| panic!("no node {name} in {workflow:#}"))
}

/// What differs from run to run: generated names, node IDs, times.
pub fn redacted(text: &str) -> String {
    let mut shown = String::new();
    for word in text.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')) {
        let name = word.trim_end_matches(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
        match name.strip_prefix("multi-cluster-").and_then(|rest| rest.get(..SUFFIX)) {
            Some(suffix) if suffix.chars().all(|c| c.is_ascii_alphanumeric()) => {
                shown += &word.replacen(suffix, "xxxxx", 1);
            }
            Some(_) | None => shown += word,
        }
    }
    shown
}

/// Letters that the API server appends to a `generateName`.
const SUFFIX: usize = 5;

#[test]
fn generated_names_are_redacted() {
    assert_eq!(
        redacted("argo/multi-cluster-a1b2c.this in multi-cluster.yaml"),
        "argo/multi-cluster-xxxxx.this in multi-cluster.yaml"
    );
}
