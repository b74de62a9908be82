//! What modules that mean harm leave behind: the resident memory of the process before, and after each thousand of them.
//! The bar is 5 % more. What it had before is that of a host that has loaded some settings already.

use std::{sync::Arc, time::Duration};

use landfall::policy::{
    host::Host,
    limits::Limits,
    module::{Module, Prepared},
    store::BUILTIN,
};

use crate::{
    bars::Bars,
    process::resident_bytes,
    thousand::{self, ALLOWED},
};

#[path = "../../tests/it/support/hostile.rs"]
mod hostile;

/// Settings that are loaded, one after the other, before anything is measured.
const SETTINGS: usize = 20;
/// Rounds, each of other modules.
const ROUNDS: u64 = 5;
const MODULES: u64 = 1000;
/// So much more memory is the most that may be left after each round, in per cent.
const MORE_MAX: f64 = 5.0;
/// Shorter than the defaults: endless loops use all of it.
const TIME: Duration = Duration::from_millis(5);

/// Measures and prints.
pub fn run(bars: &mut Bars) {
    let host = Host::new().expect("the engine starts");
    let prepared = Prepared::new(&host, Arc::from(BUILTIN)).expect("the built-in module compiles");
    let configure = |variant| prepared.configure(&host, "builtin", &thousand::settings(variant));
    for variant in 1..SETTINGS {
        works(&host, &configure(variant).expect("the settings are right"));
    }
    let module = configure(0).expect("the settings are right");
    works(&host, &module);
    let before = resident_bytes("self").expect("Linux tells of a process");
    println!("memory with the built-in module: {} KiB", before >> 10);
    for round in 0..ROUNDS {
        let allowed = (0..MODULES).filter(|number| is_allowed(&host, round * MODULES + number)).count();
        works(&host, &module);
        let now = resident_bytes("self").expect("Linux tells of a process");
        let more = (now as f64 / before as f64 - 1.0) * 100.0;
        println!(
            "after {} hostile modules, {allowed} of which allow: {} KiB, {more:+.1} %",
            (round + 1) * MODULES,
            now >> 10
        );
        let after = (round + 1) * MODULES;
        bars.judge(format_args!("memory after {after} hostile modules: {MORE_MAX} % more"), more <= MORE_MAX);
    }
}

fn is_allowed(host: &Host, number: u64) -> bool {
    let limits = Limits { decision_time: TIME, configure_time: TIME, ..Limits::default() };
    let (_, bytes) = hostile::module(number);
    let Ok(prepared) = Prepared::new(host, bytes.into()) else { return false };
    let Ok(module) = prepared.configure_within(host, "hostile", &serde_json::json!({}), limits) else { return false };
    matches!(module.ask(host, &thousand::request(ALLOWED)), Ok(None))
}

/// The module that was loaded before them goes on.
fn works(host: &Host, module: &Module) {
    for _ in 0..MODULES {
        assert_eq!(module.ask(host, &thousand::request(ALLOWED)), Ok(None));
    }
}
