//! What a decision costs: the built-in module with a thousand rules, a fresh instance each time, beside the same rules
//! called natively; other modules of this repository; and what loading costs. The same beside other languages for policy is
//! in `benches/peers`. Which bars were held stands below.

use std::{
    fs,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use landfall::policy::{
    Options, Policies,
    config::Config,
    host::Host,
    module::{Module, Prepared},
    request::Request,
    store::BUILTIN,
};
use landfall_policy_builtin as native;

use crate::{
    bars::Bars,
    builtin::{self, NATIVE_BATCH, module},
    thousand::{self, ALLOWED, DENIED},
    times::{self, Bar, Times},
};

/// Of a decision by the built-in module, alone and as the chain.
const BUILT_IN_BAR: Bar = Bar { p50: Duration::from_micros(10), p99: Duration::from_micros(40) };
/// Of a module in JavaScript: the bar is one for all decisions.
const JAVASCRIPT_BAR: Bar = Bar { p50: Duration::from_micros(500), p99: Duration::from_micros(500) };
/// Of a module in Python: likewise.
const PYTHON_BAR: Bar = Bar { p50: Duration::from_millis(2), p99: Duration::from_millis(2) };
/// Two threads have to make so many times the decisions of one.
const TWO_THREADS_BAR: f64 = 1.7;
/// Modules beside the built-in one that are asked: in JavaScript and in Python, with settings that allow the request.
const OTHERS: &[(&str, Bar, &str)] = &[
    (
        "office-hours",
        JAVASCRIPT_BAR,
        r#"{"utcOffset": "+01:00", "rules": [
            {"clusters": ["cluster-7"], "from": "00:00", "to": "24:00", "days": ["mon", "tue", "wed", "thu", "fri"]},
            {"clusters": ["batch"], "from": "22:00", "to": "06:00", "except": ["on-call"]}
        ]}"#,
    ),
    (
        "name-rules",
        PYTHON_BAR,
        r#"{"rules": [
            {"workflows": "team-{team}", "namespaces": "{team}-*", "serviceAccounts": "{team}-*"},
            {"workflows": "platform", "templates": "deploy-*"},
            {"workflows": "team-{team}", "namespaces": "team-{team}-*", "serviceAccounts": "workflow"}
        ]}"#,
    ),
];

/// Measures and prints.
pub fn run(bars: &mut Bars) {
    times::head("decision");
    for (name, namespace) in [("native, allow", ALLOWED), ("native, deny", DENIED)] {
        natively(name, namespace);
    }
    let host = Host::new().expect("the engine starts");
    let module = module(&host, BUILTIN, &thousand::settings(0));
    for (name, namespace) in [("built-in, allow", ALLOWED), ("built-in, deny", DENIED)] {
        let request = thousand::request(namespace);
        show(bars, (name, &BUILT_IN_BAR), || drop(module.ask(&host, &request)));
    }
    let config = Config::parse(Some(&thousand::settings(0)["roles"].to_string()), None).expect("a configuration").0;
    let policies = Policies::start(Options { config, ..Options::default() }).expect("the policy starts");
    for (name, namespace) in [("chain with its record, allow", ALLOWED), ("chain with its record, deny", DENIED)] {
        let request = thousand::request(namespace);
        show(bars, (name, &BUILT_IN_BAR), || drop(policies.decide_blocking(&request)));
    }
    for (other, bar, settings) in OTHERS {
        of_repository(bars, &host, (other, bar), settings);
    }
    println!();
    on_two_threads(bars, &host, &module);
    println!();
    loads();
}

fn natively(name: &str, namespace: &str) {
    let rules = native::configure(&thousand::settings(0).to_string()).expect("the settings are right");
    let request = thousand::request(namespace);
    let question = builtin::question(&request);
    let figure = times::measure(NATIVE_BATCH, || {
        for _ in 0..NATIVE_BATCH {
            std::hint::black_box(native::authorize(&rules, std::hint::black_box(&question)));
        }
    });
    println!("{}", figure.line(name));
}

/// A module of `policies/`, asked for an allowance and for a denial.
fn of_repository(bars: &mut Bars, host: &Host, (name, bar): (&str, &Bar), settings: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("policies/{name}/{name}.wasm"));
    let bytes = fs::read(&file).expect("the component is in the repository");
    let settings = serde_json::from_str(settings).expect("the settings are JSON");
    let module = module(host, &bytes, &settings);
    // A Tuesday.
    let attributes = vec![("request-time".to_owned(), "2026-11-24T09:30:00Z".to_owned())];
    let allowed = Request { attributes, ..thousand::request(ALLOWED) };
    let denied = Request { attributes: Vec::new(), service_account: "other".to_owned(), ..thousand::request(DENIED) };
    for (verdict, request) in [("allow", allowed), ("deny", denied)] {
        let answer = module.ask(host, &request).expect("the module answers");
        assert_eq!(answer.is_none(), verdict == "allow", "{name}: {answer:?}");
        show(bars, (&format!("{name}, {verdict}"), bar), || drop(module.ask(host, &request)));
    }
}

fn show(bars: &mut Bars, (name, bar): (&str, &Bar), work: impl FnMut()) {
    let figure = times::measure(1, work);
    println!("{}", figure.line(name));
    bars.judge(format_args!("{name}: {bar}"), bar.is_held(&figure));
}

/// Two threads that decide at the same time, beside one.
fn on_two_threads(bars: &mut Bars, host: &Host, module: &Module) {
    let request = thousand::request(ALLOWED);
    let mut best = [0; 2];
    for _ in 0..times::ROUNDS {
        for (threads, best) in [1, 2].into_iter().zip(&mut best) {
            *best = decisions(host, module, &request, threads).max(*best);
        }
    }
    let ratio = best[1] as f64 / best[0] as f64;
    let [one, two] = best.map(|count| count as f64 / times::ROUND.as_secs_f64());
    println!("one thread: {one:.0} decisions/s; two threads: {two:.0} decisions/s, {ratio:.2} times as many");
    bars.judge(format_args!("two threads: {TWO_THREADS_BAR} times the decisions of one"), ratio >= TWO_THREADS_BAR);
}

fn decisions(host: &Host, module: &Module, request: &Request, threads: usize) -> usize {
    thread::scope(|scope| {
        let counts: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| Times::of(times::ROUND, || drop(module.ask(host, request))).count()))
            .collect();
        counts.into_iter().map(|count| count.join().expect("deciding does not panic")).sum()
    })
}

/// What it takes to load the built-in module anew, and with other settings.
fn loads() {
    let host = Host::new().expect("the engine starts");
    let timed = |work: &mut dyn FnMut(usize)| {
        let times = (0..20).map(|number| {
            let start = Instant::now();
            work(number);
            start.elapsed()
        });
        let times = Times::from(times.collect::<Vec<_>>());
        format!("p50 {:.1?}, max {:.1?}", times.percentile(50), times.slowest())
    };
    println!("load of the built-in module: {}", timed(&mut |_| drop(module(&host, BUILTIN, &thousand::settings(0)))));
    let prepared = Prepared::new(&host, Arc::from(BUILTIN)).expect("the built-in module compiles");
    let configure = |number| prepared.configure(&host, "builtin", &thousand::settings(number)).expect("right settings");
    println!("the same with other settings: {}", timed(&mut |number| drop(configure(number))));
}
