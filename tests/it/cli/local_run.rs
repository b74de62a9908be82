//! `landfall local run`, from the files to the exit status.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::Stdio,
};

use tempfile::TempDir;

use crate::{
    cli::binary::{argosay, file, landfall, node, redacted, run, text},
    golden,
};

const EXAMPLE: &str = "manifests/examples/multi-cluster.yaml";
const DENIED: &str = "manifests/examples/multi-cluster-denied.yaml";

/// The signal that a terminal sends on Ctrl-C.
const INTERRUPT: &str = "-INT";

#[test]
fn the_example_runs_in_two_clusters() {
    let ended = run(&["local", "run", EXAMPLE, "-o", "json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let workflow = ended.json();
    assert_eq!(workflow["kind"], "Workflow");
    assert_eq!(workflow["status"]["phase"], "Succeeded");
    assert_eq!(node(&workflow, "this")["phase"], "Succeeded");
    let other = node(&workflow, "other");
    assert_eq!(other["phase"], "Succeeded");
    assert_eq!(other["target"], serde_json::json!({"cluster": "other", "namespace": "argo"}));
}

#[test]
fn what_no_rule_allows_is_denied_and_the_rest_runs() {
    let ended = run(&["local", "run", DENIED, "-o", "json"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let workflow = ended.json();
    assert_eq!(workflow["status"]["phase"], "Error");
    assert_eq!(node(&workflow, "this")["phase"], "Succeeded");
    let other = node(&workflow, "other");
    assert_eq!(other["phase"], "Error");
    golden::check("tests/cli/denied-message.txt", &format!("{}\n", other["message"].as_str().unwrap_or_default()));
}

#[test]
fn both_examples_are_shown() {
    for (file, golden) in [(EXAMPLE, "allowed"), (DENIED, "denied")] {
        let ended = run(&["local", "run", file]);
        assert_eq!(ended.stderr, "");
        golden::check(&format!("tests/cli/run-{golden}.txt"), &settled(&ended.stdout));
    }
}

#[test]
fn the_readme_shows_what_the_example_shows() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let command = format!("$ cargo run -- local run {EXAMPLE}\n");
    let (_, output) = readme.split_once(&command).unwrap();
    let (output, _) = output.split_once("```").unwrap();
    golden::check("tests/cli/run-allowed.txt", &settled(output));
}

/// The output without what differs from run to run: the lines before the tree come in any order, durations vary.
fn settled(output: &str) -> String {
    let output = redacted(output);
    let (live, tree) = output.split_once("\n\n").unwrap();
    let mut lines: Vec<_> = live.lines().collect();
    // A pod may be seen in each phase or only in its last.
    lines.retain(|line| !line.contains(" Running") && !line.contains(" Pending"));
    // How often a pod is asked about depends on when a status could be written.
    lines.sort_unstable();
    lines.dedup();
    let tree: String = tree.split_inclusive(char::is_whitespace).map(without_duration).collect();
    format!("{}\n\n{tree}", lines.join("\n"))
}

fn without_duration(word: &str) -> String {
    let is_duration = word.trim_end().strip_suffix('s').is_some_and(|number| number.parse::<f64>().is_ok());
    if is_duration { word.replace(|c: char| c.is_ascii_digit(), "N").replace("N.N", "N") } else { word.to_owned() }
}

#[test]
fn logs_are_shown_with_where_they_come_from() {
    let (_folder, path) = file("one.yaml", &argosay("one", "[echo, landfall]"));
    let ended = run(&["local", "run", text(&path)]);
    assert!(ended.stdout.lines().any(|line| line == "default/argo one │ landfall"), "{}", ended.stdout);
    assert_eq!(ended.code, Some(0));
}

#[test]
fn a_failure_is_an_exit_status() {
    let (_folder, path) = file("one.yaml", &argosay("one", "[exit, '3']"));
    let ended = run(&["local", "run", text(&path), "-o", "json"]);
    assert_eq!(ended.json()["status"]["phase"], "Failed");
    assert_eq!(ended.code, Some(1));
}

#[test]
fn an_unknown_image_is_named_with_what_to_do() {
    let workflow = argosay("one", "[a]").replace("argoproj/argosay:v2", "example/unknown:1");
    let (_folder, path) = file("one.yaml", &workflow);
    let ended = run(&["local", "run", text(&path), "--timeout", "60s"]);
    assert!(ended.stdout.contains("example/unknown:1"), "{}", ended.stdout);
    assert!(ended.stdout.contains("images:"), "{}", ended.stdout);
    assert_eq!(ended.code, Some(1));
}

#[test]
fn a_timeout_ends_the_run_and_still_prints_the_workflow() {
    let (_folder, path) = file("one.yaml", &argosay("one", "[sleep, 600s]"));
    let ended = run(&["local", "run", text(&path), "--timeout", "1500ms", "-o", "json"]);
    assert_eq!(ended.json()["metadata"]["name"], "one");
    assert!(ended.stderr.contains("after the timeout of 1500ms"), "{}", ended.stderr);
    assert_eq!(ended.code, Some(1));
}

#[test]
fn what_with_names_is_created_first() {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: texts, namespace: argo}\ndata: {hello: from a map}\n";
    let (_folder, with) = file("with.yaml", &format!("{map}---\n{}", argosay("one", "[exit, '1']")));
    let workflow = argosay("one", "[cat, /texts/hello]")
        .replace("spec:\n", "spec:\n  volumes: [{name: texts, configMap: {name: texts}}]\n")
        .replace("'argoproj/argosay:v2',", "'argoproj/argosay:v2', volumeMounts: [{name: texts, mountPath: /texts}],");
    let (_other_folder, path) = file("one.yaml", &workflow);
    let ended = run(&["local", "run", text(&path), "--with", text(&with)]);
    assert!(ended.stdout.contains("│ from a map"), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.code, Some(0));
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let mark = format!("landfall-test-{}", std::process::id());
    let workflow = argosay("one", &format!("[-c, 'echo started; sleep 600 # {mark}']"))
        .replace("'argoproj/argosay:v2',", "'argoproj/argosay:v2', command: [sh],");
    let (_folder, path) = file("one.yaml", &workflow);
    let temporary = TempDir::new().unwrap();
    let mut command = landfall(&["local", "run", text(&path)]);
    let mut child = command.env("TMPDIR", temporary.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("│ started")));
    assert!(processes_with(&mark) > 0);
    let signalled = std::process::Command::new("kill").args([INTERRUPT, &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert_eq!(processes_with(&mark), 0);
    assert_eq!(entries(&temporary), Vec::<PathBuf>::new());
}

#[test]
fn a_refused_object_leaves_nothing_behind() {
    let kind = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n";
    let name = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: A_B}\n";
    for (yaml, expected) in [
        (kind, "error: FILE:1: the local cluster has no kind Deployment in apps/v1\n"),
        (name, "error: FILE:1: ConfigMap A_B: "),
    ] {
        let (_folder, path) = file("one.yaml", &argosay("one", "[echo]"));
        let (_other_folder, with) = file("with.yaml", yaml);
        let temporary = TempDir::new().unwrap();
        let mut command = landfall(&["local", "run", text(&path), "--with", text(&with)]);
        let output = command.env("TMPDIR", temporary.path()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap().replace(text(&with), "FILE");
        assert!(said.starts_with(expected), "{said}");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(entries(&temporary), Vec::<PathBuf>::new());
    }
}

fn entries(folder: &TempDir) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Processes of this machine whose command line holds the text.
fn processes_with(text: &str) -> usize {
    let commands = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = commands.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(text)).count()
}
