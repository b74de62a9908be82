//! How a new set comes into force, and how a bad one doesn't: each way in which folders change.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use landfall::policy::{
    Options, Policies,
    config::Config,
    folder::{Folder, Reading, STILL},
    store::BUILTIN,
};
use tempfile::TempDir;

use crate::{
    policy::support::{ask, config, of_folder, request, wait},
    support::modules,
};

/// A policy that is only what the folder holds.
const WITHOUT_BUILTIN: &str = "builtin: false";

struct Place {
    root: TempDir,
    path: PathBuf,
}

fn folder() -> Place {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("policies");
    fs::create_dir(&path).unwrap();
    Place { root, path }
}

/// As the kubelet writes a volume: a folder named by the time, the link `..data` swapped by a rename, a link a file.
fn publish(folder: &Path, version: &str, files: &[(&str, &[u8])]) {
    let content = folder.join(format!("..{version}"));
    fs::create_dir(&content).unwrap();
    for (name, bytes) in files {
        fs::write(content.join(name), bytes).unwrap();
        let link = folder.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    let next = folder.join("..data_tmp");
    symlink(format!("..{version}"), &next).unwrap();
    fs::rename(&next, folder.join("..data")).unwrap();
}

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
fn a_bad_set_leaves_the_last_good_one_in_force_and_says_why() {
    let folder = folder();
    let site = folder.path.join("site.wasm");
    fs::write(&site, modules::DENY_ALL).unwrap();
    let policies = of_folder(&folder.path, WITHOUT_BUILTIN);
    let check = |expected: &[&str]| {
        let says = |reason: &str| expected.iter().all(|part| reason.contains(part));
        let state = wait(&policies, |state| state.refusal.as_ref().is_some_and(|refusal| says(&refusal.reason)));
        assert_eq!((state.generation, ask(&policies, "other").as_str()), (1, "site deny-all 1"));
        state.refusal.unwrap()
    };
    let mend = || {
        fs::create_dir_all(&folder.path).unwrap();
        fs::write(&site, modules::DENY_ALL).unwrap();
        wait(&policies, |state| state.refusal.is_none());
    };

    fs::write(&site, modules::core_module()).unwrap();
    let refusal = check(&["policy module \"site\"", "site.wasm", "a core module", "env#now"]);
    assert_eq!((refusal.module.as_deref(), refusal.file.as_deref()), (Some("site"), Some(site.as_path())));
    mend();
    // Half of a file, as a copy under way leaves it for longer than files are given to stand still.
    fs::write(&site, &modules::DENY_ALL[..modules::DENY_ALL.len() / 2]).unwrap();
    check(&["site.wasm", "malformed"]);
    mend();
    fs::write(folder.path.join("builtin.wasm"), BUILTIN).unwrap();
    check(&["builtin.wasm", "are taken"]);
    fs::remove_file(folder.path.join("builtin.wasm")).unwrap();
    mend();
    fs::remove_file(&site).unwrap();
    check(&["holds no .wasm file"]);
    mend();
    fs::remove_dir_all(&folder.path).unwrap();
    check(&["policies: No such file or directory"]);
    mend();
    assert_eq!(ask(&policies, "other"), "site deny-all 1");
}

#[test]
fn a_file_counts_once_it_stands_still() {
    let folder = folder();
    let site = folder.path.join("site.wasm");
    let mut reader = Folder::default();
    let mut read = || reader.read(&folder.path).unwrap();
    fs::write(&site, b"half").unwrap();
    assert!(matches!(read(), Reading::Unsettled(wait) if wait == STILL));
    // However long that took: now it has changed, and waits anew.
    fs::write(&site, b"half and half").unwrap();
    assert!(matches!(read(), Reading::Unsettled(wait) if wait == STILL));
    let files = loop {
        match read() {
            Reading::Complete(files) => break files.files,
            Reading::Unsettled(_) => std::thread::yield_now(),
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
fn a_folder_that_never_had_a_good_set_denies_everything() {
    let folder = folder();
    let policies = of_folder(&folder.path, "");
    assert!(!policies.state().is_ready());
    let decision = policies.decide_blocking(&request("argo", "default/argo"));
    assert!(
        decision.to_string().starts_with("denied by policy module core (no-policy, generation 0): no set of policy")
            && decision.to_string().ends_with("the policy folder holds no .wasm file"),
        "{decision}"
    );
    fs::write(folder.path.join("site.wasm"), modules::DENY_ALL).unwrap();
    let state = wait(&policies, |state| state.is_ready());
    assert_eq!(state.modules.iter().map(|module| module.name.as_str()).collect::<Vec<_>>(), ["builtin", "site"]);
    assert_eq!(ask(&policies, "other"), "site deny-all 1");
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
fn namespace_mode_comes_before_every_module() {
    let roles = "[{namespace: '', rules: [{clusterNames: [''], namespaces: ['']}]}]";
    let options =
        Options { config: config(Some(roles), None), managed: Some("argo".parse().unwrap()), ..Options::default() };
    let policies = Policies::start(options).unwrap();
    let check = |target: &str, expected: Option<&str>| {
        let decision = policies.decide_blocking(&request("argo", target));
        assert_eq!(decision.code(), expected, "{target}: {decision}");
    };
    check("default/argo", None);
    check("other/argo", None);
    check("default/team", Some("namespace-mode"));
    check("other/team", Some("namespace-mode"));
}
