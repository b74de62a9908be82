//! How a new set comes into force: each way in which folders and the configuration change. What is bad is in `refusals`.

use std::{fs, os::unix::fs::symlink, path::PathBuf, sync::Arc, thread};

use landfall::policy::{
    Options, Policies,
    config::{Config, ModulesConfig},
    consent::{Consent, Landing},
    folder::{Files, Folder, Reading, STILL},
    host::Host,
    module::Module,
    request::Request,
    store::{BUILTIN, Store},
};

use crate::{
    policy::{
        folders::{WITHOUT_BUILTIN, folder, publish},
        support::{ask, config, of_folder, request, wait},
    },
    support::modules,
};

#[test]
fn a_volume_changes_by_the_rename_of_a_link() {
    let folder = folder();
    publish(&folder.path, "1", &[("site.wasm", modules::DENY_ALL)]);
    let policies = of_folder(&folder.path, WITHOUT_BUILTIN);
    assert_eq!(ask(&policies, "other"), "site deny-all 1");
    publish(&folder.path, "2", &[("site.wasm", BUILTIN)]);
    let state = wait(&policies, |state| state.generation == 2);
    assert_eq!(state.refusal, None);
    // The built-in one without settings: its own namespace at home.
    assert_eq!(ask(&policies, "other"), "site allow 2");
}

#[test]
fn a_folder_that_is_a_link_is_swapped_in_its_parent() {
    let folder = folder();
    let [one, two] = ["one", "two"].map(|name| folder.root.path().join(name));
    fs::create_dir_all(&one).unwrap();
    fs::create_dir_all(&two).unwrap();
    fs::write(one.join("site.wasm"), modules::DENY_ALL).unwrap();
    fs::write(two.join("site.wasm"), BUILTIN).unwrap();
    let link = folder.root.path().join("current");
    symlink(&one, &link).unwrap();
    let policies = of_folder(&link, WITHOUT_BUILTIN);
    assert_eq!(ask(&policies, "other"), "site deny-all 1");
    let next = folder.root.path().join("next");
    symlink(&two, &next).unwrap();
    fs::rename(&next, &link).unwrap();
    wait(&policies, |state| state.generation == 2);
    assert_eq!(ask(&policies, "other"), "site allow 2");
}

#[test]
fn a_file_counts_once_it_stands_still() {
    let folder = folder();
    let site = folder.path.join("site.wasm");
    let mut reader = Folder::default();
    let mut read = || reader.read(Some(&folder.path), &ModulesConfig::WholeFolder).unwrap();
    fs::write(&site, b"half").unwrap();
    assert!(matches!(read(), Reading::Unsettled(file, wait) if file == site && wait == STILL));
    // However long that took: now it has changed, and waits anew.
    fs::write(&site, b"half and half").unwrap();
    assert!(matches!(read(), Reading::Unsettled(file, wait) if file == site && wait == STILL));
    let files = loop {
        match read() {
            Reading::Complete(files) => break files.files,
            Reading::Unsettled(..) => std::thread::yield_now(),
        }
    };
    assert_eq!(files.get("site.wasm").map(|bytes| &bytes[..]), Some(&b"half and half"[..]));
}

#[test]
fn events_that_got_lost_are_made_up_for_by_looking_again() {
    let folder = folder();
    fs::write(folder.path.join("site.wasm"), modules::DENY_ALL).unwrap();
    // A path through a link two levels up: its swap is seen by no watch.
    let outer = folder.root.path().join("outer");
    symlink(folder.root.path(), &outer).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir(elsewhere.path().join("policies")).unwrap();
    fs::write(elsewhere.path().join("policies/site.wasm"), BUILTIN).unwrap();
    let options = Options {
        folder: Some(outer.join("policies")),
        config: config(None, Some(WITHOUT_BUILTIN)),
        rescan: std::time::Duration::from_millis(50),
        ..Options::default()
    };
    let policies = Policies::start(options).unwrap();
    assert_eq!(ask(&policies, "other"), "site deny-all 1");
    let next = folder.root.path().join("next");
    symlink(elsewhere.path(), &next).unwrap();
    fs::rename(&next, &outer).unwrap();
    wait(&policies, |state| state.generation == 2);
    assert_eq!(ask(&policies, "other"), "site allow 2");
}

#[test]
fn the_configuration_changes_while_it_runs() {
    let folder = folder();
    fs::write(folder.path.join("allow.wasm"), modules::DENY_ALL).unwrap();
    fs::write(folder.path.join("deny.wasm"), modules::DENY_ALL).unwrap();
    let policies = of_folder(&folder.path, "modules: []");
    let roles = "[{namespace: argo, rules: [{clusterNames: [default], namespaces: [argo]}]}]";
    let listed = "modules: [{file: allow.wasm, settings: [allow]}]";
    let configure = |roles: &str, chain: &str| policies.configure(Config::parse(Some(roles), Some(chain)).unwrap().0);
    let change = |roles: &str, chain: &str, generation: u64, expected: &str| {
        configure(roles, chain);
        let state = wait(&policies, |state| state.generation >= generation && state.refusal.is_none());
        assert_eq!((state.generation, ask(&policies, "other").as_str()), (generation, expected));
    };
    assert_eq!(ask(&policies, "other"), "builtin allow 1");
    change("[]", "modules: []", 2, "builtin namespace-has-no-entry 2");
    change(roles, "modules: []", 3, "builtin allow 3");
    change(roles, listed, 4, "builtin+allow allow 4");
    change(roles, "modules: [{file: deny.wasm}, {file: allow.wasm, settings: [allow]}]", 5, "deny deny-all 5");

    policies.refuse("written wrongly".to_owned());
    let state = wait(&policies, |state| state.refusal.is_some());
    assert_eq!(state.refusal.unwrap().reason, "written wrongly");
    assert_eq!(ask(&policies, "other"), "deny deny-all 5");
    configure(roles, "modules: [{file: none.wasm}]");
    let missing = |state: &landfall::policy::state::State| {
        state.refusal.as_ref().is_some_and(|refusal| refusal.reason.contains("\"none.wasm\" is not in"))
    };
    wait(&policies, missing);
    change(roles, listed, 6, "builtin+allow allow 6");
}

#[test]
fn a_decision_is_of_one_set_even_while_it_is_replaced() {
    let folder = folder();
    fs::write(folder.path.join("site.wasm"), modules::DENY_ALL).unwrap();
    let policies = of_folder(&folder.path, WITHOUT_BUILTIN);
    let allow = "{builtin: false, modules: [{file: site.wasm, settings: [allow]}]}";
    thread::scope(|scope| {
        let deciding: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut last = 0;
                    while last < 7 {
                        let decision = policies.decide_blocking(&request("argo", "default/argo"));
                        assert!(decision.generation >= last, "back from {last} to {decision:?}");
                        last = decision.generation;
                        // Even generations are those that allow, odd ones those that deny.
                        let expected = if last.is_multiple_of(2) { None } else { Some("deny-all") };
                        assert_eq!(decision.code(), expected, "{decision:?}");
                    }
                })
            })
            .collect();
        for generation in 2..=7 {
            let chain = if generation % 2 == 0 { allow } else { WITHOUT_BUILTIN };
            policies.configure(config(None, Some(chain)));
            wait(&policies, |state| state.generation == generation);
        }
        for deciding in deciding {
            deciding.join().unwrap();
        }
    });
}

#[test]
fn what_did_not_change_is_not_compiled_again() {
    let host = Host::new().unwrap();
    let mut store = Store::default();
    let files = |names: &[&str]| Files {
        folder: PathBuf::from("policies"),
        files: names.iter().map(|name| ((*name).to_owned(), modules::DENY_ALL.into())).collect(),
    };
    let mut load = |chain: &str, names: &[&str]| {
        let before = host.compilations();
        let loaded = store.load(&host, &config(None, Some(chain)), &files(names));
        let members = loaded.map(|members| members.into_iter().map(|member| member.module).collect::<Vec<_>>());
        (members, host.compilations() - before)
    };
    let plain = "{builtin: false, modules: [{file: a.wasm}, {file: b.wasm, settings: [1]}]}";
    let (first, compiled) = load(plain, &["a.wasm", "b.wasm"]);
    let first = first.unwrap();
    // One component for both; then a snapshot each.
    assert_eq!(compiled, 3);

    let (again, compiled) = load(plain, &["a.wasm", "b.wasm", "unused.wasm"]);
    let same = |one: &[Arc<Module>], other: &[Arc<Module>]| one.iter().zip(other).all(|(a, b)| Arc::ptr_eq(a, b));
    assert!(same(&again.unwrap(), &first) && compiled == 0, "{compiled}");

    let turned = "{builtin: false, modules: [{file: b.wasm, settings: [1]}, {file: a.wasm}]}";
    let (turned, compiled) = load(turned, &["a.wasm", "b.wasm"]);
    let turned = turned.unwrap();
    assert!(Arc::ptr_eq(&turned[0], &first[1]) && Arc::ptr_eq(&turned[1], &first[0]) && compiled == 0, "{compiled}");

    let other_settings = "{builtin: false, modules: [{file: a.wasm}, {file: b.wasm, settings: [2]}]}";
    let (changed, compiled) = load(other_settings, &["a.wasm", "b.wasm"]);
    let changed = changed.unwrap();
    assert!(Arc::ptr_eq(&changed[0], &first[0]) && !Arc::ptr_eq(&changed[1], &first[1]));
    // The snapshot only.
    assert_eq!(compiled, 1);

    // What a refused set got as far as is not done again either.
    let refused = "{builtin: false, modules: [{file: a.wasm, settings: [3]}, {file: b.wasm, settings: [refuse]}]}";
    let (error, compiled) = load(refused, &["a.wasm", "b.wasm"]);
    assert!(error.is_err() && compiled == 1, "{compiled}");
    let (error, compiled) = load(refused, &["a.wasm", "b.wasm"]);
    assert!(error.is_err() && compiled == 0, "{compiled}");
    let (back, compiled) = load(other_settings, &["a.wasm", "b.wasm"]);
    assert!(same(&back.unwrap(), &changed) && compiled == 0, "{compiled}");
}

#[test]
fn who_comes_when_all_are_busy_waits() {
    let folder = folder();
    fs::write(folder.path.join("site.wasm"), modules::DENY_ALL).unwrap();
    let policies = of_folder(&folder.path, WITHOUT_BUILTIN);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let asked: Vec<_> = (0..200)
        .map(|number| {
            let policies = policies.clone();
            let mut request = request("argo", "default/argo");
            // Some of them use up their time.
            request.template = if number % 20 == 0 { "loop" } else { "other" }.to_owned();
            runtime.spawn(async move { policies.decide(&request).await.code().map(str::to_owned) })
        })
        .collect();
    for (number, asked) in asked.into_iter().enumerate() {
        let code = runtime.block_on(asked).unwrap();
        let expected = if number % 20 == 0 { "time-limit" } else { "deny-all" };
        assert_eq!(code.as_deref(), Some(expected), "request {number}");
    }
}

#[test]
fn decisions_are_recorded_without_the_pod() {
    let folder = folder();
    let policies = of_folder(&folder.path, "modules: []");
    let mut records = policies.subscribe_records();
    let mut asked = request("argo", "other/argo");
    asked.pod = Some(landfall::policy::request::PodJson::from(r#"{"secret":"hunter2"}"#.to_owned()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let decision = runtime.block_on(policies.decide(&asked));
    assert_eq!(decision.code(), Some("not-at-home"));
    let record = records.try_recv().unwrap();
    assert_eq!((record.generation, &record.set_digest), (decision.generation, &policies.state().set_digest));
    assert_eq!(record.request, asked.without_pod());
    assert!(record.nanoseconds > 0);
    let shown = format!("{record:?} {}", serde_json::to_string(record.as_ref()).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn consent_comes_before_every_module_and_after_namespace_mode() {
    let roles = "[{namespace: '', rules: [{clusterNames: [''], namespaces: ['']}]}]";
    let options =
        Options { config: config(Some(roles), None), managed: Some("argo".parse().unwrap()), ..Options::default() };
    let policies = Policies::start(options).unwrap();
    let mut records = policies.subscribe_records();
    let mut check = |target: &str, landing: &Landing, expected: Option<&str>| {
        let asked = Request { landing: landing.clone(), ..request("argo", target) };
        let decision = policies.decide_blocking(&asked);
        assert_eq!(decision.code(), expected, "{target}: {decision:?}");
        let record = records.try_recv().unwrap();
        assert_eq!((record.module.as_str(), record.modules.len()), expected.map_or(("builtin", 1), |_| ("core", 0)));
        assert_eq!(record.request, request("argo", target));
    };
    let from = |homes: &str| {
        let annotations = [("landfall.dev/accept-from".to_owned(), homes.to_owned())];
        Landing::Asked(Consent::parse(&annotations.into()))
    };
    check("other/argo", &Landing::Open, None);
    check("other/argo", &from("default/argo"), None);
    check("other/argo", &from("default/team"), Some("no-consent"));
    check("other/argo", &Landing::Asked(Consent::default()), Some("no-consent"));
    check("other/argo", &Landing::NoNamespace, Some("no-namespace"));
    check("other/argo", &Landing::TooLong(9000), Some("attributes-limit"));
    check("other/team", &from("default/argo"), Some("namespace-mode"));
    check("other/team", &Landing::NoNamespace, Some("namespace-mode"));
}

#[test]
fn namespace_mode_comes_before_every_module() {
    let roles = "[{namespace: '', rules: [{clusterNames: [''], namespaces: ['']}]}]";
    let options =
        Options { config: config(Some(roles), None), managed: Some("argo".parse().unwrap()), ..Options::default() };
    let policies = Policies::start(options).unwrap();
    let check = |target: &str, expected: Option<&str>| {
        let decision = policies.decide_blocking(&request("argo", target));
        assert_eq!(decision.code(), expected, "{target}: {decision:?}");
    };
    check("default/argo", None);
    check("other/argo", None);
    check("default/team", Some("namespace-mode"));
    check("other/team", Some("namespace-mode"));
}
