//! Modules: whatever a file in the policy folder holds, loading it beside the built-in module refuses it with a reason,
//! or it answers within its limits, the same every time; and the modules beside it answer as before.
//!
//! Settings and limits are fixed here; the limits are short, because an endless loop uses all of its time. The components of
//! this tree stand beside the module as shadows, so that what is made from one of them finds the functions that the two
//! have in common compiled.

#![no_main]

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{self, Location},
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use landfall::policy::{
    config::Config,
    decision::{CODE_TIME_LIMIT, Decision, MODULE_BUILTIN, Verdict},
    folder::Files,
    host::Host,
    request::Request,
    store::{Chain, Member, SetError, Store},
};
use landfall_fuzz::Twin;
use libfuzzer_sys::{Corpus, fuzz_target};
use nix::time::{ClockId, clock_gettime};

const MODULE: &str = "fuzzed";
const FILE: &str = "fuzzed.wasm";
const ROLES: &str = "[{namespace: argo, rules: [{clusterNames: [other], namespaces: [argo]}]}]";
const CHAIN: &str = "
modules:
  - {file: fuzzed.wasm, limits: {decisionMilliseconds: 5, configureMilliseconds: 50}}
  - {file: guest.wasm, mode: shadow}
  - {file: images.wasm, mode: shadow, settings: {rules: []}}
  - {file: pod-security.wasm, mode: shadow}
";
/// The module that the tests of policy use.
const GUEST: &[u8] = include_bytes!("../../tests/guest/guest.wasm");
const REQUEST: &str = r#"{
    "home": "default", "workflow": {"namespace": "argo", "name": "main", "uid": "0"}, "template": "main",
    "target": {"cluster": "other", "namespace": "argo"}, "serviceAccount": "default", "creates": "pod",
    "pod": {"spec": {"containers": [{"name": "main", "image": "ghcr.io/acme/tool:1"}]}},
    "attributes": [["request-time", "2026-11-24T08:30:00Z"]]
}"#;
/// Processor time of a decision with a limit of 5 ms and a built-in module that takes some microseconds. Whatever is over
/// that many times the limit is not stopped by it.
const DECISION_TIME_MAX: Duration = Duration::from_secs(1);
/// What is kept of a reason.
const REASON_CHARACTERS_MAX: usize = 1024;

/// One host and one store, which take module after module as those of a controller do.
struct World {
    host: Arc<Host>,
    store: Mutex<Store>,
    config: Config,
    request: Request,
    /// The folder without the module.
    beside: BTreeMap<String, Arc<[u8]>>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let twins = [Twin::Images, Twin::PodSecurity].map(|twin| (twin.name(), twin.component()));
    let beside = twins.into_iter().chain([("guest", GUEST)]);
    let world = World {
        host: Host::new().expect("a host"),
        store: Mutex::default(),
        config: Config::parse(Some(ROLES), Some(CHAIN)).expect("a configuration").0,
        request: serde_json::from_str(REQUEST).expect("a request"),
        beside: beside.map(|(name, bytes)| (format!("{name}.wasm"), bytes.into())).collect(),
    };
    world.load(GUEST).expect("modules that load");
    world
});

/// Where panics were caught so far. Each place is told once.
static CAUGHT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fuzz_target!(
    init: {
        tell_panics();
        LazyLock::force(&WORLD);
    },
    |bytes: &[u8]| -> Corpus { check(bytes) }
);

impl World {
    fn load(&self, bytes: &[u8]) -> Result<Vec<Member>, SetError> {
        let mut files = self.beside.clone();
        files.insert(FILE.to_owned(), bytes.into());
        let files = Files { folder: PathBuf::new(), files };
        self.store.lock().unwrap_or_else(PoisonError::into_inner).load(&self.host, &self.config, &files)
    }
}

/// The host catches panics of the rewriting: not every panic is a finding, as it is by libFuzzer's own hook. One that is
/// not caught reaches libFuzzer, which aborts.
fn tell_panics() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(Location::to_string).unwrap_or_default();
        if CAUGHT.lock().unwrap_or_else(PoisonError::into_inner).insert(place) {
            eprintln!("{panic}");
        }
    }));
}

fn check(bytes: &[u8]) -> Corpus {
    let World { host, request, .. } = &*WORLD;
    let members = match WORLD.load(bytes) {
        Ok(members) => members,
        Err(error) => {
            is_about_the_module(&error);
            return Corpus::Keep;
        }
    };
    let chain = Chain::new(1, members);
    let [first, second] = [(); 2].map(|()| decide(host, &chain, request));
    if ![&first, &second].iter().any(|decision| decision.code() == Some(CODE_TIME_LIMIT)) {
        assert_eq!(first, second, "the same module says two things");
    }
    Corpus::Keep
}

fn is_about_the_module(error: &SetError) {
    assert_eq!(error.module(), Some(MODULE), "{error}");
    assert!(!error.to_string().is_empty());
    // Asked for as the state does.
    drop(error.hint());
}

fn decide(host: &Host, chain: &Chain, request: &Request) -> Decision {
    let start = processor_time();
    let (decision, said) = chain.decide(host, request);
    let took = processor_time().saturating_sub(start);
    assert!(took < DECISION_TIME_MAX, "{took:?}: {decision:?}");
    // The built-in module allows what is asked, whatever other modules do.
    assert_eq!(said.iter().map(|said| said.module()).collect::<Vec<_>>(), [MODULE_BUILTIN, MODULE], "{decision:?}");
    match &decision.verdict {
        Verdict::Allow => assert_eq!(decision.module, "builtin+fuzzed"),
        Verdict::Deny { reason, code } => {
            assert_eq!(decision.module, MODULE, "{decision:?}");
            assert!(
                reason.chars().count() <= REASON_CHARACTERS_MAX && !reason.contains(char::is_control),
                "{reason:?}"
            );
            assert!(!code.is_empty() && code.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
        }
    }
    decision
}

/// Of this thread so far.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).expect("a clock of this thread")
}
