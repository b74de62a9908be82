//! The modules of this repository answer as their own suites say, each from a snapshot; those of the SDK tell `explain`
//! what they looked at.

use std::{path::Path, sync::Arc};

use landfall::{
    author::suite::{Suite, run},
    policy::{
        host::Host,
        module::{Module, Prepared},
    },
};

fn suite(name: &str) -> Suite {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(name);
    Suite::read(&folder).unwrap_or_else(|error| panic!("{error}"))
}

/// The module with the settings of its suite's first case.
fn module(host: &Host, suite: &Suite) -> Module {
    let prepared = Prepared::new(host, Arc::clone(&suite.subject.bytes)).unwrap();
    prepared.configure(host, &suite.subject.name, &suite.questions[0].settings).unwrap()
}

fn check(name: &str) {
    let host = Host::new().unwrap();
    let suite = suite(name);
    let report = run::run(&host, &suite, None).unwrap();
    let failed: Vec<String> = report
        .failed()
        .map(|case| {
            format!("policies/{name}/cases.yaml:{}: {}: {}: {:?}", case.line, case.name, case.said, case.problem)
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(module(&host, &suite).no_snapshot_because(), None, "{name}");
}

#[test]
fn builtin_answers_as_its_cases_say() {
    check("builtin");
}

#[test]
fn images_answers_as_its_cases_say() {
    check("images");
}

#[test]
fn pod_security_answers_as_its_cases_say() {
    check("pod-security");
}

#[test]
fn a_module_of_the_sdk_notes_what_it_looked_at() {
    let host = Host::new().unwrap();
    let suite = suite("images");
    let question = suite.questions.iter().find(|question| question.name == "short names are of Docker Hub").unwrap();
    let module = module(&host, &suite);
    let expected =
        ["1 of 4 rules are for target other/argo", r#"container "main": "alpine" is docker.io/library/alpine:latest"#];
    assert_eq!(module.notes(&host, &question.request).unwrap().unwrap(), expected);
}
