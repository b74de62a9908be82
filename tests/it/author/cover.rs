//! Coverage of real modules: what of their code runs, and which settings decide anything.

use std::{env, fs, path::Path};

use landfall::{
    author::{
        build::{self, BuildError, Language},
        cover::{self, Code, rules},
        new,
        removal::Target,
        suite::Suite,
    },
    policy::{
        host::Host,
        module::{LoadError, Prepared},
    },
};

use crate::support::modules;

const ROLES: &str = "
module: builtin
namespaceRoles:
- namespace: argo
  rules:
  - clusterNames: [\"\"]
    namespaces: [argo]
  - clusterNames: [other, third]
    namespaces: [shared]
- namespace: team-a
  rules:
  - clusterNames: [default]
    namespaces: [team-a]
cases:
- name: home
  request: {workflow: argo/w, target: default/argo}
  expect: allow
- name: shared
  request: {workflow: argo/w, target: other/shared}
  expect: allow
- name: nowhere
  request: {workflow: team-b/w, target: other/shared}
  expect: {deny: namespace-has-no-entry}
";

fn suite(folder: &Path, text: &str) -> Suite {
    let file = folder.join("cases.yaml");
    fs::write(&file, text).unwrap();
    Suite::read(&file).unwrap()
}

/// A suite of `tests/guest`, which is asked with each template.
fn guest(folder: &Path, settings: &str, templates: &[&str]) -> Suite {
    fs::write(folder.join("guest.wasm"), modules::DENY_ALL).unwrap();
    let mut text =
        format!("module: guest.wasm\nsettings: {settings}\nrequest: {{workflow: a/w, target: b/c}}\ncases:\n");
    for template in templates {
        text += &format!("- {{name: {template}, request: {{template: {template}}}, expect: {{deny: x}}}}\n");
    }
    suite(folder, &text)
}

fn code(suite: &Suite, all: bool) -> Code {
    cover::code(&Host::metering().unwrap(), suite, all, &mut |_, _| {}).unwrap()
}

fn unused(suite: &Suite) -> Result<Vec<String>, LoadError> {
    let host = Host::new().unwrap();
    let prepared = Prepared::new(&host, suite.subject.bytes.clone())?;
    let target = Target { host: &host, prepared: &prepared, name: &suite.subject.name };
    let found = rules::rules(target, suite, &mut |_, _| {})?;
    let shown = |unused: &rules::Unused| format!("{} {}", unused.line.unwrap(), unused.path);
    Ok(found.unused.iter().map(shown).collect())
}

#[test]
fn rules_that_no_case_depends_on_are_found_with_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(unused(&suite(folder.path(), ROLES)).unwrap(), ["8 roles[0].rules[1].clusterNames[1]", "10 roles[1]"]);
    let asked = ROLES.to_owned()
        + "- name: at home\n  request: {workflow: team-a/w, target: default/team-a}\n  expect: allow\n"
        + "- name: third\n  request: {workflow: argo/w, target: third/shared}\n  expect: allow\n";
    assert_eq!(unused(&suite(folder.path(), &asked)).unwrap(), [""; 0]);
}

#[test]
fn settings_of_a_single_case_are_found_in_that_case() {
    let folder = tempfile::tempdir().unwrap();
    let text = ROLES.to_owned()
        + "- name: alone\n  settings:\n    roles:\n    - namespace: x\n      rules: []\n  request: {workflow: y/w, target: default/y}\n  expect: {deny: namespace-has-no-entry}\n";
    let unused = unused(&suite(folder.path(), &text)).unwrap();
    assert_eq!(unused, ["8 roles[0].rules[1].clusterNames[1]", "10 roles[1]", "27 roles[0]"]);
}

/// More questions never cover less, and the branches of what isn't asked are missed.
#[test]
fn code_is_covered_by_what_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut asked = vec!["other"];
    let mut before = code(&guest(folder.path(), "{}", &asked), true);
    for template in ["bad-code", "pod", "count"] {
        asked.push(template);
        let now = code(&guest(folder.path(), "{}", &asked), true);
        assert_eq!(now.failed, [""; 0]);
        assert_eq!(now.answered, asked.len());
        assert_eq!(now.branches.total, before.branches.total);
        assert!(now.branches.hit > before.branches.hit, "{template}: {:?} after {:?}", now.branches, before.branches);
        before = now;
    }
    assert!(before.branches.hit < before.branches.total);
}

/// What a decision did before it trapped, or was stopped, is seen all the same.
#[test]
fn code_of_decisions_that_fail_counts() {
    let folder = tempfile::tempdir().unwrap();
    let without = code(&guest(folder.path(), "{}", &["other"]), true);
    let with = code(&guest(folder.path(), "{}", &["other", "recurse", "trap"]), true);
    assert_eq!(with.failed, ["recurse", "trap"]);
    assert_eq!(with.answered, 1);
    assert!(with.functions.hit > without.functions.hit, "{:?} after {:?}", with.functions, without.functions);
}

/// JavaScript's tools make components within components.
#[test]
fn nested_components_are_looked_into() {
    let folder = tempfile::tempdir().unwrap();
    let flat = guest(folder.path(), "{}", &["other", "count"]);
    let mut nested = flat.clone();
    nested.subject.bytes = modules::nested().into();
    let (flat, nested) = (code(&flat, true), code(&nested, true));
    assert!(flat.functions.hit > 0);
    assert_eq!((nested.functions, nested.branches), (flat.functions, flat.branches));
}

/// Whether what is missing may be: where CI runs all is there.
fn is_skipped(found: Result<(), BuildError>) -> bool {
    match found {
        Ok(()) => false,
        Err(error) if env::var_os("CI").is_none() => {
            eprintln!("skipped: {error}");
            true
        }
        Err(error) => panic!("{error}"),
    }
}

/// What `landfall policy build` makes has no names in it: the crate is built anew.
#[test]
fn the_code_of_a_crate_is_its_own() {
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/images");
    if is_skipped(build::toolchain(&policy, Language::Rust)) {
        return;
    }
    let mut suite = Suite::read(&policy).unwrap();
    let all = code(&suite, false);
    assert_eq!((&all.unmeasured, all.named, all.lines), (&None, true, true));
    assert!(all.how.starts_with("the crate's own code"), "{}", all.how);
    assert!((20..100).contains(&all.functions.total) && all.library_functions > 100, "{:?}", all.functions);
    assert!(all.functions.percent() > 80.0, "{:?}", all.functions);
    for function in &all.missed {
        let place = function.place.as_ref().unwrap();
        assert!(place.file.starts_with("src/") && function.name.contains("landfall_policy_images"), "{function:?}");
    }
    // The first case is allowed: no image has to be shown.
    suite.questions.truncate(1);
    suite.refusals.clear();
    let one = code(&suite, false);
    assert_eq!((one.functions.total, one.branches.total), (all.functions.total, all.branches.total));
    assert!(one.functions.hit < all.functions.hit && one.branches.hit < all.branches.hit);
    let never_ran = |code: &Code, name: &str| {
        let function = code.missed.iter().find(|function| function.name.ends_with(name));
        function.is_some_and(|function| !function.ran && function.place.as_ref().unwrap().file == "src/reference.rs")
    };
    assert!(
        never_ran(&one, "Reference as core::fmt::Display>::fmt")
            && !never_ran(&all, "Reference as core::fmt::Display>::fmt"),
        "{:?}",
        one.missed
    );
}

/// The template's module, of which one case asks only for what is allowed.
fn script(language: Language, allowed_only: bool) -> Option<Code> {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("script");
    new::create(&folder, language).unwrap();
    if is_skipped(build::entry(&folder, language).map(drop)) {
        return None;
    }
    // The component is not what is looked at.
    fs::write(folder.join("script.wasm"), modules::DENY_ALL).unwrap();
    let mut suite = Suite::read(&folder).unwrap();
    if allowed_only {
        suite.questions.truncate(1);
    }
    Some(code(&suite, false))
}

#[test]
fn scripts_are_measured_by_their_own_lines() {
    let check = |language, missed: &str, file: &str| {
        let (Some(all), Some(one)) = (script(language, false), script(language, true)) else { return };
        assert_eq!((all.failed.as_slice(), all.missed_lines.as_slice()), (&[][..], &[][..]), "{language}");
        assert_eq!(all.share().percent(), 100.0, "{language}");
        assert!(one.source_lines.hit < one.source_lines.total, "{language}");
        let lines: Vec<_> =
            one.missed_lines.iter().map(|lines| format!("{}:{}-{}", lines.file, lines.from, lines.to)).collect();
        assert_eq!(lines.last().map(String::as_str), Some(missed), "{language}: {lines:?}");
        assert!(one.missed_lines.iter().all(|lines| lines.file == file), "{lines:?}");
        assert!(one.how.contains("in place of the component"), "{}", one.how);
    };
    check(Language::JavaScript, "policy.js:15-17", "policy.js");
    check(Language::Python, "policy.py:20-20", "policy.py");
}

#[test]
fn what_can_not_be_told_apart_is_not_measured() {
    let folder = tempfile::tempdir().unwrap();
    let found = code(&guest(folder.path(), "{}", &["other"]), false);
    let unmeasured = found.unmeasured.unwrap();
    assert!(unmeasured.reason.contains("no names") && unmeasured.hint.contains("--all"), "{unmeasured:?}");
    assert_eq!((found.functions.total, found.branches.total), (0, 0));
}
