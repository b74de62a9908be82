//! A thousand modules that are damaged or made to do harm: each is refused, or denies, and the host goes on.

use std::{collections::BTreeMap, time::Duration};

use landfall::policy::{host::Host, limits::Limits, module::Prepared};

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
        // What is only damaged may happen to be honest still. What is built to do harm never gets into force.
        let damaged = ["truncated", "bit-flipped"].contains(&harm);
        assert!(damaged || outcome.starts_with("refused"), "module {number}: {harm}, and it is {outcome}");
        *outcomes.entry((harm, outcome)).or_default() += 1;
    }
    // Whatever they did, the next one is asked as the first one was.
    assert_eq!(outcome(&host, hostile::honest(), Limits::default()), "denied by itself", "{outcomes:?}");
    let kinds = outcomes.keys().map(|(harm, _)| harm).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(kinds.len(), 14, "{outcomes:?}");
}
