//! The chain: its order, the settings of each module, and which files may be in it.

use std::{fs, path::Path};

use landfall::policy::{Policies, config::Config, decision::Answer, digest::Digest, request::Request, store::BUILTIN};
use tempfile::TempDir;

use crate::{
    policy::support::{ask, of_folder, request, told, wait},
    support::modules,
};

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn configure(policies: &Policies, chain: &str) {
    policies.configure(Config::parse(None, Some(chain)).unwrap().0);
}

/// Why a policy of this folder and chain never comes into force, with the hint.
fn refusal(folder: &Path, chain: &str) -> String {
    let state = of_folder(folder, chain).state();
    assert!(!state.is_ready(), "{chain}");
    let refusal = state.refusal.unwrap();
    let told = refusal.reason.replace(&folder.display().to_string(), "POLICIES");
    let file = refusal.file.unwrap();
    assert!(told.contains(file.file_name().unwrap().to_str().unwrap()), "{told}");
    format!("{told}; hint: {}", refusal.hint.unwrap_or_default())
}

#[test]
fn modules_are_asked_in_order_until_one_objects() {
    let folder = folder(&[("a.wasm", modules::DENY_ALL), ("b.wasm", modules::DENY_ALL), ("c.wasm", modules::DENY_ALL)]);
    let policies = of_folder(folder.path(), "modules: []");
    let mut records = policies.subscribe_records();
    let mut check = |chain: &str, generation: u64, decided: &str, asked: &str| {
        configure(&policies, chain);
        wait(&policies, |state| state.generation == generation);
        assert_eq!(ask(&policies, "other"), format!("{decided} {generation}"), "{chain}");
        let said = records.try_recv().unwrap().modules.clone();
        let said = said.iter().map(|module| match &module.answer {
            Answer::Allow => format!("{} allow", module.name),
            Answer::Deny { code, .. } | Answer::Failed { code, .. } => format!("{} {code}", module.name),
        });
        assert_eq!(said.collect::<Vec<_>>().join(", "), asked, "{chain}");
    };
    let allow = |file: &str| format!("{{file: {file}, settings: [allow]}}");
    let [a, b, c] = ["a.wasm", "b.wasm", "c.wasm"].map(allow);
    let chain = |modules: &[&str]| format!("modules: [{}]", modules.join(", "));
    check(&chain(&[&a, &b, &c]), 2, "builtin+a+b+c allow", "builtin allow, a allow, b allow, c allow");
    check(&chain(&[&a, "{file: b.wasm}", &c]), 3, "b deny-all", "builtin allow, a allow, b deny-all");
    check(&chain(&[&c, &a]), 4, "builtin+c+a allow", "builtin allow, c allow, a allow");
    check("builtin: false\nmodules: [{file: c.wasm}, {file: a.wasm}]", 5, "c deny-all", "c deny-all");
    // The built-in one, as a file, is a module like any other.
    fs::write(folder.path().join("d.wasm"), BUILTIN).unwrap();
    let settings = "{roles: [{namespace: argo, rules: []}]}";
    let yaml = format!("builtin: false\nmodules: [{a}, {{file: d.wasm, settings: {settings}}}]");
    check(&yaml, 6, "d no-rule", "a allow, d no-rule");
}

#[test]
fn settings_reach_the_module_as_json() {
    let folder = folder(&[("a.wasm", BUILTIN)]);
    let check = |settings: &str, expected: &str| {
        let chain = format!("builtin: false\nmodules:\n- file: a.wasm\n  settings: {settings}\n");
        let policies = of_folder(folder.path(), &chain);
        assert_eq!(ask(&policies, "other"), format!("a {expected} 1"), "{settings}");
    };
    check("{roles: null}", "allow");
    check("{\"roles\": [{\"namespace\": \"\", \"rules\": []}]}", "no-rule");
    check(
        "\n    roles:\n    - namespace: argo\n      rules:\n      - clusterNames: ['']\n        namespaces: [argo]",
        "allow",
    );
    let refused = "builtin: false\nmodules: [{file: a.wasm, settings: {rolez: []}}]";
    let told = refusal(folder.path(), refused);
    assert!(told.starts_with("policy module \"a\" (POLICIES/a.wasm): refuses its settings: "), "{told}");
    assert!(told.contains("rolez"), "{told}");
}

#[test]
fn only_the_pinned_file_is_taken() {
    let folder = folder(&[("a.wasm", modules::DENY_ALL)]);
    let (found, other) = (Digest::of(modules::DENY_ALL), Digest::of(BUILTIN));
    let chain = |pin: &str| format!("modules: [{{file: a.wasm, sha256: '{pin}'}}]");
    for pin in [found.to_string(), format!("sha256:{found}"), found.as_str().to_uppercase()] {
        assert_eq!(ask(&of_folder(folder.path(), &chain(&pin)), "other"), "a deny-all 1");
    }
    assert_eq!(
        refusal(folder.path(), &chain(other.as_str())),
        format!(
            "POLICIES/a.wasm: its SHA-256 digest is {found}, and the configuration pins {other}; \
             hint: put the pinned file back; or, if the new one is meant, pin it: sha256: {found}"
        )
    );
}

#[test]
fn a_file_that_is_not_the_pinned_one_leaves_the_set_that_is_in_force() {
    let folder = folder(&[("a.wasm", modules::DENY_ALL), ("b.wasm", BUILTIN)]);
    let chain = |settings: &str| {
        let pin = Digest::of(modules::DENY_ALL);
        format!("modules: [{{file: a.wasm, sha256: {pin}, settings: {settings}}}, {{file: b.wasm}}]")
    };
    let policies = of_folder(folder.path(), &chain("[]"));
    assert_eq!(ask(&policies, "other"), "a deny-all 1");
    // The next configuration would be good, but for the file.
    fs::write(folder.path().join("a.wasm"), BUILTIN).unwrap();
    let refused = wait(&policies, |state| state.refusal.is_some()).refusal.unwrap();
    assert_eq!((refused.module.as_deref(), refused.file), (Some("a"), Some(folder.path().join("a.wasm"))));
    configure(&policies, &chain("[allow]"));
    assert_eq!(ask(&policies, "other"), "a deny-all 1");
    fs::write(folder.path().join("a.wasm"), modules::DENY_ALL).unwrap();
    let state = wait(&policies, |state| state.generation == 2);
    assert_eq!((state.refusal, ask(&policies, "other").as_str()), (None, "builtin+a+b allow 2"));
}

#[test]
fn only_digests_that_are_allowed_are_taken() {
    let folder = folder(&[("a.wasm", modules::DENY_ALL), ("b.wasm", BUILTIN)]);
    let [guest, builtin] = [modules::DENY_ALL, BUILTIN].map(Digest::of);
    let check = |chain: &str, expected: Result<&str, (&str, &Digest)>| match expected {
        Ok(said) => assert_eq!(ask(&of_folder(folder.path(), chain), "other"), said, "{chain}"),
        Err((file, digest)) => assert_eq!(
            refusal(folder.path(), chain),
            format!(
                "POLICIES/{file}: its SHA-256 digest {digest} is not among allowedDigests; \
                 hint: take the file out; or, if it is meant, add to allowedDigests: sha256:{digest}"
            ),
            "{chain}"
        ),
    };
    let both = format!("allowedDigests: [sha256:{guest}, '{builtin}']\n");
    let only_guest = format!("allowedDigests: [sha256:{guest}]\n");
    check(&both, Ok("a deny-all 1"));
    // The whole folder counts, and a listed file; not one that nobody asks.
    check(&only_guest, Err(("b.wasm", &builtin)));
    check(&format!("{only_guest}modules: [{{file: a.wasm}}]"), Ok("a deny-all 1"));
    check(&format!("{only_guest}modules: [{{file: a.wasm}}, {{file: b.wasm}}]"), Err(("b.wasm", &builtin)));
    check(&format!("{only_guest}modules: [{{file: b.wasm, mode: shadow}}]"), Err(("b.wasm", &builtin)));
    // Nothing is allowed: the built-in module, which is part of the program, needs no leave.
    check("allowedDigests: []\nmodules: [{file: a.wasm}]", Err(("a.wasm", &guest)));
    check("allowedDigests:\nmodules: [{file: a.wasm}]", Err(("a.wasm", &guest)));
    check("allowedDigests: []\nmodules: []", Ok("builtin allow 1"));
}

#[test]
fn what_changes_no_decision_makes_no_generation() {
    let folder = folder(&[("a.wasm", modules::DENY_ALL)]);
    let pin = Digest::of(modules::DENY_ALL);
    let policies = of_folder(folder.path(), "modules: [{file: a.wasm}]");
    let check = |module: &str, rest: &str, generation: u64| {
        configure(&policies, &format!("modules: [{{file: a.wasm{module}}}]\n{rest}"));
        // A change that makes a generation for sure, so that the one before has been looked at.
        let last = policies.state().generation;
        configure(&policies, "modules: []");
        let state = wait(&policies, |state| state.generation > last && state.modules.len() == 1);
        assert_eq!(state.generation, generation, "{module} {rest}");
        configure(&policies, "modules: [{file: a.wasm}]");
        wait(&policies, |state| state.generation == generation + 1);
    };
    check(&format!(", sha256: {pin}"), "", 2);
    check(", mode: enforce, settings: {}", &format!("allowedDigests: [sha256:{pin}]"), 4);
    check("", "limits: {decisionMilliseconds: 10, memoryMebibytes: 16}", 6);
    check("", "limits: {decisionMilliseconds: 11}", 9);
    check(", limits: {resultKibibytes: 65}", "", 12);
    check(", mode: shadow", "", 15);
    check(", settings: [allow]", "", 18);
}

/// More decisions at once than there are turns, and than there are places for instances; a long chain of modules that have
/// to be configured for each decision; and one set after the other.
#[test]
fn a_full_house_and_a_reload_deny_nobody() {
    const MODULES: usize = 16;
    const DECISIONS: usize = 300;
    let bytes = modules::without_snapshot();
    let names: Vec<String> = (0..MODULES).map(|number| format!("m{number:02}.wasm")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &bytes[..])).collect();
    let folder = folder(&files);
    // Even generations deny, by their last module.
    let chain = |generation: u64| {
        let settings = |number: usize| match (generation % 2, number) {
            (0, 15) => "[]".to_owned(),
            _ => format!("[allow, {generation}]"),
        };
        let modules =
            names.iter().enumerate().map(|(at, name)| format!("{{file: {name}, settings: {}}}", settings(at)));
        format!("builtin: false\nmodules: [{}]", modules.collect::<Vec<_>>().join(", "))
    };
    let policies = of_folder(folder.path(), &chain(1));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let mut generations = std::collections::BTreeSet::new();
    for generation in 2..5 {
        configure(&policies, &chain(generation));
        let asked: Vec<_> = (0..DECISIONS)
            .map(|_| {
                let policies = policies.clone();
                runtime.spawn(async move { policies.decide(&request("argo", "default/argo")).await })
            })
            .collect();
        for asked in asked {
            let decision = runtime.block_on(asked).unwrap();
            let expected = if decision.generation.is_multiple_of(2) { Some("deny-all") } else { None };
            assert_eq!(decision.code(), expected, "{decision:?}");
            generations.insert(decision.generation);
        }
        wait(&policies, |state| state.generation == generation);
    }
    assert!(generations.contains(&1), "{generations:?}");
}

#[test]
fn a_denial_says_who_why_and_since_when() {
    let folder = folder(&[("site-rules.wasm", modules::DENY_ALL)]);
    let policies = of_folder(folder.path(), "");
    let check = |template: &str, expected: &str| {
        let asked = Request { template: template.to_owned(), ..request("argo", "default/argo") };
        assert_eq!(told(policies.decide_blocking(&asked)), expected);
    };
    check("other", "denied by policy module \"site-rules\" (generation 1): deny-all: this module denies everything");
    check(
        "trap",
        "denied by policy module \"site-rules\" (generation 1): module-trapped: \
         the module trapped: wasm `unreachable` instruction executed",
    );
}
