//! Measures of real modules.

use std::{sync::Arc, time::Duration};

use landfall::{
    author::bench::{BenchError, Figures, Task, bench},
    policy::{request::Request, store::BUILTIN},
};

use crate::{author::support::request, support::modules};

fn measure(bytes: &[u8], settings: &str, templates: &[&str]) -> Result<Figures, BenchError> {
    let settings = Arc::new(serde_json::from_str(settings).unwrap());
    let requests: Vec<Request> = templates
        .iter()
        .map(|template| Request { template: (*template).to_owned(), ..request("argo", "other/argo") })
        .collect();
    let mut tasks = Vec::new();
    for request in &requests {
        tasks.push(Task { name: &request.template, settings: Arc::clone(&settings), request });
    }
    bench(("module", &bytes.into()), &tasks, Duration::ZERO, &mut |_| {})
}

#[test]
fn fuel_and_memory_are_the_same_each_time() {
    for bytes in [BUILTIN.to_vec(), modules::DENY_ALL.to_vec(), modules::without_snapshot()] {
        let first = measure(&bytes, "{}", &["other", "count"]).unwrap();
        let second = measure(&bytes, "{}", &["other", "count"]).unwrap();
        assert_eq!(first.exact, second.exact);
        assert_eq!(first.exact.decision_fuel.len(), 2);
        assert!(first.exact.decision_memory_bytes > 0);
    }
}

#[test]
fn what_does_more_takes_more() {
    let figures = measure(modules::DENY_ALL, "{}", &["count", "other"]).unwrap();
    let fuel = &figures.exact.decision_fuel;
    // The other templates are compared with everything that the settings can tell.
    assert!(fuel["other"] > fuel["count"], "{fuel:?}");
    assert_eq!(figures.exact.most_fuel().unwrap().0, "other");
}

#[test]
fn a_decision_without_an_end_has_no_figures() {
    let error = measure(modules::DENY_ALL, "{}", &["other", "loop"]).unwrap_err();
    assert_eq!(error.to_string(), "\"loop\": the module used more than 10 ms of processor time");
    assert!(matches!(measure(modules::DENY_ALL, "{}", &[]), Err(BenchError::Nothing)));
}
