//! Shadows: asked beside the chain, compared with it, and never obeyed.

use std::{fs, sync::Arc};

use landfall::policy::{
    Options, Policies,
    audit::Record,
    decision::{Answer, Difference, Mode},
    request::{PodJson, Request},
};
use tempfile::TempDir;

use crate::{
    policy::support::{config, next, of_folder, request, wait},
    support::modules,
};

/// The built-in module decides, and the test guest is its shadow.
fn beside_builtin(settings: &str) -> (TempDir, Policies) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("next.wasm"), modules::DENY_ALL).unwrap();
    let policies = of_folder(folder.path(), &chain(settings));
    (folder, policies)
}

fn chain(settings: &str) -> String {
    format!("modules: [{{file: next.wasm, mode: shadow, settings: {settings}}}]")
}

fn answer(answer: &Answer) -> &str {
    match answer {
        Answer::Allow => "allow",
        Answer::Deny { code, .. } | Answer::Failed { code, .. } => code,
    }
}

#[test]
fn a_shadow_is_compared_and_never_obeyed() {
    let check =
        |settings: &str, target: &str, template: &str, [decided, shadow]: [&str; 2], difference: Option<&str>| {
            let (_folder, policies) = beside_builtin(settings);
            let mut records = policies.subscribe_records();
            let asked = Request { template: template.to_owned(), ..request("argo", target) };
            let decision = policies.decide_blocking(&asked);
            let place = format!("{settings} {target} {template}: {decision:?}");
            assert_eq!((decision.module.as_str(), decision.code().unwrap_or("allow")), ("builtin", decided), "{place}");
            let record = next(&mut records);
            let [builtin, next] = &record.modules[..] else { panic!("{record:?}") };
            assert_eq!((builtin.name.as_str(), builtin.mode, builtin.difference), ("builtin", Mode::Enforce, None));
            assert_eq!((next.name.as_str(), next.mode), ("next", Mode::Shadow));
            assert_eq!(answer(&next.answer), shadow, "{place}");
            assert_eq!(next.difference.map(Difference::as_str), difference, "{place}");
        };
    let (home, other) = ("default/argo", "other/argo");
    check("[allow]", home, "main", ["allow", "allow"], None);
    check("[]", home, "main", ["allow", "deny-all"], Some("would-deny"));
    check("[allow]", other, "main", ["not-at-home", "allow"], Some("would-allow"));
    check("[]", other, "main", ["not-at-home", "deny-all"], None);
    check("[]", home, "trap", ["allow", "module-trapped"], Some("failed"));
    check("[]", home, "loop", ["allow", "time-limit"], Some("failed"));
    check("[]", other, "recurse", ["not-at-home", "stack-limit"], Some("failed"));
    check("[]", home, "long", ["allow", "result-limit"], Some("failed"));
}

#[test]
fn shadows_are_asked_also_where_the_chain_ends_early() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.wasm", "b.wasm", "c.wasm", "d.wasm"] {
        fs::write(folder.path().join(name), modules::DENY_ALL).unwrap();
    }
    let chain = "
builtin: false
modules:
- {file: a.wasm, mode: shadow, settings: [allow]}
- {file: b.wasm}
- {file: c.wasm}
- {file: d.wasm, mode: shadow}
";
    let policies = of_folder(folder.path(), chain);
    let state = policies.state();
    let modes: Vec<_> = state.modules.iter().map(|module| (module.name.as_str(), module.mode)).collect();
    let (enforce, shadow) = (Mode::Enforce, Mode::Shadow);
    assert_eq!(modes, [("a", shadow), ("b", enforce), ("c", enforce), ("d", shadow)]);
    let mut records = policies.subscribe_records();
    let decision = policies.decide_blocking(&request("argo", "default/argo"));
    assert_eq!((decision.module.as_str(), decision.code()), ("b", Some("deny-all")));
    let record = next(&mut records);
    let said: Vec<_> = record.modules.iter().map(|said| format!("{} {}", said.name, answer(&said.answer))).collect();
    assert_eq!(said, ["b deny-all", "a allow", "d deny-all"]);
}

#[test]
fn async_callers_get_their_answer_and_the_shadow_is_counted() {
    let (_folder, policies) = beside_builtin("[]");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let mut records = policies.subscribe_records();
    let asked: Vec<_> = (0..50)
        .map(|number| {
            let policies = policies.clone();
            let template = if number % 10 == 0 { "loop" } else { "main" };
            let asked = Request { template: template.to_owned(), ..request("argo", "default/argo") };
            runtime.spawn(async move { policies.decide(&asked).await })
        })
        .collect();
    for asked in asked {
        assert!(runtime.block_on(asked).unwrap().is_allowed());
    }
    let differences: Vec<_> = (0..50).filter_map(|_| next(&mut records).modules[1].difference).collect();
    let count = |expected: Difference| differences.iter().filter(|difference| **difference == expected).count();
    assert_eq!([count(Difference::WouldDeny), count(Difference::Failed)], [45, 5]);
}

/// Each takes the shadow a second, and there is one thread for shadows: what can't be queued is recorded without them.
#[test]
fn a_slow_shadow_delays_no_decision_and_loses_no_record() {
    const DECISIONS: usize = 400;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("next.wasm"), modules::DENY_ALL).unwrap();
    let chain = "modules: [{file: next.wasm, mode: shadow, limits: {decisionMilliseconds: 1000}}]";
    let policies = of_folder(folder.path(), chain);
    let mut records = policies.subscribe_records();
    let asked = Request { template: "loop".to_owned(), ..request("argo", "default/argo") };
    for _ in 0..DECISIONS {
        assert!(policies.decide_blocking(&asked).is_allowed());
    }
    // If decisions waited for the shadow, none would have been too many for it.
    let skipped = policies.shadows_skipped();
    assert!(0 < skipped);
    // What is queued is recorded as it is.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(policies.end_records());
    let told: Vec<_> = (0..DECISIONS).map(|_| next(&mut records)).collect();
    let asked = told.iter().filter(|record| record.modules.len() == 2).count();
    assert_eq!(policies.shadows_skipped(), (DECISIONS - asked) as u64);
    let is_failed =
        |record: &&Arc<Record>| record.modules.iter().any(|said| said.difference == Some(Difference::Failed));
    assert_eq!(told.iter().filter(is_failed).count(), asked);
}

#[test]
fn differences_are_counted_as_long_as_the_shadow_is_one() {
    let (_folder, policies) = beside_builtin("[]");
    let asked = request("argo", "default/argo");
    let mut records = policies.subscribe_records();
    let mut check = |chain: &str, generation: u64, counts: &[u64]| {
        policies.configure(config(None, Some(chain)));
        wait(&policies, |state| state.generation == generation);
        policies.decide_blocking(&asked);
        next(&mut records);
        let counted: Vec<u64> = policies.differences().iter().map(|one| one.count).collect();
        assert_eq!(counted, counts, "{chain}");
    };
    check(&chain("[]"), 1, &[1]);
    check(&chain("[1]"), 2, &[2]);
    check(&chain("[allow]"), 3, &[2]);
    check("modules: [{file: next.wasm}]", 4, &[]);
    check(&chain("[]"), 5, &[1]);
}

#[test]
fn a_shadow_that_can_not_be_loaded_refuses_the_set() {
    let (folder, policies) = beside_builtin("[]");
    fs::write(folder.path().join("next.wasm"), modules::core_module()).unwrap();
    let state = wait(&policies, |state| state.refusal.is_some());
    let refusal = state.refusal.unwrap();
    assert_eq!((state.generation, refusal.module.as_deref()), (1, Some("next")));
    assert!(refusal.reason.contains("a core module, not a component"), "{refusal:?}");
}

#[test]
fn a_shadow_that_wants_the_pod_is_given_it() {
    let (_folder, policies) = beside_builtin("[pod]");
    assert!(policies.state().needs_pod());
    let mut records = policies.subscribe_records();
    let pod = Some(PodJson::from("{}".to_owned()));
    let asked = Request { template: "pod".to_owned(), pod, ..request("argo", "default/argo") };
    assert!(policies.decide_blocking(&asked).is_allowed());
    let record = next(&mut records);
    let given: Vec<_> = record.modules.iter().map(|said| (said.name.as_str(), said.pod_given)).collect();
    assert_eq!(given, [("builtin", false), ("next", true)]);
}

#[test]
fn what_the_core_denies_no_module_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("next.wasm"), modules::DENY_ALL).unwrap();
    let options = Options {
        folder: Some(folder.path().to_owned()),
        config: config(None, Some(&chain("[allow]"))),
        managed: Some("argo".parse().unwrap()),
        ..Options::default()
    };
    let policies = Policies::start(options).unwrap();
    let mut records = policies.subscribe_records();
    let decision = policies.decide_blocking(&request("argo", "default/team"));
    assert_eq!(decision.code(), Some("namespace-mode"));
    assert_eq!(next(&mut records).modules, []);
}
