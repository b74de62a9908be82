//! Two versions of a policy, compared; and recorded decisions, made again.

use std::fs;

use crate::{
    cli::binary::{file, run, text},
    support::modules,
};

const OLD: &str = "
roles:
- {namespace: argo, rules: [{clusterNames: [default], namespaces: [argo]}, {clusterNames: [other], namespaces: [shared]}]}
- {namespace: team-a, rules: [{clusterNames: [''], namespaces: [team-a]}]}
";
const NEW: &str = "
roles:
- {namespace: argo, rules: [{clusterNames: [default], namespaces: [argo]}, {clusterNames: [other], namespaces: ['']}]}
- {namespace: team-b, rules: []}
";

#[test]
fn what_was_loosened_comes_first_with_the_smallest_example() {
    let (_old_folder, old) = file("old.yaml", OLD);
    let (_new_folder, new) = file("new.yaml", NEW);
    let diff = |flags: &[&str]| {
        let settings = ["--old-settings", text(&old), "--new-settings", text(&new), "--generated", "400"];
        run(&[&["policy", "diff", "builtin", "builtin"][..], &settings, flags].concat())
    };
    let ended = diff(&[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""));
    crate::golden::check("tests/cli/policy-diff.txt", &ended.stdout);
    let json = diff(&["-o", "json", "--fail-on", "never"]);
    assert_eq!(json.code, Some(0));
    assert_eq!(json.stdout, diff(&["-o", "json"]).stdout);
    assert_eq!(json.json()["changes"][0]["kind"], "loosened");
    assert!(json.json()["loosened"].as_u64() > Some(0));

    let same = run(&["policy", "diff", "builtin", "builtin", "--settings", text(&old), "--fail-on", "loosened"]);
    assert_eq!(same.code, Some(0));
    assert!(same.stdout.starts_with("2000 requests asked: 0 loosened, 0 failed, 0 tightened"), "{}", same.stdout);
    let missing = run(&["policy", "diff", "builtin"]);
    assert_eq!(missing.code, Some(2));
}

#[test]
fn records_of_a_run_are_the_same_when_they_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("decisions.jsonl");
    let example = "manifests/examples/multi-cluster.yaml";
    let ended = run(&["local", "run", example, "--decision-records", text(&records)]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let replay = |flags: &[&str]| run(&[&["policy", "replay", text(&records)][..], flags].concat());
    let ended = replay(&["--config", example]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.ends_with("answers compared: 0 different, 0 lines malformed\n"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("note:"), "{}", ended.stdout);

    // The same requests, put to another policy, are no reason to fail unless something is allowed that was denied.
    let (_settings_folder, strict) = file("strict.yaml", "roles: []\n");
    let (_other_folder, loose) = file("loose.yaml", OLD);
    let mut diff = vec!["policy", "diff", "builtin", "builtin", "--generated", "0", "--fail-on", "loosened"];
    diff.extend(["--records", text(&records), "--old-settings", text(&loose), "--new-settings", text(&strict)]);
    let ended = run(&diff);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("decisions.jsonl:"), "{}", ended.stdout);

    // Another set decides: nothing is compared, and it is said which one decided.
    let ended = replay(&["--module", "builtin"]);
    assert_eq!(ended.code, Some(1));
    for part in
        ["were decided by another set: ", "builtin decided with other settings", "error: nothing could be compared"]
    {
        assert!(ended.stdout.contains(part), "{part:?} is not in {}", ended.stdout);
    }

    let lines = fs::read_to_string(&records).unwrap();
    let denial = r#""verdict":"deny","code":"no-rule","reason":"no""#;
    fs::write(&records, format!("{}{{\"id\":1}}\n\nnonsense\n", lines.replacen(r#""verdict":"allow""#, denial, 1)))
        .unwrap();
    let ended = replay(&["--config", example]);
    assert_eq!(ended.code, Some(1));
    for part in [
        "decides differently: pod of template",
        "  recorded: deny no-rule: no\n  now:      allow\n",
        "not a decision record: ",
    ] {
        assert!(ended.stdout.contains(part), "{part:?} is not in {}", ended.stdout);
    }
    let json = replay(&["--config", example, "-o", "json"]).json();
    assert_eq!((json["different"].as_u64(), json["malformed"].as_u64()), (Some(1), Some(2)), "{json:#}");
}

/// Records of a run hold neither the settings that the modules had nor the pods that they looked at.
#[test]
fn what_a_module_cannot_be_asked_about_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("decisions.jsonl");
    let example = "manifests/examples/multi-cluster.yaml";
    let ended = run(&["local", "run", example, "--decision-records", text(&records)]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let count = fs::read_to_string(&records).unwrap().lines().count();
    let (_settings_folder, settings) = file(
        "images.yaml",
        "rules: [{targets: ['*/*'], images: ['**']}, {targets: ['@home/*'], images: [docker.io/library/a]}]\n",
    );
    let diff = |one: &str, other: &str, flags: &[&str]| {
        run(&[&["policy", "diff", one, other, "--records", text(&records)][..], flags].concat())
    };
    let images = "policies/images";

    let ended = diff(images, images, &["--settings", text(&settings), "--generated", "20"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let note =
        format!("note: {count} recorded requests were not asked: images decides by the pod, and records hold none\n");
    assert!(ended.stdout.contains(&note), "{}", ended.stdout);
    let json = diff(images, images, &["--settings", text(&settings), "--generated", "20", "-o", "json"]).json();
    let left_out = &json["notAsked"][0];
    assert_eq!(
        (&left_out["source"], &left_out["why"], left_out["count"].as_u64()),
        (&"record".into(), &"noPod".into(), Some(count as u64))
    );

    // With nothing else to ask, there is no comparison.
    let none = folder.path().join("deny.wasm");
    fs::write(&none, modules::DENY_ALL).unwrap();
    let (_suite_folder, suite) = file("cases.yaml", "module: builtin\nrefused: [{name: one, settings: {a: 1}}]\n");
    let alone = ["--generated", "0", "--suite", text(&suite)];
    let ended = diff(text(&none), images, &[&alone[..], &["--settings", text(&settings)]].concat());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);

    // Both want settings, and are not the same for it.
    let ended = diff(images, images, &["--generated", "20", "--suite", text(&suite)]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let missing = "refuses its settings: missing field `rules`";
    let expected = format!(
        "error: both refuse to be without settings, and records hold none: old: {missing}; new: {missing}\n\nhint: name settings"
    );
    assert!(ended.stderr.starts_with(&expected), "{}", ended.stderr);
}
