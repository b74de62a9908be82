//! `landfall policy test`, `run` and `explain`: screens, exit statuses, and what is said of bad input.

use std::fs;

use serde_json::{Value, json};

use crate::{
    cli::binary::{Ended, run, text},
    golden,
};

/// A suite of the built-in module in which everything is wrong that can be.
const SUITE: &str = r#"module: builtin
namespaceRoles: |
  - namespace: argo
    rules:
      - clusterNames: [default, other]
        namespaces: [argo]
request: {workflow: argo/my-workflow, target: default/argo}
cases:
  - name: at home
    expect: allow
  - name: of another
    request: {target: other/team-a}
    expect: {deny: no-rule, reason: 'allowed there: namespaces "argo"'}
  - name: wrongly expected
    request: {target: other/team-a}
    expect: allow
  - name: wrong code
    request: {workflow: team-a/b}
    expect: {deny: no-rule}
  - name: wrong reason
    request: {workflow: team-a/b}
    expect: {deny: namespace-has-no-entry, reason: team-b}
  - name: no such settings
    settings: {rolez: []}
    expect: allow
refused:
  - {name: misspelt, settings: {rolez: []}, message: rolez}
  - {name: not misspelt, settings: {roles: []}}
  - {name: in other words, settings: 1, message: rolez}
matrices:
  - name: tenants
    namespaces: [argo, team-a]
    clusters: [default, other]
    allow: [argo -> */argo, team-a -> default/team-a]
"#;

/// A folder `suite` in a folder of its own, in which the program is run.
fn in_folder(suite: &str, calls: &[&[&str]]) -> Vec<Ended> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("suite")).unwrap();
    fs::write(folder.path().join("suite/cases.yaml"), suite).unwrap();
    let call = |arguments: &&[&str]| {
        let mut command = crate::cli::binary::landfall(arguments);
        let output = command.current_dir(folder.path()).output().unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    };
    calls.iter().map(call).collect()
}

/// Without what differs from run to run: times, and digests that a new build of a module changes.
fn without_times(text: &str) -> String {
    let mut shown = String::new();
    let mut before = "";
    for word in text.split_inclusive([' ', '\n']) {
        let bare = word.trim_end_matches([' ', '\n', ',']);
        let is_time = bare.parse::<f64>().is_ok() && {
            let rest = &text[word.as_ptr() as usize - text.as_ptr() as usize + word.len()..];
            ["µs", "ms", "s\n", "s,"].iter().any(|unit| rest.starts_with(unit))
        };
        let is_digest = bare.len() == 12 && bare.chars().all(|c| c.is_ascii_hexdigit()) && before.trim().is_empty();
        if let Some(("request-time", time)) = bare.split_once('=') {
            shown += &word.replace(time, "NOW");
        } else if is_time || is_digest {
            shown += &word.replace(bare, "N");
        } else if ["µs", "ms", "s"].contains(&bare) && before == "N " {
            shown += &word.replace(bare, "time");
        } else {
            shown += word;
        }
        before = if is_time { "N " } else { word.trim_start_matches(|c: char| !c.is_whitespace()) };
    }
    shown
}

#[test]
fn what_is_not_as_expected_is_shown_at_its_line() {
    let ended = &in_folder(SUITE, &[&["policy", "test"]])[0];
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""));
    golden::check("tests/cli/policy-test-failed.txt", &without_times(&ended.stdout));
}

#[test]
fn mistakes_in_a_suite_are_shown_at_their_lines() {
    let suite = "module: builtin\nsetings: {}\ncases:\n  - name: one\n    request: {target: home}\n    expect: deni\n";
    let ended = &in_folder(suite, &[&["policy", "test", "suite"]])[0];
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""));
    golden::check("tests/cli/policy-test-mistakes.txt", &ended.stdout);
}

#[test]
fn a_snapshot_is_written_and_compared_word_for_word() {
    let suite = "module: builtin\ncases:\n  - {name: one, request: {workflow: a, target: b/a}, expect: deny}\n";
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cases.yaml"), suite).unwrap();
    let path = text(folder.path());
    let ended = run(&["policy", "test", path, "--update"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    let snapshot = folder.path().join("cases.snapshot");
    let written = fs::read_to_string(&snapshot).unwrap();
    assert!(written.starts_with("one => deny not-at-home: namespaceRoles is not set: "), "{written}");
    assert_eq!(run(&["policy", "test", path]).code, Some(0));
    fs::write(&snapshot, "one => allow\n").unwrap();
    let ended = run(&["policy", "test", path]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("\n- one => allow\n+ one => deny not-at-home: "), "{}", ended.stdout);
}

#[test]
fn results_are_had_as_json_and_junit() {
    let calls: &[&[&str]] = &[
        &["policy", "test", "suite", "-o", "json", "--junit", "report.xml", "--filter", "wrong"],
        &["policy", "test", "suite", "--filter", "at home"],
        &["policy", "test", "suite", "--update", "--filter", "x"],
        &["policy", "test", "nowhere"],
    ];
    let ended = in_folder(SUITE, calls);
    let results = ended[0].json();
    assert_eq!((ended[0].code, &results["ok"]), (Some(1), &Value::Bool(false)));
    let questions = results["suites"][0]["questions"].as_array().unwrap();
    let shown: Vec<_> = questions
        .iter()
        .map(|question| format!("{} {} {}", question["name"], question["verdict"], question["problem"]["kind"]))
        .collect();
    assert_eq!(
        shown,
        [
            r#""wrongly expected" "deny" "notAllowed""#,
            r#""wrong code" "deny" "otherCode""#,
            r#""wrong reason" "deny" "otherReason""#
        ]
    );
    let codes: Vec<_> = ended.iter().map(|ended| ended.code).collect();
    assert_eq!(codes, [Some(1), Some(0), Some(2), Some(1)]);
    assert!(ended[3].stderr.starts_with("error: nowhere: "), "{}", ended[3].stderr);
}

#[test]
fn every_pod_of_a_workflow_is_asked_for() {
    let file = "manifests/examples/multi-cluster-denied.yaml";
    let ended = run(&["policy", "run", file]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""));
    golden::check("tests/cli/policy-run-denied.txt", &ended.stdout);
    let ended = run(&["policy", "run", file, "-o", "json"]);
    let decisions = ended.json();
    assert_eq!(decisions["decisions"][1]["request"]["serviceAccount"], "workflow");
    assert_eq!(decisions["decisions"][1]["verdict"]["deny"]["code"], "no-rule");
    assert_eq!(run(&["policy", "run", "manifests/examples/multi-cluster.yaml"]).code, Some(0));
    // What the controller would read off the target's namespace is given by flags.
    let fact = "target-label:policy.landfall.dev/tier=gold";
    let ended = run(&["policy", "run", file, "-o", "json", "--attribute", fact, "--attribute", "request-time=now"]);
    for decision in ended.json()["decisions"].as_array().unwrap() {
        let expected = json!([["target-label:policy.landfall.dev/tier", "gold"], ["request-time", "now"]]);
        assert_eq!(decision["request"]["attributes"], expected);
    }
}

#[test]
fn one_request_comes_from_flags_or_a_file() {
    let flags = ["policy", "run", "builtin", "--workflow", "argo/w", "--target"];
    let ended = run(&[flags.as_slice(), &["default/argo"]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    golden::check("tests/cli/policy-run-allowed.txt", &ended.stdout);
    let (_folder, file) = crate::cli::binary::file("request.yaml", "workflow: argo/w\ntarget: other/argo\n");
    let ended = run(&["policy", "run", "builtin", "--request", text(&file)]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("deny not-at-home"), "{}", ended.stdout);
    // Flags have the last word.
    let ended = run(&["policy", "run", "builtin", "--request", text(&file), "--target", "default/argo"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
}

#[test]
fn a_request_says_what_it_lacks() {
    let check = |arguments: &[&str], code: i32, expected: &str| {
        let ended = run(&[["policy", "run"].as_slice(), arguments].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""));
        assert!(ended.stderr.starts_with(expected), "{}", ended.stderr);
    };
    check(&["builtin"], 1, "error: the request has neither \"workflow\"");
    check(&["builtin", "--target", "other"], 2, "error: invalid value 'other' for '--target <CLUSTER/NAMESPACE>'");
    check(&["no.wasm"], 1, "error: no.wasm: no such file or folder\n\nhint: ");
    check(&["builtin", "--config", "x"], 1, "error: --config and --policies name a chain of modules");
    check(&["Cargo.toml"], 1, "error: Cargo.toml: not a .wasm file\n\nhint: ");
}

#[test]
fn a_decision_is_explained_down_to_the_setting() {
    let ended = run(&["policy", "explain", "manifests/examples/multi-cluster-denied.yaml"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    golden::check("tests/cli/policy-explain-denied.txt", &without_times(&ended.stdout));
    let calls: &[&[&str]] =
        &[&["policy", "explain", "suite", "--case", "at home"], &["policy", "explain", "suite", "--case", "at hom"]];
    let ended = in_folder(SUITE, calls);
    assert_eq!(ended[0].code, Some(0), "{}", ended[0].stderr);
    golden::check("tests/cli/policy-explain-allowed.txt", &without_times(&ended[0].stdout));
    assert_eq!(
        ended[1].stderr,
        "error: suite/cases.yaml: there is no case \"at hom\"\n\nhint: did you mean \"at home\"?\n"
    );
    let ended = &in_folder(SUITE, &[&["policy", "explain", "suite", "--case", "?"]])[0];
    let expected = "error: suite/cases.yaml: there is no case \"?\"\n\nhint: there are: \"at home\", \"of another\", ";
    assert!(ended.stderr.starts_with(expected), "{}", ended.stderr);
}

#[test]
fn every_policy_has_a_suite_and_passes_it() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut folders = Vec::new();
    for entry in fs::read_dir(&root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.join(format!("{name}.wasm")).exists() {
            assert!(path.join("cases.yaml").exists(), "policies/{name} has a component and no cases.yaml");
            folders.push(format!("policies/{name}"));
        }
    }
    folders.sort();
    let arguments: Vec<_> = ["policy", "test"].into_iter().chain(folders.iter().map(String::as_str)).collect();
    let ended = run(&arguments);
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
}

#[test]
fn what_has_no_suite_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    let suite = "module: builtin\ncases: [{name: one, request: {workflow: a/b, target: c/d}, expect: deny}]\n";
    write("good/cases.yaml", suite);
    write("templates/cases.yaml", &suite.replace("module: builtin\n", ""));
    write("sdk/README.md", "");
    write("README.md", "");
    write("garbage.wasm", "garbage\n");
    let check = |arguments: &str, code: i32, out: &str, error: &str| {
        let words: Vec<&str> = ["policy"].into_iter().chain(arguments.split(' ')).collect();
        let output = crate::cli::binary::landfall(&words).current_dir(folder.path()).output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(code), "{arguments}\n{stdout}{stderr}");
        assert!(without_times(&stdout).ends_with(out) && stderr == error, "{arguments}\n{stdout}{stderr}");
    };
    let left_out = "README.md: left out, there is no cases.yaml\nsdk: left out, there is no cases.yaml\n\
                    templates: left out, there is neither a module nor sources of one\n";
    check("test README.md good sdk templates", 0, "ok: 1 suite, 1 question, N time\n", left_out);
    check("test .", 0, "ok: 1 suite, 1 question, N time\n", "");
    check("test templates", 1, "failed: 0 of 0 questions not as expected, 1 of 1 suite not good\n", "");
    check(
        "test README.md",
        1,
        "",
        "error: README.md: not a suite\n\nhint: name a policy folder, or a suite: a file of YAML such as cases.yaml\n",
    );
    check(
        "test sdk",
        1,
        "",
        "error: sdk: there is no cases.yaml\n\nhint: name a policy folder, or make one: landfall policy new my-policy --lang rust\n",
    );
    check(
        "test garbage.wasm",
        1,
        "",
        "error: garbage.wasm: a module alone has no suite\n\nhint: write a suite that begins with `module: garbage.wasm`, and name its file\n",
    );
    check(
        "test builtin",
        1,
        "",
        "error: builtin: the built-in module has no suite of its own on this machine\n\nhint: write one that begins with `module: builtin`, and name its file\n",
    );
    check("test good --filter one", 0, "ok: 1 suite, 1 question, N time\n", "");
    check(
        "test good --filter two",
        1,
        "",
        "error: no case has \"two\" in its name\n\nhint: good/cases.yaml has: \"one\"\n",
    );
    let garbage = "error: garbage.wasm: not a WebAssembly component: the file begins with \"garbage\\n\"\n\n\
                   hint: only binary components are read; text (.wat) and precompiled modules (.cwasm) are not\n";
    check("cover garbage.wasm", 1, "", garbage);
    check("check garbage.wasm", 1, "", garbage);
    check("check bultin", 1, "", "error: bultin: no such file or folder\n\nhint: did you mean `builtin`?\n");
}

#[test]
fn new_folders_have_names_of_modules() {
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("my-own");
    fs::create_dir(&named).unwrap();
    let check = |at: &std::path::Path, name: &str, code: i32, expected: &str| {
        let arguments = ["policy", "new", name, "--lang", "js"];
        let output = crate::cli::binary::landfall(&arguments).current_dir(at).output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
        assert!(format!("{stdout}{stderr}").starts_with(expected), "{stdout}{stderr}");
    };
    check(&named, ".", 0, "a policy module in JavaScript: .\n");
    assert!(fs::read_to_string(named.join("README.md")).unwrap().starts_with("# my-own\n"));
    let full =
        "there is something in it already\n\nhint: name the new module: landfall policy new only-signed-images\n";
    check(&named, ".", 1, &format!("error: .: {full}"));
    check(&named, "/", 1, &format!("error: /: {full}"));
    check(
        folder.path(),
        "my-own",
        1,
        "error: my-own: there is something in it already\n\nhint: name a folder that doesn't exist yet",
    );
    check(
        folder.path(),
        "My_Own",
        1,
        "error: \"My_Own\" can't be the name of a module: it doesn't begin with a small letter\n\nhint: how about \"my-own\"?\n",
    );
    check(
        folder.path(),
        "builtin",
        1,
        "error: \"builtin\" can't be the name of a module: it stands for something else in decisions\n\nhint: begin",
    );
}
