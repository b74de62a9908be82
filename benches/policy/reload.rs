//! What a reload costs, and what it costs the decisions that go on meanwhile: a hundred swaps of the built-in module's file
//! and a hundred changes of the settings, each with a thousand rules, while one thread decides without a pause. The bar is
//! 150 ms from the rename to the new generation; no decision may fail, nor take more than 5 ms. Swaps of that module for one
//! with other code are shown beside them: how long that takes is a matter of how much code is compiled. And so is a thread
//! that decides while nothing is reloaded, because a busy machine delays decisions by itself.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use landfall::policy::{
    Options, Policies,
    config::Config,
    request::{PodJson, Request},
    store::BUILTIN,
};
use serde_json::{Value, json};

use crate::{
    bars::Bars,
    thousand::{self, ALLOWED, TENANT},
    times::Times,
};

const RELOADS: usize = 100;
/// Another module with other code.
const POD_SECURITY: &[u8] = include_bytes!("../../policies/pod-security/pod-security.wasm");
/// From the change to the new generation in force.
const RELOAD_MAX: Duration = Duration::from_millis(150);
/// As long as a hundred reloads of the module take.
const REST: Duration = Duration::from_secs(12);
/// A decision that takes longer waited for a reload.
const SLOW: Duration = Duration::from_millis(5);

/// Measures and prints.
pub fn run(bars: &mut Bars) {
    println!(
        "{:<18} {:>8} {:>10} {:>10} {:>10} {:>9} {:>12} {:>12} {:>12}",
        "reload of", "reloads", "p50", "max", "decisions", "failed", "over 5 ms", "p99", "slowest"
    );
    let request = thousand::request(ALLOWED);
    let folder = tempfile::tempdir().expect("a folder");
    publish(folder.path(), 0, BUILTIN);
    let modules = json!({"builtin": false, "modules": [{"file": "site.wasm", "settings": thousand::settings(0)}]});
    let policies = start(0, Some((folder.path(), &modules)));
    measure(bars, "module, same code", &policies, (&request, 1), |_, version| publish(folder.path(), version, BUILTIN));

    // It begins as a module with the code of the built-in one; only the changes to the other one are shown.
    let folder = tempfile::tempdir().expect("a folder");
    publish(folder.path(), 0, BUILTIN);
    let policies = start(0, Some((folder.path(), &json!({"modules": [{"file": "site.wasm"}]}))));
    measure(bars, "module, other code", &policies, (&at_home(), 2), |_, version| {
        publish(folder.path(), version, if version % 2 == 1 { POD_SECURITY } else { BUILTIN });
    });

    let policies = start(0, None);
    measure(bars, "settings", &policies, (&request, 1), |policies, version| policies.configure(config(version, None)));
    at_rest(&policies, &request);
}

/// What the module of the second part allows as well: the built-in one without roles, and the one for pods.
fn at_home() -> Request {
    let pod = PodJson::from(json!({"spec": {"containers": []}}).to_string());
    let mut request = Request { pod: Some(pod), ..thousand::request(TENANT) };
    request.target.cluster = request.home.clone();
    request
}

fn start(variant: usize, modules: Option<(&Path, &Value)>) -> Policies {
    let folder = modules.map(|(folder, _)| folder.to_owned());
    let config = config(variant, modules.map(|(_, modules)| modules));
    Policies::start(Options { folder, config, ..Options::default() }).expect("the policy starts")
}

/// A thousand rules, and what else is in the chain.
fn config(variant: usize, modules: Option<&Value>) -> Config {
    let roles = thousand::settings(variant)["roles"].to_string();
    Config::parse(Some(&roles), modules.map(Value::to_string).as_deref()).expect("a configuration").0
}

/// Reloads by `change`, to which the number of each reload is told, while `request` is decided. The first of `every` so many
/// is counted.
fn measure(
    bars: &mut Bars,
    name: &str,
    policies: &Policies,
    (request, every): (&Request, usize),
    change: impl Fn(&Policies, usize),
) {
    let done = AtomicBool::new(false);
    let (reloads, decisions, failed) = thread::scope(|scope| {
        let load = scope.spawn(|| decide(policies, request, &done));
        let reloads = (1..=RELOADS).map(|version| reload(policies, || change(policies, version))).collect::<Vec<_>>();
        let reloads = reloads.into_iter().step_by(every).collect::<Vec<_>>();
        done.store(true, Ordering::Relaxed);
        let (decisions, failed) = load.join().expect("deciding does not panic");
        (Times::from(reloads), decisions, failed)
    });
    show(name, &reloads, &decisions, failed);
    // Of every reload, or of those that compile another module: that takes as long as there is code.
    if every == 1 {
        bars.judge(format_args!("reload of {name}: {RELOAD_MAX:?} at most"), reloads.slowest() <= RELOAD_MAX);
    }
    bars.judge(format_args!("decisions during reloads of {name}: none fails"), failed == 0);
    bars.judge(format_args!("decisions during reloads of {name}: none over {SLOW:?}"), decisions.over(SLOW) == 0);
}

/// Decides for as long as a part with reloads takes, without any.
fn at_rest(policies: &Policies, request: &Request) {
    let done = AtomicBool::new(false);
    let (decisions, failed) = thread::scope(|scope| {
        let load = scope.spawn(|| decide(policies, request, &done));
        thread::sleep(REST);
        done.store(true, Ordering::Relaxed);
        load.join().expect("deciding does not panic")
    });
    show("nothing", &Times::from(Vec::new()), &decisions, failed);
}

fn show(name: &str, reloads: &Times, decisions: &Times, failed: usize) {
    println!(
        "{name:<18} {:>8} {:>10.1?} {:>10.1?} {:>10} {failed:>9} {:>12} {:>12.1?} {:>12.1?}",
        reloads.count(),
        reloads.percentile(50),
        reloads.slowest(),
        decisions.count(),
        decisions.over(SLOW),
        decisions.percentile(99),
        decisions.slowest(),
    );
}

fn decide(policies: &Policies, request: &Request, done: &AtomicBool) -> (Times, usize) {
    let mut times = Vec::new();
    let mut failed = 0;
    while !done.load(Ordering::Relaxed) {
        let start = Instant::now();
        let decision = policies.decide_blocking(request);
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
fn publish(folder: &Path, version: usize, module: &[u8]) {
    let content = folder.join(format!("..{version}"));
    fs::create_dir(&content).expect("a folder");
    fs::write(content.join("site.wasm"), component(module, version)).expect("a file");
    let next = folder.join("..data_tmp");
    symlink(format!("..{version}"), &next).expect("a link");
    fs::rename(&next, folder.join("..data")).expect("a rename");
}

/// The module with a section that says which version it is: another digest, compiled anew.
fn component(module: &[u8], version: usize) -> Vec<u8> {
    let name = b"version";
    let text = version.to_string();
    let length = 1 + name.len() + text.len();
    let lengths = [length, name.len()].map(|length| u8::try_from(length).expect("a short section"));
    [module, &[0, lengths[0], lengths[1]], name, text.as_bytes()].concat()
}
