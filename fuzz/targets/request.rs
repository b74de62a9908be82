//! Requests: a chain of committed components answers each as the same modules do natively, every time, and never because
//! the host gave up on one.
//!
//! Requests are made so that the controller could make them; what no controller makes is not here.

#![no_main]

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use landfall::policy::{
    config::{Config, ModulesConfig},
    decision::{Answer, Decision, Denial, Mode, Verdict},
    folder::Files,
    host::Host,
    request::Request,
    store::{Chain, Store},
};
use landfall_fuzz::{Native, Twin, question::Question};
use libfuzzer_sys::fuzz_target;

/// `namespaceRoles` and `policies` of each chain.
const CHAINS: &[(Option<&str>, &str)] = &[
    (None, "modules: []"),
    (Some(ROLES), "modules: []"),
    (Some(ANYWHERE), IMAGES_AND_LEVELS),
    (Some(ROLES), LEVELS_AND_SHADOW),
    (None, WITHOUT_BUILTIN),
];
const ANYWHERE: &str = "- {namespace: '', rules: [{clusterNames: [''], namespaces: ['']}]}";
const ROLES: &str = "
- namespace: argo
  rules:
    - {clusterNames: [default], namespaces: [argo]}
    - {clusterNames: [other, hq], namespaces: [argo, prod, ci, team-a, team-b, team-a-1]}
- namespace: team-a
  rules: [{clusterNames: [''], namespaces: [team-a, '*']}]
- namespace: team-b
  rules: [{clusterNames: [other], namespaces: []}, {clusterNames: [], namespaces: ['']}]
- namespace: ''
  rules: [{clusterNames: [default], namespaces: [net]}]
";
const IMAGES_AND_LEVELS: &str = "
modules:
  - file: images.wasm
    settings:
      rules:
        - {targets: ['@home/*'], images: ['**']}
        - {targets: [other/argo, other/team-*], images: ['ghcr.io/acme/**', docker.io/library/alpine]}
        - {targets: ['*/prod', hq/*], images: ['ghcr.io/acme/*'], requireDigest: true}
        - targets: ['*/*']
          images: [quay.io/tools/scan@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]
  - file: pod-security.wasm
    settings:
      otherwise: privileged
      levels:
        - {targets: ['@remote/*'], level: baseline}
        - {targets: ['*/prod'], level: restricted, noServiceAccountToken: true}
      exemptions:
        - {targets: [other/ci], workflowNamespaces: [argo], controls: [host-path, privileged]}
        - {targets: ['*/net'], capabilities: [NET_ADMIN]}
";
const LEVELS_AND_SHADOW: &str = "
modules:
  - {file: pod-security.wasm, settings: {otherwise: baseline}}
  - file: images.wasm
    mode: shadow
    settings: {rules: [{targets: ['*/*'], images: ['docker.io/**']}, {targets: ['@remote/*a*'], images: ['ghcr.*/a*/*o*l']}]}
";
const WITHOUT_BUILTIN: &str = "
builtin: false
modules:
  - {file: pod-security.wasm, settings: {otherwise: restricted}}
  - {file: images.wasm, settings: {rules: [{targets: ['*/*'], images: ['**']}]}}
";

/// A chain, and what is in it natively.
struct Twins {
    chain: Chain,
    natives: Vec<(Mode, Twin, Native)>,
}

static HOST: LazyLock<Arc<Host>> = LazyLock::new(|| Host::new().expect("a host"));
static TWINS: LazyLock<Vec<Twins>> = LazyLock::new(|| {
    let mut store = Store::default();
    CHAINS.iter().map(|(roles, chain)| load(&mut store, *roles, chain)).collect()
});

fuzz_target!(
    init: LazyLock::force(&TWINS),
    |question: Question| {
        let twins = &TWINS[usize::from(question.chain) % CHAINS.len()];
        check(twins, &question.request());
    }
);

fn load(store: &mut Store, roles: Option<&str>, chain: &str) -> Twins {
    let config = Config::parse(roles, Some(chain)).expect("a configuration").0;
    let files = Twin::ALL.map(|twin| (format!("{}.wasm", twin.name()), Arc::from(twin.component())));
    let files = Files { folder: PathBuf::new(), files: BTreeMap::from(files) };
    let members = store.load(&HOST, &config, &files).expect("modules that load");
    let mut natives = Vec::new();
    let mut add = |mode, name: &str, settings: &serde_json::Value| {
        let twin = Twin::ALL.into_iter().find(|twin| twin.name() == name).expect("a module with a twin");
        natives.push((mode, twin, twin.configure(&settings.to_string()).expect("settings that are right")));
    };
    if config.chain.builtin {
        add(Mode::Enforce, Twin::Builtin.name(), &config.roles.to_settings());
    }
    let ModulesConfig::Listed(listed) = &config.chain.modules else { panic!("{chain}") };
    for module in listed {
        add(module.mode, module.file.strip_suffix(".wasm").expect("a component"), &module.settings);
    }
    Twins { chain: Chain::new(1, members), natives }
}

fn check(twins: &Twins, request: &Request) {
    let Twins { chain, natives } = twins;
    let expected = expected(chain, natives, request);
    for time in ["first", "second"] {
        let (decision, said) = chain.decide(&HOST, request);
        assert_eq!(decision, expected, "asked for the {time} time: {request:?}");
        for evaluation in said.into_iter().map(|said| said.evaluation(decision.is_allowed())) {
            assert!(!matches!(evaluation.answer, Answer::Failed { .. }), "{evaluation:?}");
        }
    }
    let shadows = natives.iter().filter(|(mode, ..)| *mode == Mode::Shadow);
    for (said, (_, twin, native)) in chain.ask_shadows(&HOST, request).into_iter().zip(shadows) {
        let expected = match native.ask(*twin, request) {
            None => Answer::Allow,
            Some(Denial { code, reason, .. }) => Answer::Deny { code, reason },
        };
        assert_eq!(said.evaluation(true).answer, expected, "{}", twin.name());
    }
    let written = serde_json::to_string(request).expect("a request is JSON");
    let read: Request = serde_json::from_str(&written).expect("a request is read as it is written");
    assert_eq!(read, request.without_pod());
}

/// The first of the native modules that does not allow decides.
fn expected(chain: &Chain, natives: &[(Mode, Twin, Native)], request: &Request) -> Decision {
    let enforced = || natives.iter().filter(|(mode, ..)| *mode == Mode::Enforce);
    match enforced().find_map(|(_, twin, native)| Some((*twin, native.ask(*twin, request)?))) {
        Some((twin, denial)) => {
            // All others are given the pod, where there is one.
            let may_quote_pod = twin != Twin::Builtin && request.pod.is_some();
            Decision { may_quote_pod, ..Decision::deny(denial, chain.generation) }
        }
        None => {
            let module = enforced().map(|(_, twin, _)| twin.name()).collect::<Vec<_>>().join("+");
            Decision { verdict: Verdict::Allow, module, generation: chain.generation, may_quote_pod: false }
        }
    }
}
