//! Mistakes in files and flags: the answer names the place, and comes before anything starts. And the help against them.

use crate::cli::binary::{argosay, file, landfall, run, text};

/// Runs a file that holds `yaml`; stderr must be `expected`, in which FILE stands for the file.
#[track_caller]
fn check(yaml: &str, expected: &str) {
    let (_folder, path) = file("workflow.yaml", yaml);
    let ended = run(&["local", "run", text(&path)]);
    assert_eq!(ended.stderr.replace(text(&path), "FILE"), expected);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
}

#[test]
fn broken_yaml_is_refused_with_its_place() {
    check("spec: [1", "error: FILE:1:7: unclosed bracket '['\n");
    check("a: 1\na: 2", "error: FILE:2:1: key \"a\" stands twice in this mapping\n");
}

#[test]
fn unknown_fields_are_refused_with_the_nearest_name() {
    let head = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: a}\n";
    check(
        &format!(
            "# first\n{head}spec: {{entrypoint: a, templates: [{{name: a, container: {{image: a, comand: [a]}}}}]}}"
        ),
        "error: FILE:2: Workflow spec.templates[0].container.comand: unknown field, did you mean \"command\"?\n",
    );
    check(
        &format!("{head}spec: {{entrypont: a, suspend: 1}}"),
        "error: FILE:1: Workflow spec.entrypont: unknown field, did you mean \"entrypoint\"?\n       \
         FILE:1: Workflow spec.suspend: expected true or false, found 1\n",
    );
}

#[test]
fn there_is_one_workflow() {
    let hint = "\nhint: one of the files must hold an object of kind Workflow; `landfall local up` needs none\n";
    check("", &format!("error: FILE: no Workflow\n{hint}"));
    let one = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: a}\n";
    check(
        &format!("{one}---\n{one}"),
        "error: FILE:5: more than one Workflow, the first at FILE:1\n\nhint: a run is of one workflow: keep each in a \
         file of its own, and what they share in one that --with names\n",
    );
}

#[test]
fn a_configuration_with_a_mistake_is_refused() {
    check(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: workflow-controller-configmap}\ndata:\n  namespaceRoles: |\n    - \
         namespace: argo\n      rule: []\n---\napiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: a}\n",
        "error: FILE:1: ConfigMap workflow-controller-configmap: namespaceRoles line 2: [0].rule: unknown field, did you \
         mean \"rules\"?\n",
    );
}

#[test]
fn objects_need_a_kind_and_a_name() {
    check(
        "apiVersion: v1\nkind: ConfigMap\n---\nkind: ''\nmetadata: {name: a}",
        "error: FILE:1: ConfigMap metadata.name: missing, and every object has it\n       \
         FILE:4: object apiVersion: missing, and every object has it\n       \
         FILE:4: object kind: missing, and every object has it\n",
    );
}

#[test]
fn documents_are_objects() {
    check("foo", "error: FILE:1: an object was expected, found text\n");
    check(
        "# first\n- a\n---\n1",
        "error: FILE:2: an object was expected, found a list\n       FILE:4: an object was expected, found a number\n",
    );
}

#[test]
fn a_file_is_named_once() {
    let (_folder, path) = file("workflow.yaml", "");
    let expected = "error: FILE: the same file is named twice\n\nhint: leave it out once: all of its objects are created the \
                    first time\n";
    let name = text(&path);
    for arguments in [vec!["run", name, name], vec!["run", name, "--with", name], vec!["up", name, name]] {
        let ended = run(&[vec!["local"], arguments].concat());
        assert_eq!(ended.stderr.replace(name, "FILE"), expected);
        assert_eq!(ended.code, Some(1));
    }
}

#[test]
fn files_and_flags_are_checked() {
    let check = |arguments: &[&str], expected: &str| {
        let ended = run(arguments);
        assert!(ended.stderr.contains(expected), "{arguments:?}: {}", ended.stderr);
        assert_ne!(ended.code, Some(0), "{arguments:?}");
    };
    check(&["local", "run", "nowhere.yaml"], "error: reading nowhere.yaml: No such file or directory");
    check(&["local", "run", "a.yaml", "--timeout", "5"], "expected a whole number and a unit: 500ms, 90s, 5m, 1h");
    check(&["local", "run", "a.yaml", "--cluster", "A_B"], "cluster name \"A_B\" is not a DNS label");
    check(&["policy", "check", "nowhere.wasm"], "nowhere.wasm: no such file or folder");
    check(&["policy", "check", "Cargo.toml"], "Cargo.toml");
}

#[test]
fn without_a_cluster_it_is_said_how_to_name_one() {
    for arguments in [&["controller"][..], &["logs", "some-workflow"]] {
        let mut command = landfall(arguments);
        for variable in ["KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"] {
            command.env_remove(variable);
        }
        let output = command.env("HOME", "/nowhere").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with("error: no cluster is found: failed to read kubeconfig from "), "{stderr}");
        assert!(stderr.ends_with("\n\nhint: name a kubeconfig by --kubeconfig, or in KUBECONFIG\n"), "{stderr}");
    }
}

#[test]
fn every_help_has_examples() {
    let commands: [&[&str]; 17] = [
        &[],
        &["cluster"],
        &["cluster", "abandon"],
        &["cluster", "add"],
        &["cluster", "check"],
        &["cluster", "confirm"],
        &["cluster", "list"],
        &["cluster", "remove"],
        &["cluster", "rotate"],
        &["controller"],
        &["local"],
        &["local", "run"],
        &["local", "up"],
        &["policy"],
        &["policy", "check"],
        &["crd"],
        &["version"],
    ];
    for command in commands {
        let ended = run(&[command, &["--help"]].concat());
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert!(ended.stdout.contains("Examples:\n  landfall"), "{command:?}: {}", ended.stdout);
    }
}

#[test]
fn run_without_a_policy_does_not_begin() {
    let (_folder, path) = file("workflow.yaml", &argosay("a", "[echo]"));
    let empty = tempfile::tempdir().unwrap();
    let ended = run(&["local", "run", text(&path), "--policies", text(empty.path())]);
    assert!(ended.stderr.contains("error: no policy is in force: "), "{}", ended.stderr);
    assert!(ended.stderr.contains(text(empty.path())), "{}", ended.stderr);
    assert!(ended.stderr.contains("\nhint: "), "{}", ended.stderr);
    assert_eq!(ended.code, Some(1));
}
