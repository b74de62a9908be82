//! What a thousand hostile modules leave behind in memory: measured in a process of its own, which runs nothing else.

use std::{env, fs, process::Command, sync::Arc, time::Duration};

use landfall::policy::{host::Host, limits::Limits, module::Prepared, store::BUILTIN};

use crate::{policy::support::request, support::hostile};

/// Set in the process that measures.
const MEASURES: &str = "LANDFALL_TEST_MEMORY";
/// Settings that are loaded before anything is measured, and then as many other modules as are measured, so that all threads,
/// caches and arenas are there.
const SETTINGS: u64 = 20;
const MODULES: u64 = 1000;
/// How often as many are loaded before it is measured, and as often again, of others, before it is measured again. What the allocator has not handed back yet comes and goes
/// between two of them, by more than the bar; what is lost adds up.
const ROUNDS: u64 = 2;
/// So much more memory than before is the most that may be left, in per cent.
const MORE_MAX: f64 = 5.0;
/// Shorter than the defaults: endless loops use all of it.
const TIME: Duration = Duration::from_millis(5);

/// The test calls itself.
#[test]
fn a_thousand_hostile_modules_leave_no_memory_behind() {
    if env::var_os(MEASURES).is_some() {
        return measure();
    }
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "policy::memory::a_thousand_hostile_modules_leave_no_memory_behind", "--nocapture"])
        .env(MEASURES, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("of memory, after"), "nothing was measured: {said}");
}

fn measure() {
    let host = Host::new().unwrap();
    let prepared = Prepared::new(&host, Arc::from(BUILTIN)).unwrap();
    let settings = |number: u64| {
        let rules = (0..100).map(
            |rule| serde_json::json!({"clusterNames": [format!("c{number}")], "namespaces": [format!("n{rule}")]}),
        );
        serde_json::json!({"roles": [{"namespace": "argo", "rules": rules.collect::<Vec<_>>()}]})
    };
    let mut modules = (0..SETTINGS).map(|number| prepared.configure(&host, "builtin", &settings(number)).unwrap());
    let module = modules.next().unwrap();
    modules.for_each(drop);
    let works = || {
        let denied = module.ask(&host, &request("argo", "other/argo")).unwrap();
        assert_eq!(denied.map(|denial| denial.code).as_deref(), Some("no-rule"));
    };
    (0..ROUNDS * MODULES).for_each(|number| load(&host, number));
    works();
    let before = resident();
    (ROUNDS * MODULES..2 * ROUNDS * MODULES).for_each(|number| load(&host, number));
    works();
    let after = resident();
    let more = (after as f64 / before as f64 - 1.0) * 100.0;
    println!("{before} KiB of memory, after {} modules {after} KiB: {more:+.1} %", ROUNDS * MODULES);
    assert!(more <= MORE_MAX, "{more:+.1} % more, over the bar of {MORE_MAX} %");
}

/// Loads one and asks it, as far as it gets.
fn load(host: &Host, number: u64) {
    let limits = Limits { decision_time: TIME, configure_time: TIME, ..Limits::default() };
    let (_, bytes) = hostile::module(number);
    if let Ok(prepared) = Prepared::new(host, bytes.into())
        && let Ok(module) = prepared.configure_within(host, "hostile", &serde_json::json!({}), limits)
    {
        drop(module.ask(host, &request("argo", "other/argo")));
    }
}

/// KiB of this process that are in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
