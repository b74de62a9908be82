//! The built-in module: the committed component is of this tree, and answers as the same crate does natively.

use std::{fs, path::Path, sync::Arc, thread};

use landfall::{
    author::build::{Language, sources},
    policy::{
        decision::Denial,
        host::Host,
        module::Prepared,
        request::Request,
        roles::{Entry, Roles, Rule},
        store::BUILTIN,
    },
};
use landfall_policy_builtin as native;

use crate::policy::support::request;

/// Settings that are generated, and questions to each: a hundred thousand pairs.
const SETTINGS: u64 = 1000;
const QUESTIONS: u64 = 100;
/// Names that are made up for each settings, beside those that all have.
const OWN_NAMES: usize = 8;
/// The longest name of a namespace or cluster.
const NAME_LENGTH: u64 = 63;
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

    fn pick<'a>(&mut self, names: &'a [String]) -> &'a str {
        &names[usize::try_from(self.below(names.len() as u64)).unwrap()]
    }

    /// A DNS label, as long as one may be at most; many begin alike.
    fn label(&mut self) -> String {
        let length = 1 + self.below(NAME_LENGTH);
        let start = ["", "team-", "a", "other-ns-of-a-team-with-a-long-name-"][usize::try_from(self.below(4)).unwrap()];
        let letter = |random: &mut Random| char::from(b"abcxyz0189"[usize::try_from(random.below(10)).unwrap()]);
        let mut label: String = start.to_owned();
        label.extend((0..length).map(|at| if at % 7 == 6 { '-' } else { letter(self) }));
        label.truncate(usize::try_from(NAME_LENGTH).unwrap());
        label.trim_end_matches('-').to_owned()
    }

    fn list<T>(&mut self, longest: u64, mut item: impl FnMut(&mut Random) -> T) -> Vec<T> {
        (0..self.below(longest + 1)).map(|_| item(self)).collect()
    }
}

const NAMES: &[&str] =
    &["default", "other", "argo", "team-a", "team-b", "x", "other-ns", "team", "team-a-1", "0", "z-9", "ci", "y"];
/// What may stand in rules beside these.
const ODD_NAMES: &[&str] = &["", "", "", "*", "Nö \"t\"", "default ", "DEFAULT", "a.b"];

fn roles(random: &mut Random, names: &[String]) -> Roles {
    let names = [names, &ODD_NAMES.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()].concat();
    let names = names.as_slice();
    if random.below(8) == 0 {
        return Roles::Absent;
    }
    Roles::Entries(random.list(12, |random| Entry {
        namespace: random.pick(names).to_owned(),
        rules: random.list(6, |random| Rule {
            cluster_names: random.list(3, |random| random.pick(names).to_owned()),
            namespaces: random.list(3, |random| random.pick(names).to_owned()),
        }),
    }))
}

/// The rules read as they are written, with no index: a third opinion.
fn plain(roles: &Roles, [home, namespace, cluster, target]: [&str; 4]) -> bool {
    let Roles::Entries(entries) = roles else { return cluster == home && target == namespace };
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
    let mut names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    names.extend((0..OWN_NAMES).map(|_| random.label()));
    let roles = roles(&mut random, &names);
    let settings = roles.to_settings();
    let module = prepared.configure(host, "builtin", &settings).unwrap();
    assert_eq!(module.no_snapshot_because(), None);
    let rules = native::configure(&settings.to_string()).unwrap();
    for _ in 0..QUESTIONS {
        let [mut home, namespace, mut cluster, mut target] = [(); 4].map(|()| random.pick(&names));
        // Most homes have this name, and most questions are about one's own namespace or cluster.
        match random.below(4) {
            0 => home = "default",
            1 => cluster = home,
            2 => (cluster, target) = (home, namespace),
            _ => {}
        }
        let request = Request { home: home.parse().unwrap(), ..request(namespace, &format!("{cluster}/{target}")) };
        let question = native::Request { home, workflow_namespace: namespace, cluster, namespace: target };
        let answered = module.ask(host, &request).unwrap();
        let expected = match native::authorize(&rules, &question) {
            native::Decision::Allow => None,
            native::Decision::Deny { reason, code } => Some(Denial::of_module("builtin", &reason, code)),
        };
        let place = || format!("seed {seed}: {namespace} at {home} -> {cluster}/{target} under {settings}");
        assert_eq!(answered, expected, "{}", place());
        assert_eq!(answered.is_none(), plain(&roles, [home, namespace, cluster, target]), "{}", place());
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
