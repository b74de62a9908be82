//! Coverage of real modules: what of their code runs, and which settings decide anything.

use std::{fs, path::Path};

use landfall::{
    author::{
        cover::{self, Code, rules},
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
