//! What does not come into force, and what stays in force then: each way in which a folder, a file or a module is bad.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use landfall::policy::{Options, Policies, state::State, store::BUILTIN};

use crate::{
    policy::{
        folders::{WITHOUT_BUILTIN, folder, publish},
        support::{ask, config, of_folder, request, told, wait},
    },
    support::modules,
};

/// Ends what goes on in another thread, also where a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The state once it says why something is refused, in these words.
fn wait_for_refusal(policies: &Policies, words: &[&str]) -> State {
    let says = |reason: &str| words.iter().all(|part| reason.contains(part));
    wait(policies, |state| state.refusal.as_ref().is_some_and(|refusal| says(&refusal.reason)))
}

#[test]
fn a_bad_set_leaves_the_last_good_one_in_force_and_says_why() {
    let folder = folder();
    let site = folder.path.join("site.wasm");
    fs::write(&site, modules::DENY_ALL).unwrap();
    let policies = of_folder(&folder.path, WITHOUT_BUILTIN);
    let check = |expected: &[&str]| {
        let state = wait_for_refusal(&policies, expected);
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
fn a_module_that_misbehaves_leaves_the_last_good_set_in_force() {
    let folder = folder();
    let site = folder.path.join("site.wasm");
    fs::write(&site, modules::DENY_ALL).unwrap();
    let policies = of_folder(&folder.path, WITHOUT_BUILTIN);
    let configure = |chain: &str| policies.configure(config(None, Some(chain)));
    for (word, expected) in [
        ("trap", "configure: the module trapped: wasm `unreachable` instruction executed"),
        ("loop", "configure: the module used more than 2000 ms of processor time"),
        ("memory", "configure: the module wanted more than 16 MiB of memory"),
        ("recurse", "configure: the module's calls need more than 256 KiB of stack"),
        ("refuse", "refuses its settings: setting \"refuse\": told to"),
    ] {
        configure(&format!("{{builtin: false, modules: [{{file: site.wasm, settings: [{word}]}}]}}"));
        let state = wait_for_refusal(&policies, &["policy module \"site\"", "site.wasm", expected]);
        assert_eq!((state.generation, ask(&policies, "other").as_str()), (1, "site deny-all 1"), "{word}");
        let refusal = state.refusal.unwrap();
        assert_eq!((refusal.module.as_deref(), refusal.file.as_deref()), (Some("site"), Some(site.as_path())));
        configure(WITHOUT_BUILTIN);
        let state = wait(&policies, |state| state.refusal.is_none());
        assert_eq!(state.generation, 1, "{word}: what is in force did not change");
    }
    // Only a trial sees that a record has other fields; a module beside it that is good doesn't come into force alone.
    fs::write(folder.path.join("another.wasm"), BUILTIN).unwrap();
    fs::write(&site, modules::of_another_record()).unwrap();
    wait_for_refusal(&policies, &["\"site\"", "does not export landfall:policy/policy@1.0.0 as wit/policy.wit has it"]);
    assert!(ask(&policies, "other").starts_with("site deny-all "), "{}", ask(&policies, "other"));
}

#[test]
fn a_folder_that_can_not_be_read_is_an_error() {
    let check = |breakage: &dyn Fn(&Path), expected: &[&str]| {
        let folder = folder();
        fs::write(folder.path.join("site.wasm"), modules::DENY_ALL).unwrap();
        let policies = of_folder(&folder.path, WITHOUT_BUILTIN);
        breakage(&folder.path);
        let state = wait_for_refusal(&policies, expected);
        assert_eq!((state.generation, ask(&policies, "other").as_str()), (1, "site deny-all 1"), "{expected:?}");
        // The same from the start: nothing was ever in force.
        let policies = of_folder(&folder.path, WITHOUT_BUILTIN);
        let state = wait_for_refusal(&policies, expected);
        assert!(!state.is_ready());
        assert_eq!(ask(&policies, "other"), "core no-policy 0", "{expected:?}");
    };
    let clear = |folder: &Path| fs::remove_dir_all(folder).unwrap();
    check(&clear, &["policies: No such file or directory"]);
    let a_file = |folder: &Path| {
        clear(folder);
        fs::write(folder, "").unwrap();
    };
    check(&a_file, &["policies: Not a directory"]);
    let replace_module = |folder: &Path, by: &dyn Fn(&Path)| {
        let site = folder.join("site.wasm");
        fs::remove_file(&site).unwrap();
        by(&site);
    };
    check(&|folder| replace_module(folder, &|_| {}), &["holds no .wasm file"]);
    check(&|folder| replace_module(folder, &|site| fs::create_dir(site).unwrap()), &["site.wasm: Is a directory"]);
    let nowhere = |site: &Path| symlink("nowhere", site).unwrap();
    check(&|folder| replace_module(folder, &nowhere), &["site.wasm: No such file or directory"]);
    let itself = |site: &Path| symlink("site.wasm", site).unwrap();
    check(&|folder| replace_module(folder, &itself), &["site.wasm: Too many levels of symbolic links"]);
    check(&|folder| symlink("..gone", folder.join("..data")).unwrap(), &["..gone: No such file or directory"]);
    check(&|folder| publish(folder, "1", &[]), &["..1: the policy folder holds no .wasm file"]);
    let large = |folder: &Path| fs::File::create(folder.join("large.wasm")).unwrap().set_len(33 << 20).unwrap();
    check(&large, &["large.wasm: 34603008 bytes, over the limit of 33554432"]);
    let many = |folder: &Path| {
        for number in 0..100 {
            fs::write(folder.join(format!("{number}.wasm")), "").unwrap();
        }
    };
    check(&many, &["policies: 101 modules, over "]);
}

#[test]
fn a_folder_that_never_had_a_good_set_denies_everything() {
    let folder = folder();
    let policies = of_folder(&folder.path, "");
    assert!(!policies.state().is_ready());
    let told = told(policies.decide_blocking(&request("argo", "default/argo")));
    assert!(
        told.starts_with(
            "denied by policy module \"core\" (generation 0): no-policy: no set of policy modules is in force: "
        ) && told.ends_with("the policy folder holds no .wasm file"),
        "{told}"
    );
    fs::write(folder.path.join("site.wasm"), modules::DENY_ALL).unwrap();
    let state = wait(&policies, |state| state.is_ready());
    assert_eq!(state.modules.iter().map(|module| module.name.as_str()).collect::<Vec<_>>(), ["builtin", "site"]);
    assert_eq!(ask(&policies, "other"), "site deny-all 1");
}

#[test]
fn a_file_that_keeps_changing_holds_up_nothing_else() {
    let folder = folder();
    let write = |number: u8| {
        // A new file each time, and always a good one: only that it changes is wrong.
        let next = folder.path.join(".next");
        fs::write(&next, [modules::DENY_ALL, &[0, 2, 1, number]].concat()).unwrap();
        fs::rename(&next, folder.path.join("site.wasm")).unwrap();
    };
    write(b'a');
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Stop(&done);
        scope.spawn(|| {
            for number in (b'a'..=b'z').cycle() {
                if done.load(Ordering::SeqCst) {
                    return;
                }
                write(number);
            }
        });
        let options = Options {
            folder: Some(folder.path.clone()),
            config: config(None, Some(WITHOUT_BUILTIN)),
            rescan: Duration::from_secs(3600),
            patience: Duration::from_millis(300),
            ..Options::default()
        };
        // That it starts at all is the first half of it.
        let policies = Policies::start(options).unwrap();
        let restless = ["site.wasm: the file keeps changing, for more than 300 ms now"];
        let state = wait_for_refusal(&policies, &restless);
        assert_eq!(state.refusal.unwrap().file, Some(folder.path.join("site.wasm")));

        policies.configure(config(None, Some("modules: []")));
        wait(&policies, |state| state.refusal.is_none() && state.modules.len() == 1);
        assert!(ask(&policies, "other").starts_with("builtin allow "), "{}", ask(&policies, "other"));
        // Who needs the file waits for it, and what is in force stays.
        policies.configure(config(None, Some(WITHOUT_BUILTIN)));
        wait_for_refusal(&policies, &restless);
        done.store(true, Ordering::SeqCst);
        wait(&policies, |state| state.refusal.is_none());
        assert!(ask(&policies, "other").starts_with("site deny-all "), "{}", ask(&policies, "other"));
    });
}

#[test]
fn the_configuration_changes_while_a_file_keeps_changing() {
    let folder = folder();
    let write = |name: &str| {
        let next = folder.path.join(".next");
        fs::write(&next, modules::DENY_ALL).unwrap();
        fs::rename(&next, folder.path.join(name)).unwrap();
    };
    write("site.wasm");
    let policies = Policies::start(Options {
        folder: Some(folder.path.clone()),
        config: config(None, Some(WITHOUT_BUILTIN)),
        rescan: Duration::from_secs(3600),
        patience: Duration::from_millis(300),
        ..Options::default()
    })
    .unwrap();
    assert_eq!(ask(&policies, "other"), "site deny-all 1");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Stop(&done);
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                write("site.wasm");
            }
        });
        wait_for_refusal(&policies, &["site.wasm: the file keeps changing"]);
        let allow = "{builtin: false, modules: [{file: site.wasm, settings: [allow]}]}";
        policies.configure(config(None, Some(allow)));
        wait(&policies, |state| state.generation == 2);
        assert_eq!(ask(&policies, "other"), "site allow 2");
        wait_for_refusal(&policies, &["site.wasm: the file keeps changing"]);
        done.store(true, Ordering::SeqCst);
    });
    let state = wait(&policies, |state| state.refusal.is_none());
    assert_eq!(state.generation, 2);
}
