//! A thousand modules that are damaged or made to do harm: each is refused, or denies, and the host goes on.

use std::{collections::BTreeMap, time::Duration};

use landfall::policy::{
    host::Host,
    limits::Limits,
    module::Prepared,
    request::{PodJson, Request},
    session::Session,
};

use crate::{policy::support::request, support::hostile};

const MODULES: u64 = 1000;
/// Shorter than the defaults: endless loops use all of it.
const TIME: Duration = Duration::from_millis(5);

/// What becomes of the module: the sort of its refusal or denial, or `allow`.
fn outcome(host: &Host, bytes: Vec<u8>, limits: Limits) -> &'static str {
    let Ok(prepared) = Prepared::new(host, bytes.into()) else { return "refused unread" };
    let Ok(module) = prepared.configure_within(host, "hostile", &serde_json::json!({}), limits) else {
        return "refused when it was tried";
    };
    match module.ask(host, &request("argo", "other/argo")) {
        Ok(None) => "allow",
        Ok(Some(_)) => "denied by itself",
        Err(_) => "denied for its failure",
    }
}

#[test]
fn modules_that_mean_harm_are_refused_or_deny() {
    let host = Host::new().unwrap();
    assert_eq!(outcome(&host, hostile::honest(), Limits::default()), "denied by itself");
    let short = Limits { decision_time: TIME, configure_time: TIME, ..Limits::default() };
    let mut outcomes: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for number in 0..MODULES {
        let (harm, bytes) = hostile::module(number);
        let outcome = outcome(&host, bytes, short);
        assert_ne!(outcome, "allow", "module {number}: {harm}");
        // What is only damaged may happen to be honest still, and one that quotes does so in a denial. What else is built to
        // do harm never gets into force.
        let damaged = ["truncated", "bit-flipped", "quoting the pod"].contains(&harm);
        assert!(damaged || outcome.starts_with("refused"), "module {number}: {harm}, and it is {outcome}");
        *outcomes.entry((harm, outcome)).or_default() += 1;
    }
    // Whatever they did, the next one is asked as the first one was.
    assert_eq!(outcome(&host, hostile::honest(), Limits::default()), "denied by itself", "{outcomes:?}");
    let kinds = outcomes.keys().map(|(harm, _)| harm).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(kinds.len(), 22, "{outcomes:?}");
}

/// What a module takes from the pod is no code: codes stand in records and metrics.
#[test]
fn a_code_that_is_taken_from_the_pod_is_replaced() {
    let host = Host::new().unwrap();
    let pod = r#"{"secret":"hunter2","landfall":"policy"}"#;
    let asked = Request { pod: Some(PodJson::from(pod.to_owned())), ..request("argo", "other/argo") };
    let said = |from: usize, length: usize| {
        let bytes = hostile::quoting(u32::try_from(from).unwrap(), u32::try_from(length).unwrap());
        let prepared = Prepared::new(&host, bytes.into()).unwrap();
        let module = prepared.configure(&host, "quoting", &serde_json::json!({})).unwrap();
        assert!(module.needs_pod());
        let denial = module.ask(&host, &asked).unwrap().unwrap();
        assert_eq!(denial.reason, pod);
        // The same where one instance is asked again and again.
        let mut session = Session::start(&host, &prepared, &serde_json::json!({})).unwrap();
        assert_eq!(session.ask("quoting", &asked).unwrap().unwrap().code, denial.code);
        denial.code
    };
    assert_eq!(said(pod.find("hunter2").unwrap(), 7), "denied");
    assert_eq!(said(pod.find("hunter2").unwrap(), 6), "denied");
    // This word stands in its own file as well, in the name of the interface.
    assert_eq!(said(pod.find("landfall").unwrap(), 8), "landfall");
    assert_eq!(said(0, 7), "denied");
}
