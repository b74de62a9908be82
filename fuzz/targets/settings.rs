//! Settings: whatever stands in the ConfigMap, reading it names mistakes or gives a configuration within all bounds, and
//! the modules take its settings or refuse them, as components and natively alike.
//!
//! The input is the text of `namespaceRoles`, a line `====`, and the text of `policies`; an empty one is an absent key.

#![no_main]

use std::{
    collections::BTreeSet,
    str,
    sync::{Arc, LazyLock},
    time::Duration,
};

use landfall::{
    api::ids::{Namespace, Target},
    policy::{
        config::{Config, ConfigError, MODULES_MAX, Mistake, ModulesConfig, Warning},
        consent::Landing,
        decision::{CODE_MEMORY_LIMIT, CODE_RESULT_LIMIT, CODE_STACK_LIMIT, CODE_TIME_LIMIT, Mode, fit},
        host::Host,
        limits::{CONFIGURE_MILLISECONDS, DECISION_MILLISECONDS, Failure, Limits, MEMORY_MEBIBYTES, RESULT_KIBIBYTES},
        module::{LoadError, Prepared},
        request::{Creates, PodJson, Request, Workflow},
        roles::Roles,
        session::Session,
    },
};
use landfall_fuzz::Twin;
use libfuzzer_sys::{Corpus, fuzz_target};

const SEPARATOR: &str = "\n====\n";
/// So many names of the rules are asked for, in all combinations.
const NAMES_MAX: usize = 3;
/// What settings can bring a module to. A trap is none of these: a module must not panic over its settings.
const LIMITS: [&str; 4] = [CODE_TIME_LIMIT, CODE_MEMORY_LIMIT, CODE_STACK_LIMIT, CODE_RESULT_LIMIT];
/// What modules that look at pods are asked about.
const PODS: &[&str] = &[
    r#"{"spec": {"containers": [{"name": "main", "image": "ghcr.io/acme/tool:1"}]}}"#,
    r#"{"spec": {"hostNetwork": true, "containers": [{"name": "main", "securityContext": {"privileged": true}}]}}"#,
];

static HOST: LazyLock<Arc<Host>> = LazyLock::new(|| Host::new().expect("a host"));
static PREPARED: LazyLock<Vec<(Twin, Prepared)>> = LazyLock::new(|| {
    let prepared = |twin: Twin| Prepared::new(&HOST, twin.component().into()).expect("a component");
    Twin::ALL.map(|twin| (twin, prepared(twin))).into()
});

fuzz_target!(
    init: LazyLock::force(&PREPARED),
    |bytes: &[u8]| -> Corpus {
        let Ok(text) = str::from_utf8(bytes) else { return Corpus::Reject };
        let (roles, chain) = text.split_once(SEPARATOR).unwrap_or((text, ""));
        read(roles, chain);
        Corpus::Keep
    }
);

fn read(roles: &str, chain: &str) {
    let texts = [roles, chain].map(|text| Some(text).filter(|text| !text.is_empty()));
    let parsed = Config::parse(texts[0], texts[1]);
    assert_eq!(parsed, Config::parse(texts[0], texts[1]), "the same text is read in two ways");
    match &parsed {
        Err(ConfigError { mistakes }) => {
            assert!(!mistakes.is_empty(), "refused for nothing");
            mistakes.iter().for_each(|mistake| is_in_a_text(mistake, roles, chain));
        }
        Ok((config, warnings)) => {
            warnings.iter().for_each(|Warning(mistake)| is_in_a_text(mistake, roles, chain));
            is_within_bounds(config);
            roles_are_read_as_written(&config.roles);
            ask(config);
        }
    }
}

fn is_in_a_text(mistake: &Mistake, roles: &str, chain: &str) {
    let told = mistake.to_string();
    assert!(!mistake.message.is_empty(), "{told}");
    // In YAML, a carriage return ends a line as well.
    let lines = [roles, chain].map(|text| text.split(['\n', '\r']).count()).into_iter().max().unwrap_or_default();
    // A mistake that is noticed at the end of the text may be counted to the line after it.
    assert!(mistake.line.is_none_or(|line| (1..=lines as u64 + 1).contains(&line)), "{told}");
}

fn is_within_bounds(config: &Config) {
    limits_are_within_bounds(config.chain.limits);
    let ModulesConfig::Listed(modules) = &config.chain.modules else { return };
    assert!(modules.len() <= MODULES_MAX);
    let mut files = BTreeSet::new();
    for module in modules {
        limits_are_within_bounds(module.limits);
        assert!(files.insert(&module.file), "{:?} twice", module.file);
        assert!(module.file.ends_with(".wasm") && !module.file.starts_with('.'), "{:?}", module.file);
        assert!(!module.file.contains(['/', '\\']), "{:?}", module.file);
        if let (Some(pin), Some(allowed)) = (&module.sha256, &config.chain.allowed_digests) {
            assert!(allowed.contains(pin));
        }
    }
    assert!(config.chain.builtin || modules.iter().any(|module| module.mode == Mode::Enforce));
}

fn limits_are_within_bounds(limits: Limits) {
    let Limits { decision_time, configure_time, memory_bytes, result_bytes } = limits;
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).expect("a short time");
    assert!(DECISION_MILLISECONDS.contains(&milliseconds(decision_time)));
    assert!(CONFIGURE_MILLISECONDS.contains(&milliseconds(configure_time)));
    assert!(MEMORY_MEBIBYTES.contains(&(memory_bytes as u64 >> 20)));
    assert!(RESULT_KIBIBYTES.contains(&(result_bytes as u64 >> 10)));
}

/// JSON is YAML: what the built-in module is given says as YAML what the operator wrote.
fn roles_are_read_as_written(roles: &Roles) {
    let Roles::Entries(entries) = roles else { return };
    let text = serde_json::to_string(entries).expect("entries are JSON");
    let (again, _) = Config::parse(Some(&text), None).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(&again.roles, roles, "{text}");
}

/// Configures the modules that there are twice, and asks both.
fn ask(config: &Config) {
    let roles = config.roles.to_settings();
    let builtin = config.chain.builtin.then_some((Twin::Builtin.name(), &roles));
    let listed = match &config.chain.modules {
        ModulesConfig::WholeFolder => &[],
        ModulesConfig::Listed(modules) => modules.as_slice(),
    };
    let listed = listed.iter().filter_map(|module| Some((module.file.strip_suffix(".wasm")?, &module.settings)));
    let requests = requests(&config.roles);
    for (name, settings) in builtin.into_iter().chain(listed) {
        if let Some((twin, prepared)) = PREPARED.iter().find(|(twin, _)| twin.name() == name) {
            ask_both(*twin, prepared, settings, &requests);
        }
    }
}

fn ask_both(twin: Twin, prepared: &Prepared, settings: &serde_json::Value, requests: &[Request]) {
    let native = twin.configure(&settings.to_string());
    let (native, mut session) = match (native, Session::start(&HOST, prepared, settings)) {
        (Ok(native), Ok(session)) => (native, session),
        (_, Err(LoadError::Configure(failure))) => return is_a_limit(&failure),
        (Err(why), Err(LoadError::Settings(told))) => return assert_eq!(fit(&why), told, "{settings}"),
        (native, session) => panic!("natively {:?}, the component {:?}: {settings}", native.err(), session.err()),
    };
    assert!(twin != Twin::Builtin || !session.needs_pod());
    for request in requests {
        // The native one has no limit of time: it is asked second.
        match session.ask(twin.name(), request) {
            Ok(answer) => assert_eq!(answer, native.ask(twin, request), "{request} under {settings}"),
            Err(failure) => is_a_limit(&failure),
        }
    }
}

fn is_a_limit(failure: &Failure) {
    assert!(LIMITS.contains(&failure.code), "{failure:?}");
}

/// Requests for the names that the rules have, as far as they can be names.
fn requests(roles: &Roles) -> Vec<Request> {
    let entries = match roles {
        Roles::Absent => &[],
        Roles::Entries(entries) => entries.as_slice(),
    };
    let rules = || entries.iter().flat_map(|entry| &entry.rules);
    let namespaces: BTreeSet<&String> = entries.iter().map(|entry| &entry.namespace).collect();
    let clusters: BTreeSet<&String> = rules().flat_map(|rule| &rule.cluster_names).collect();
    let targets: BTreeSet<&String> = rules().flat_map(|rule| &rule.namespaces).collect();
    let mut requests = Vec::new();
    for (place, namespace) in names(&namespaces, "argo").into_iter().enumerate() {
        for cluster in names(&clusters, "other") {
            for target in names(&targets, "argo") {
                requests.push(request(place, namespace, cluster, target));
            }
        }
    }
    requests
}

fn names<'a>(names: &BTreeSet<&'a String>, otherwise: &'a str) -> Vec<&'a str> {
    let names = names.iter().map(|name| name.as_str());
    names.chain([otherwise]).filter(|name| name.parse::<Namespace>().is_ok()).take(NAMES_MAX).collect()
}

fn request(place: usize, namespace: &str, cluster: &str, target: &str) -> Request {
    Request {
        home: "default".parse().expect("a name"),
        workflow: Workflow {
            namespace: namespace.parse().expect("a name that was looked at"),
            name: "main".to_owned(),
            uid: "0".to_owned(),
        },
        template: "main".to_owned(),
        target: Target {
            cluster: cluster.parse().expect("a name that was looked at"),
            namespace: target.parse().expect("a name that was looked at"),
        },
        service_account: "default".to_owned(),
        creates: Creates::Pod,
        pod: Some(PodJson::from(PODS[place % PODS.len()].to_owned())),
        attributes: Vec::new(),
        landing: Landing::Open,
    }
}
