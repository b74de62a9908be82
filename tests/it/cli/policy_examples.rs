//! The examples that `landfall policy … --help` shows, and the commands in hints: each runs as it is written.
//!
//! They run in a folder that has what this repository has at its root, and files of the names that examples use.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    cli::binary::{Ended, landfall, run, text},
    support::modules,
};

const IMAGES: &str = "rules:\n  - {targets: ['*/*'], images: ['**']}\n";
const REQUEST: &str =
    "workflow: argo/w\ntarget: default/argo\npod: {spec: {containers: [{name: main, image: alpine}]}}\n";
const ROLES: &str = "roles:\n- {namespace: argo, rules: [{clusterNames: [''], namespaces: [argo]}]}\n";

/// Examples that don't end with status 0, and why.
const OTHERWISE: &[(&str, i32)] = &[
    // Something is denied.
    ("landfall policy run manifests/examples/multi-cluster-denied.yaml", 1),
    ("landfall policy run builtin --workflow argo/my-workflow --target other/argo", 1),
    // Something is decided otherwise.
    ("landfall policy diff builtin builtin --old-settings old.yaml --new-settings new.yaml", 1),
    ("landfall policy diff --old-config old-config.yaml --new-config config.yaml", 1),
];

/// Examples that build, which other tests do: here is no toolchain to be relied on.
const BUILDS: &str = "landfall policy build ";

/// The folder that examples run in. Modules with an interpreter are left out of it: they take longer than all others.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir(folder.path().join("policies")).unwrap();
    for entry in fs::read_dir(root.join("policies")).unwrap() {
        let entry = entry.unwrap();
        if !["name-rules", "office-hours"].contains(&entry.file_name().to_str().unwrap()) {
            symlink(entry.path(), folder.path().join("policies").join(entry.file_name())).unwrap();
        }
    }
    symlink(root.join("manifests"), folder.path().join("manifests")).unwrap();
    let write = |name: &str, text: &[u8]| fs::write(folder.path().join(name), text).unwrap();
    write("images.yaml", IMAGES.as_bytes());
    write("request.yaml", REQUEST.as_bytes());
    write("roles.yaml", ROLES.as_bytes());
    write("old.yaml", b"roles: []\n");
    write("new.yaml", ROLES.as_bytes());
    for (name, example) in [
        ("workflow.yaml", "multi-cluster"),
        ("config.yaml", "multi-cluster"),
        ("old-config.yaml", "multi-cluster-denied"),
    ] {
        let text = fs::read_to_string(root.join(format!("manifests/examples/{example}.yaml"))).unwrap();
        let (config, workflow) = text.split_once("\n---\n").unwrap();
        write(name, if name == "workflow.yaml" { workflow } else { config }.as_bytes());
    }
    fs::copy(root.join("policies/images/images.wasm"), folder.path().join("old.wasm")).unwrap();
    fs::create_dir(folder.path().join("modules")).unwrap();
    // One that takes it when nothing is set.
    let module = "pod-security.wasm";
    fs::copy(root.join("policies/pod-security").join(module), folder.path().join("modules").join(module)).unwrap();
    folder
}

/// The commands of a screen, without what stands before them.
fn commands(screen: &str) -> Vec<String> {
    let examples = screen.split_once("\nExamples:\n").map(|(_, rest)| rest).unwrap_or_default();
    examples.lines().take_while(|line| !line.is_empty()).map(|line| line.trim().to_owned()).collect()
}

/// As a shell in that folder runs it, where the program is installed.
fn shell(folder: &Path, command: &str) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_landfall")).parent().unwrap();
    let path = env::join_paths([program.to_owned()].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap())));
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(folder).env("PATH", path.unwrap()).stdin(Stdio::null());
    shell
}

fn in_shell(folder: &Path, command: &str) -> Ended {
    let output = shell(folder, command).output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Waits until it has been run once, and ends it as people do.
fn watched(folder: &Path, command: &str) {
    let mut child =
        shell(folder, &format!("exec {command}")).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.ends_with("; Ctrl-C ends")), "{command}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0), "{command}");
}

#[test]
fn examples_run_as_they_are_written() {
    let verbs = ["new", "check", "run", "explain", "test", "cover", "bench", "diff", "fuzz", "replay", "build", ""];
    let folder = folder();
    let record = "landfall local run manifests/examples/multi-cluster.yaml --decision-records decisions.jsonl";
    let ended = in_shell(folder.path(), record);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    fs::copy(folder.path().join("decisions.jsonl"), folder.path().join("controller.log")).unwrap();
    let mut broken = Vec::new();
    for verb in verbs {
        let help = in_shell(folder.path(), &format!("landfall policy {verb} --help"));
        let examples = commands(&help.stdout);
        assert!(!examples.is_empty(), "`landfall policy {verb} --help` shows no examples:\n{}", help.stdout);
        for command in examples {
            if command.starts_with(BUILDS) {
                continue;
            }
            if command.contains(" --watch") {
                watched(folder.path(), &command);
                continue;
            }
            let expected = OTHERWISE.iter().find(|(known, _)| *known == command).map_or(0, |(_, code)| *code);
            let ended = in_shell(folder.path(), &command);
            if ended.code != Some(expected) {
                broken
                    .push(format!("$ {command}\n{}{}=> {:?}, not {expected}", ended.stdout, ended.stderr, ended.code));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
}

/// The commands that stand in what was printed, to the end of their lines.
fn hinted(ended: &Ended) -> Vec<String> {
    let said = format!("{}{}", ended.stdout, ended.stderr);
    let command = |line: &str| line.find("landfall ").map(|start| line[start..].to_owned());
    let is_hint = |line: &&str| ["hint:", "again:"].iter().any(|start| line.contains(start));
    said.lines().filter(is_hint).filter_map(command).collect()
}

#[test]
fn hints_run_as_they_are_written() {
    let folder = folder();
    let write = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    };
    let wrong =
        "module: builtin\nrequest: {workflow: a/b, target: a/b}\ncases:\n  - {name: \"what's $this\", expect: allow}\n";
    write("a folder/cases.yaml", wrong.as_bytes());
    write("snapshot/cases.yaml", wrong.replace("allow", "deny").as_bytes());
    write("snapshot/cases.snapshot", b"what's $this => allow\n");
    write("deny.wasm", modules::DENY_ALL);
    let no_pod =
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: a}\nspec: {entrypoint: x, templates: []}\n";
    write("no-pod.yaml", no_pod.as_bytes());
    write("one/one.wasm", modules::DENY_ALL);
    write("one/cases.yaml", b"cases: [{name: one, request: {workflow: a/b, target: c/d}, expect: deny}]\n");
    // What is printed hints at one command, which ends so.
    let check = |command: &str, hint: &str, code: i32| {
        let ended = in_shell(folder.path(), command);
        let hints = hinted(&ended);
        assert_eq!(hints, [hint], "{command}\n{}{}", ended.stdout, ended.stderr);
        let ended = in_shell(folder.path(), hint);
        assert_eq!(ended.code, Some(code), "{hint}\n{}{}", ended.stdout, ended.stderr);
    };
    check("landfall policy test 'a folder'", r#"landfall policy explain "a folder" --case 'what'\''s $this'"#, 0);
    check("landfall policy test snapshot", "landfall policy test snapshot --update", 0);
    check("landfall policy test policies/README.md policies/sdk", "landfall policy new my-policy --lang rust", 0);
    check("landfall policy test one/one.wasm", "landfall policy test one", 0);
    check("landfall policy build snapshot", "landfall policy new my-module --lang rust", 0);
    check("landfall policy new .", "landfall policy new only-signed-images", 0);
    check("landfall policy explain no-pod.yaml", "landfall policy run no-pod.yaml", 1);
    check(
        "landfall policy run workflow.yaml --settings old.yaml",
        "landfall policy run builtin --for workflow.yaml",
        1,
    );
}

#[test]
fn what_breaks_a_law_is_found_again_by_what_is_printed() {
    let folder = folder();
    // It denies whatever it is asked, and takes whatever it is configured with.
    fs::write(folder.path().join("deny it.wasm"), modules::DENY_ALL).unwrap();
    let ended = in_shell(folder.path(), "landfall policy fuzz 'deny it.wasm' --law garbage --seed 7 --runs 50");
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    let commands = hinted(&ended);
    assert_eq!(commands.len(), 2, "{}", ended.stdout);
    for command in commands {
        let ended = in_shell(folder.path(), &command);
        assert_eq!(ended.code, Some(1), "{command}\n{}{}", ended.stdout, ended.stderr);
        assert!(
            ended.stdout.contains("BROKEN") || ended.stdout.contains("1 of 1 question not as expected"),
            "{}",
            ended.stdout
        );
    }
}

#[test]
fn colour_is_for_terminals() {
    let folder = folder();
    let check = |arguments: &[&str]| {
        let coloured = landfall(arguments).env("CLICOLOR_FORCE", "1").current_dir(folder.path()).output().unwrap();
        let plain = landfall(arguments).current_dir(folder.path()).output().unwrap();
        let has_colour = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("\x1b[");
        assert!(has_colour(&coloured.stdout) || has_colour(&coloured.stderr), "{arguments:?}");
        assert!(!has_colour(&plain.stdout) && !has_colour(&plain.stderr), "{arguments:?}");
    };
    check(&["policy", "check", "nowhere"]);
    check(&["policy", "fuzz", "builtin", "--runs", "3"]);
    check(&["policy", "diff", "builtin", "builtin", "--old-settings", "old.yaml", "--new-settings", "new.yaml"]);
    check(&["policy", "replay", "images.yaml", "--module", "builtin"]);
}

#[test]
fn where_results_go_is_looked_at_before_the_work() {
    let folder = folder();
    let check = |arguments: &[&str]| {
        let ended = run(&[arguments, &["/dev/null/there"]].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(ended.stderr.starts_with("error: /dev/null/there: "), "{}", ended.stderr);
    };
    check(&["policy", "build", text(folder.path()), "--out"]);
    check(&["policy", "test", "policies/images", "--junit"]);
    check(&["policy", "fuzz", "builtin", "--save"]);
    check(&["policy", "bench", "policies/images", "--save"]);
}
