//! Modules that fail: by a trap, by what they throw, by a limit. The host denies then, and no tool takes that for a decision.

use std::fs;

use landfall::{
    author::{
        diff::{Asked, Comparison, Kind, Side, Source},
        suite::{
            Suite,
            run::{self, Problem},
        },
    },
    policy::host::Host,
};
use serde_json::json;

use crate::{
    author::support::request,
    cli::binary::{run as landfall, text},
    support::modules,
};

/// Each question of a suite of `tests/guest`, and what is wrong with the answer.
fn problems(suite: &str) -> Vec<(String, Option<Problem>)> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("guest.wasm"), modules::DENY_ALL).unwrap();
    let file = folder.path().join("cases.yaml");
    fs::write(&file, format!("module: guest.wasm\nrequest: {{workflow: a/w, target: b/c}}\n{suite}")).unwrap();
    let report = run::run(&Host::new().unwrap(), &Suite::read(&file).unwrap(), None).unwrap();
    report.results.into_iter().map(|result| (format!("{}: {}", result.name, result.said), result.problem)).collect()
}

#[test]
fn a_denial_by_a_failure_is_none_that_a_case_or_a_matrix_expects() {
    let threw = "no answer (module-error): threw at None";
    let trapped = "no answer (module-trapped): the module trapped: wasm `unreachable` instruction executed";
    let found = problems(
        "cases:\n\
         - {name: throws, request: {template: throw}, expect: deny}\n\
         - {name: by a code, request: {template: throw}, expect: {deny: deny-all}}\n\
         - {name: meant, request: {template: throw}, expect: {deny: module-error, reason: threw}}\n\
         - {name: other words, request: {template: throw}, expect: {deny: module-error, reason: never}}\n\
         - {name: traps, request: {template: trap}, expect: deny}\n\
         - {name: decides, expect: deny}\n\
         matrices:\n\
         - {name: all, request: {template: throw}, namespaces: [a], clusters: [b]}\n",
    );
    let expected = [
        (format!("throws: {threw}"), Some(Problem::NoAnswer)),
        (format!("by a code: {threw}"), Some(Problem::NoAnswer)),
        (format!("meant: {threw}"), None),
        (format!("other words: {threw}"), Some(Problem::OtherReason { part: "never".to_owned() })),
        (format!("traps: {trapped}"), Some(Problem::NoAnswer)),
        ("decides: deny deny-all: this module denies everything".to_owned(), None),
        (format!("all: a -> b/a: {threw}"), Some(Problem::NoAnswer)),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_decision_that_became_a_failure_is_a_change_of_its_own_kind() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let module = file("guest.wasm", modules::DENY_ALL);
    let (denies, allows, throws) =
        (file("denies.yaml", b"{}"), file("allows.yaml", b"[allow]"), file("throws.yaml", b"[throws]"));
    let check = |old, new, fail_on, code: i32, expected: &str| {
        let ended = landfall(&[
            "policy",
            "diff",
            text(&module),
            text(&module),
            "--generated",
            "20",
            "--old-settings",
            text(old),
            "--new-settings",
            text(new),
            "--fail-on",
            fail_on,
        ]);
        assert_eq!(ended.code, Some(code), "{}{}", ended.stdout, ended.stderr);
        let shown: Vec<&str> = ended.stdout.lines().filter(|line| line.ends_with("requests, such as")).collect();
        assert_eq!(shown, [expected]);
    };
    let failed = "answered before, no answer now";
    check(&denies, &throws, "verdict", 1, &format!("{failed}: deny-all -> module-error: 20 requests, such as"));
    check(&allows, &throws, "verdict", 1, &format!("{failed}: allow -> module-error: 20 requests, such as"));
    let answered = "no answer before, denied now: module-error -> deny-all: 20 requests, such as";
    check(&throws, &denies, "verdict", 0, answered);
    check(&throws, &allows, "loosened", 1, "denied before, allowed now: module-error -> allow: 20 requests, such as");
}

/// A set is compared as one module is.
#[test]
fn a_set_in_which_a_module_fails_gives_no_answer() {
    let host = Host::new().unwrap();
    let chain = |settings| {
        let prepared = landfall::policy::module::Prepared::new(&host, modules::DENY_ALL.into()).unwrap();
        let module = prepared.configure(&host, "guest", &settings).unwrap().into();
        let member = landfall::policy::store::Member { module, mode: landfall::policy::decision::Mode::Enforce };
        landfall::policy::store::Chain::new(1, vec![member])
    };
    let chain = chain(json!({}));
    let mut comparison = Comparison::default();
    let mut asked = Asked {
        settings: json!({}).into(),
        request: request("a", "b/a"),
        from: "here".to_owned(),
        source: Source::Case,
    };
    asked.request.template = "throw".to_owned();
    let side = || Side::Set { host: &host, chain: &chain };
    comparison.ask(&mut side(), &mut side(), asked);
    assert_eq!((comparison.asked, comparison.count(Kind::Failed)), (1, 0));
}

/// An operator hears of such a module before it decides anything.
#[test]
fn a_module_that_fails_on_the_trial_request_is_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let (module, settings) = (folder.path().join("guest.wasm"), folder.path().join("settings.yaml"));
    fs::write(&module, modules::DENY_ALL).unwrap();
    fs::write(&settings, "[throws-on-garbage]").unwrap();
    let ended = landfall(&["policy", "check", text(&module), "--settings", text(&settings)]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("authorize, on a trial request: threw"), "{}", ended.stderr);
}
