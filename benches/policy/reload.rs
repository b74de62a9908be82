//! What a reload costs, and what it costs the decisions that go on meanwhile: a hundred swaps of a module's file and a
//! hundred changes of the settings, each with a thousand rules, while one thread decides without a pause. The bar is
//! 150 ms from the rename to the new generation; no decision may fail, nor take more than 5 ms.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use landfall::policy::{Options, Policies, config::Config, store::BUILTIN};

use crate::{
    thousand::{self, ALLOWED},
    times::Times,
};

const RELOADS: usize = 100;
/// A decision that takes longer waited for a reload.
const SLOW: Duration = Duration::from_millis(5);

/// Measures and prints.
pub fn run() {
    println!(
        "{:<10} {:>8} {:>10} {:>10} {:>10} {:>9} {:>12} {:>12} {:>12}",
        "reload of", "reloads", "p50", "max", "decisions", "failed", "over 5 ms", "p99", "slowest"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let publish = |version: usize| publish(folder.path(), version);
    publish(0);
    let modules = serde_json::json!({
        "builtin": false,
        "modules": [{"file": "site.wasm", "settings": thousand::settings(0)}],
    });
    let config = Config::parse(None, Some(&modules.to_string())).expect("a configuration").0;
    let options = Options { folder: Some(folder.path().to_owned()), config, ..Options::default() };
    measure("module", &Policies::start(options).expect("the policy starts"), |_, version| publish(version));

    let config = |version: usize| {
        let roles = thousand::settings(version)["roles"].to_string();
        Config::parse(Some(&roles), None).expect("a configuration").0
    };
    let policies = Policies::start(Options { config: config(0), ..Options::default() }).expect("the policy starts");
    measure("settings", &policies, |policies, version| policies.configure(config(version)));
}

/// Reloads by `change`, to which the number of each reload is told.
fn measure(name: &str, policies: &Policies, change: impl Fn(&Policies, usize)) {
    let done = AtomicBool::new(false);
    let (reloads, decisions, failed) = thread::scope(|scope| {
        let load = scope.spawn(|| decide(policies, &done));
        let reloads = (1..=RELOADS).map(|version| reload(policies, || change(policies, version))).collect::<Vec<_>>();
        done.store(true, Ordering::Relaxed);
        let (decisions, failed) = load.join().expect("deciding does not panic");
        (Times::from(reloads), decisions, failed)
    });
    let slow = decisions.over(SLOW);
    println!(
        "{name:<10} {:>8} {:>10.1?} {:>10.1?} {:>10} {failed:>9} {slow:>12} {:>12.1?} {:>12.1?}",
        reloads.count(),
        reloads.percentile(50),
        reloads.slowest(),
        decisions.count(),
        decisions.percentile(99),
        decisions.slowest(),
    );
}

fn decide(policies: &Policies, done: &AtomicBool) -> (Times, usize) {
    let request = thousand::request(ALLOWED);
    let mut times = Vec::new();
    let mut failed = 0;
    while !done.load(Ordering::Relaxed) {
        let start = Instant::now();
        let decision = policies.decide_blocking(&request);
        times.push(start.elapsed());
        failed += usize::from(!decision.is_allowed());
    }
    (Times::from(times), failed)
}

/// The time from the change to the new generation in force.
fn reload(policies: &Policies, change: impl FnOnce()) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut states = policies.subscribe_state();
    let before = states.borrow_and_update().generation;
    let start = Instant::now();
    change();
    let state = runtime.block_on(states.wait_for(|state| state.generation > before || state.refusal.is_some()));
    let took = start.elapsed();
    assert_eq!(state.expect("the reload thread lives").refusal, None);
    took
}

/// As the kubelet writes a volume, but everything that can be is written before: the rename is what counts.
fn publish(folder: &Path, version: usize) {
    let content = folder.join(format!("..{version}"));
    fs::create_dir(&content).expect("a folder");
    fs::write(content.join("site.wasm"), component(version)).expect("a file");
    let next = folder.join("..data_tmp");
    symlink(format!("..{version}"), &next).expect("a link");
    fs::rename(&next, folder.join("..data")).expect("a rename");
}

/// The built-in module with a section that says which version it is: another digest, compiled anew.
fn component(version: usize) -> Vec<u8> {
    let name = b"version";
    let text = version.to_string();
    let length = 1 + name.len() + text.len();
    let lengths = [length, name.len()].map(|length| u8::try_from(length).expect("a short section"));
    [BUILTIN, &[0, lengths[0], lengths[1]], name, text.as_bytes()].concat()
}
