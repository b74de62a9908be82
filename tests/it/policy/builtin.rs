//! The built-in module: the committed component is of this tree, and answers as the same crate does natively.

use std::{fs, path::Path, sync::Arc, thread};

use landfall::{
    author::build::{Language, sources},
    policy::{
        decision::Denial,
        host::Host,
        module::Prepared,
        roles::{Entry, Roles, Rule},
        store::BUILTIN,
    },
};
use landfall_policy_builtin as native;

use crate::policy::support::request;

/// Settings that are generated, and questions to each: a hundred thousand pairs.
const SETTINGS: u64 = 100;
const QUESTIONS: u64 = 1000;
/// They are asked by so many threads.
const THREADS: u64 = 2;

#[test]
fn the_committed_components_are_of_this_tree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["policies/builtin", "policies/images", "policies/pod-security", "tests/guest"] {
        let name = Path::new(folder).file_name().unwrap();
        let component = fs::read(root.join(folder).join(name).with_extension("wasm")).unwrap();
        let digest = sources::digest(&root.join(folder), Language::Rust).unwrap();
        assert_eq!(
            sources::of_component(&component),
            Some(digest.as_str()),
            "{folder} has changed: build it again with `landfall policy build {folder}`"
        );
    }
}

#[test]
fn the_sdk_has_the_interface_of_this_tree() {
    // It has a copy of its own, so that its folder can be taken elsewhere as it is.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let [own, copy] = ["wit", "policies/sdk/wit"].map(|folder| fs::read(root.join(folder).join("policy.wit")).unwrap());
    assert!(own == copy, "wit/policy.wit has changed: copy it with `cp wit/policy.wit policies/sdk/wit/`");
}

/// SplitMix64: the same questions on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % end
    }

    fn pick<'a>(&mut self, names: &[&'a str]) -> &'a str {
        names[usize::try_from(self.below(names.len() as u64)).unwrap()]
    }

    fn list<T>(&mut self, longest: u64, mut item: impl FnMut(&mut Random) -> T) -> Vec<T> {
        (0..self.below(longest + 1)).map(|_| item(self)).collect()
    }
}

const NAMES: &[&str] =
    &["default", "other", "argo", "team-a", "team-b", "x", "other-ns", "team", "team-a-1", "0", "z-9", "ci", "y"];
const NAMES_IN_RULES: &[&str] =
    &["default", "other", "argo", "team-a", "team-b", "x", "team", "team-a-1", "0", "ci", "", "", "*", "Nö \"t\""];

fn roles(random: &mut Random) -> Roles {
    if random.below(8) == 0 {
        return Roles::Absent;
    }
    Roles::Entries(random.list(12, |random| Entry {
        namespace: random.pick(NAMES_IN_RULES).to_owned(),
        rules: random.list(6, |random| Rule {
            cluster_names: random.list(3, |random| random.pick(NAMES_IN_RULES).to_owned()),
            namespaces: random.list(3, |random| random.pick(NAMES_IN_RULES).to_owned()),
        }),
    }))
}

/// The rules read as they are written, with no index: a third opinion.
fn plain(roles: &Roles, namespace: &str, cluster: &str, target: &str) -> bool {
    let Roles::Entries(entries) = roles else { return cluster == "default" && target == namespace };
    let has = |names: &[String], name: &str| names.iter().any(|other| other.is_empty() || other == name);
    entries
        .iter()
        .filter(|entry| entry.namespace.is_empty() || entry.namespace == namespace)
        .flat_map(|entry| &entry.rules)
        .any(|rule| has(&rule.cluster_names, cluster) && has(&rule.namespaces, target))
}

#[test]
fn component_and_native_build_agree() {
    let host = Host::new().unwrap();
    let prepared = Prepared::new(&host, Arc::from(BUILTIN)).unwrap();
    thread::scope(|scope| {
        for first in 0..THREADS {
            let (host, prepared) = (&host, &prepared);
            scope.spawn(move || {
                for seed in (first..SETTINGS).step_by(usize::try_from(THREADS).unwrap()) {
                    agree(host, prepared, seed);
                }
            });
        }
    });
}

/// The settings of this seed, and questions to them.
fn agree(host: &Host, prepared: &Prepared, seed: u64) {
    let mut random = Random(seed);
    let roles = roles(&mut random);
    let settings = roles.to_settings();
    let module = prepared.configure(host, "builtin", &settings).unwrap();
    assert_eq!(module.no_snapshot_because(), None);
    let rules = native::configure(&settings.to_string()).unwrap();
    for _ in 0..QUESTIONS {
        let [namespace, cluster, target] = [(); 3].map(|()| random.pick(NAMES));
        let request = request(namespace, &format!("{cluster}/{target}"));
        let question = native::Request { home: "default", workflow_namespace: namespace, cluster, namespace: target };
        let answered = module.ask(host, &request).unwrap();
        let expected = match native::authorize(&rules, &question) {
            native::Decision::Allow => None,
            native::Decision::Deny { reason, code } => Some(Denial::of_module("builtin", &reason, code)),
        };
        let place = || format!("seed {seed}: {namespace} -> {cluster}/{target} under {settings}");
        assert_eq!(answered, expected, "{}", place());
        assert_eq!(answered.is_none(), plain(&roles, namespace, cluster, target), "{}", place());
    }
}

#[test]
fn settings_that_are_not_of_the_host_are_refused() {
    let host = Host::new().unwrap();
    let prepared = Prepared::new(&host, Arc::from(BUILTIN)).unwrap();
    for settings in ["[]", r#"{"rules":[]}"#, r#"{"roles":[{}]}"#, r#"{"roles":[{"namespace":1}]}"#] {
        let wrong = native::configure(settings).unwrap_err();
        let refused = prepared.configure(&host, "builtin", &serde_json::from_str(settings).unwrap()).unwrap_err();
        assert_eq!(refused.to_string(), format!("refuses its settings: {wrong}"));
    }
}
