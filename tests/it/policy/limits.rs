//! Limits that are set in the configuration: they hold in both directions, for one module or for all.

use std::fs;

use landfall::policy::{Policies, config::Config, decision::Verdict, request::Request};

use crate::{
    policy::support::{next, of_folder, request},
    support::modules,
};

/// What a chain with these limits says to a request with this template, or why it is not in force.
fn said(limits: &str, settings: &str, template: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("site.wasm"), modules::DENY_ALL).unwrap();
    let chain = format!("{limits}\nmodules: [{{file: site.wasm, settings: {settings}}}]");
    let policies = of_folder(folder.path(), &chain);
    if let Some(refusal) = policies.state().refusal {
        return refusal.reason.split_once(": ").unwrap().1.to_owned();
    }
    answer(&policies, template)
}

fn answer(policies: &Policies, template: &str) -> String {
    let asked = Request { template: template.to_owned(), ..request("argo", "default/argo") };
    let Verdict::Deny { reason, .. } = policies.decide_blocking(&asked).verdict else { panic!("allowed") };
    reason
}

#[test]
fn each_limit_is_settable_downwards_and_upwards() {
    let check = |limits: &str, settings: &str, template: &str, expected: &str| {
        assert_eq!(said(&format!("limits: {{{limits}}}"), settings, template), expected, "{limits}");
    };
    let time = |limit: u64| format!("the module used more than {limit} ms of processor time");
    check("decisionMilliseconds: 1", "[]", "loop", &time(1));
    check("decisionMilliseconds: 40", "[]", "loop", &time(40));
    let configure = |limit: u64| format!("configure: {}", time(limit));
    check("configureMilliseconds: 10", "[loop]", "other", &configure(10));
    check("configureMilliseconds: 2500", "[loop]", "other", &configure(2500));
    let memory = |limit: u64| format!("the module wanted more than {limit} MiB of memory");
    check("memoryMebibytes: 3, decisionMilliseconds: 1000", "[]", "memory", &memory(3));
    check("memoryMebibytes: 64, decisionMilliseconds: 1000", "[]", "memory", &memory(64));
    check("memoryMebibytes: 3", "[memory]", "other", &format!("configure: {}", memory(3)));
    // What the module has from the start is already more.
    check("memoryMebibytes: 1", "[]", "other", &format!("configure: {}", memory(1)));
    let result = |limit: u64| format!("the module's answer is longer than {limit} KiB");
    check("resultKibibytes: 8", "[]", "long", &result(8));
    check("resultKibibytes: 1024", "[]", "long", &result(1024));
    check("resultKibibytes: 8", "[]", "other", "this module denies everything");
    // That one is the engine's.
    check("memoryMebibytes: 64", "[]", "recurse", "the module's calls need more than 256 KiB of stack");
}

#[test]
fn a_modules_own_limits_take_the_place_of_all_others() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.wasm", "b.wasm"] {
        fs::write(folder.path().join(name), modules::DENY_ALL).unwrap();
    }
    let chain = "
builtin: false
limits: {decisionMilliseconds: 200, memoryMebibytes: 4}
modules:
- {file: a.wasm, limits: {decisionMilliseconds: 300}}
- {file: b.wasm, mode: shadow}
";
    let policies = of_folder(folder.path(), chain);
    let mut records = policies.subscribe_records();
    let mut check = |template: &str, expected: [&str; 2]| {
        answer(&policies, template);
        let record = next(&mut records);
        let said = record.modules.iter().map(|module| serde_json::to_value(module).unwrap()["reason"].clone());
        assert_eq!(said.collect::<Vec<_>>(), expected);
    };
    check(
        "loop",
        [300, 200]
            .map(|limit| format!("the module used more than {limit} ms of processor time"))
            .each_ref()
            .map(String::as_str),
    );
    check("memory", ["the module wanted more than 4 MiB of memory"; 2]);
}

#[test]
fn a_module_that_needs_more_than_the_engine_has_is_refused() {
    let refused = |bytes: Vec<u8>| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("site.wasm"), bytes).unwrap();
        of_folder(folder.path(), "").state().refusal.unwrap().reason
    };
    // 65 MiB from the start; and more memories, tables and core modules than a component may have.
    let told = refused(modules::with_memories(1, 65 * 16));
    assert!(told.contains("invalid component: ") && told.contains("memory"), "{told}");
    let told = refused(modules::with_memories(9, 1));
    assert!(told.contains("invalid component: ") && told.contains('9') && told.contains('8'), "{told}");
}

#[test]
fn limits_out_of_bounds_are_refused_with_the_bounds() {
    let check = |limits: &str, expected: &str| {
        let told = Config::parse(None, Some(&format!("limits: {{{limits}}}"))).unwrap_err().to_string();
        assert_eq!(told, format!("policies line 1: limits.{expected}"), "{limits}");
    };
    for (key, least, most) in [
        ("decisionMilliseconds", 1, 1000),
        ("configureMilliseconds", 10, 10_000),
        ("memoryMebibytes", 1, 64),
        ("resultKibibytes", 8, 1024),
    ] {
        let expected = |found: &str| format!("{key}: expected a whole number from {least} to {most}, found {found}");
        for wrong in [least - 1, most + 1] {
            check(&format!("{key}: {wrong}"), &expected(&wrong.to_string()));
        }
        for (wrong, found) in [("-1", "-1"), ("2.5", "2.5"), ("10ms", "text"), ("", "nothing"), ("[1]", "a list")] {
            check(&format!("{key}: {wrong}"), &expected(found));
        }
        for right in [least, most] {
            Config::parse(None, Some(&format!("limits: {{{key}: {right}}}"))).unwrap();
        }
    }
    check("decisionMiliseconds: 10", "decisionMiliseconds: unknown field, did you mean \"decisionMilliseconds\"?");
    let told = Config::parse(None, Some("modules: [{file: a.wasm, limits: {memoryMebibytes: 65}}]")).unwrap_err();
    assert_eq!(
        told.to_string(),
        "policies line 1: modules[0].limits.memoryMebibytes: expected a whole number from 1 to 64, found 65"
    );
}
