//! What a module may do, and what becomes of one that does more: it denies, or is refused, and the rest goes on.

use std::{fs, sync::Arc, time::Duration};

use landfall::{
    author::check::check as check_file,
    policy::{
        host::Host,
        limits::{Limits, MEMORY_BYTES},
        module::{Module, Prepared},
        request::{PodJson, Request},
    },
};

use crate::{policy::support::request, support::modules};

fn load(bytes: &[u8], settings: &str) -> Result<(Arc<Host>, Module), String> {
    load_within(bytes, settings, Limits::default())
}

fn load_within(bytes: &[u8], settings: &str, limits: Limits) -> Result<(Arc<Host>, Module), String> {
    let host = Host::new().unwrap();
    let settings = serde_json::from_str(settings).unwrap();
    let said = |error: landfall::policy::module::LoadError| match error.hint() {
        Some(hint) => format!("{error}; hint: {hint}"),
        None => error.to_string(),
    };
    let prepared = Prepared::new(&host, bytes.into()).map_err(said)?;
    let module = prepared.configure_within(&host, "guest", &settings, limits).map_err(said)?;
    Ok((host, module))
}

/// What the module says to a request whose template is `word`.
fn ask(host: &Host, module: &Module, word: &str) -> String {
    let pod = Some(PodJson::from(r#"{"kind":"Pod"}"#.to_owned()));
    let request = Request { template: word.to_owned(), pod, ..request("argo", "other/argo") };
    match module.ask(host, &request) {
        Ok(None) => "allow".to_owned(),
        Ok(Some(denial)) => format!("{}: {}", denial.code, denial.reason),
        Err(failure) => format!("{}: {}", failure.code, failure.message),
    }
}

#[test]
fn whatever_goes_wrong_in_a_decision_denies() {
    for (bytes, snapshot) in [(modules::DENY_ALL.to_vec(), true), (modules::without_snapshot(), false)] {
        let (host, module) = load(&bytes, "{}").unwrap();
        assert_eq!(module.no_snapshot_because().is_none(), snapshot, "{:?}", module.no_snapshot_because());
        let check = |word: &str, expected: &str| assert_eq!(ask(&host, &module, word), expected);
        check("other", "deny-all: this module denies everything");
        check("trap", "module-trapped: the module trapped: wasm `unreachable` instruction executed");
        check("loop", "time-limit: the module used more than 10 ms of processor time");
        check("recurse", "stack-limit: the module's calls need more than 256 KiB of stack");
        check("long", "result-limit: the module's answer is longer than 64 KiB");
        check("bad-code", "denied: a code that is none");
        check("pod", "pod: pod: None");
        check("other", "deny-all: this module denies everything");
        // Taking all of the memory is work: on a busy machine for longer than a decision may take.
        let patient = Limits { decision_time: Duration::from_secs(1), ..Limits::default() };
        let (host, module) = load_within(&bytes, "{}", patient).unwrap();
        assert_eq!(ask(&host, &module, "memory"), "memory-limit: the module wanted more than 16 MiB of memory");
    }
}

#[test]
fn every_decision_begins_anew() {
    for bytes in [modules::DENY_ALL.to_vec(), modules::without_snapshot()] {
        let (host, module) = load(&bytes, "{}").unwrap();
        for _ in 0..3 {
            // The trial request was made of another instance.
            assert_eq!(ask(&host, &module, "count"), "count: call 1 of this instance");
        }
    }
}

#[test]
fn only_a_module_that_asks_for_the_pod_is_given_it() {
    let (host, module) = load(modules::DENY_ALL, r#"["pod"]"#).unwrap();
    assert!(module.needs_pod());
    assert_eq!(ask(&host, &module, "pod"), r#"pod: pod: Some("{\"kind\":\"Pod\"}")"#);
}

#[test]
fn a_module_that_can_not_be_configured_is_refused() {
    let check = |settings: &str, expected: &str| {
        assert_eq!(load(modules::DENY_ALL, settings).map(drop).unwrap_err(), expected);
    };
    check(r#"["refuse"]"#, "refuses its settings: setting \"refuse\": told to");
    check(
        r#"["trap"]"#,
        "configure: the module trapped: wasm `unreachable` instruction executed; hint: a panic looks like this: \
         `landfall policy check` tells its message, if the module is made with the SDK",
    );
    check(r#"["loop"]"#, "configure: the module used more than 2000 ms of processor time");
    check(r#"["memory"]"#, &format!("configure: the module wanted more than {} MiB of memory", MEMORY_BYTES >> 20));
    check(r#"["recurse"]"#, "configure: the module's calls need more than 256 KiB of stack");
}

#[test]
fn what_is_no_policy_module_is_refused() {
    let check = |bytes: &[u8], expected: &[&str]| {
        let refused = load(bytes, "{}").map(drop).unwrap_err();
        for part in expected {
            assert!(refused.contains(part), "{part:?} is not in {refused:?}");
        }
    };
    check(b"", &["not a WebAssembly component"]);
    check(b"(component)", &["not a WebAssembly component: the file begins with \"(compone\"", "hint: only binary"]);
    check(&modules::core_module(), &["a core module, not a component; it imports env#now", "hint: make a component"]);
    check(
        &modules::with_imports(),
        &["wasi:cli/environment@0.2.0, wasi:clocks/wall-clock@0.2.0", "hint: build it without WASI"],
    );
    check(&modules::of_another_interface(), &["does not export landfall:policy/policy@1.0.0", "hint: generate"]);
    check(&modules::of_another_record(), &["does not export landfall:policy/policy@1.0.0", "service-accoun"]);
    check(&modules::DENY_ALL[..modules::DENY_ALL.len() / 2], &["malformed"]);
}

#[test]
fn damaged_modules_never_get_far() {
    // Every byte of the header, and then one in some hundreds: each is refused or runs within its limits.
    let host = Host::new().unwrap();
    for at in (0..64).chain((64..modules::DENY_ALL.len()).step_by(769)) {
        let mut bytes = modules::DENY_ALL.to_vec();
        bytes[at] ^= 0x55;
        if let Ok(prepared) = Prepared::new(&host, bytes.into())
            && let Ok(module) = prepared.configure(&host, "damaged", &serde_json::json!({}))
        {
            ask(&host, &module, "other");
        }
    }
}

#[test]
fn check_reports_and_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deny-all.wasm");
    fs::write(&file, modules::DENY_ALL).unwrap();
    let settings = folder.path().join("settings.yaml");
    fs::write(&settings, "- pod\n").unwrap();
    let report = check_file(&file, Some(&settings)).unwrap();
    assert_eq!((report.name.as_str(), report.size), ("deny-all", modules::DENY_ALL.len() as u64));
    assert_eq!((report.imports, report.needs, report.no_snapshot_because), (vec![], vec!["pod".to_owned()], None));
    assert!(0 < report.decision_nanoseconds && report.decision_nanoseconds < report.compile_nanoseconds);
    assert!(report.limits.iter().all(|share| 0 < share.used && share.used < share.limit), "{:?}", report.limits);

    fs::write(&settings, "a: [\n").unwrap();
    let error = check_file(&file, Some(&settings)).unwrap_err().to_string();
    assert!(error.contains("settings.yaml:"), "{error}");
    fs::write(&file, modules::core_module()).unwrap();
    let error = check_file(&file, None).unwrap_err();
    assert!(
        error.to_string().ends_with("deny-all.wasm: a core module, not a component; it imports env#now"),
        "{error}"
    );
    assert!(error.hint().is_some());
}
