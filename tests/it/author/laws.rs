//! Laws: what keeps them is not accused, what breaks one is found and made small.

use std::{fs, path::Path};

use landfall::{
    author::{
        asking::Asker,
        generate::{Corpus, Generator},
        laws::{
            Law,
            run::{self, Findings, Plan},
            saved,
        },
        subject::Subject,
        suite::{self, Suite},
    },
    policy::{
        host::Host,
        module::Prepared,
        request::{PodJson, Request},
        store::BUILTIN,
    },
};
use serde_json::json;

use crate::{author::support::request, cli::binary, support::modules};

/// A seed that all of these runs come from.
const SEED: u64 = 7;

fn fuzz(bytes: &[u8], corpus: Corpus, laws: &[Law], (runs, seed): (u64, u64)) -> Findings {
    let host = Host::new().unwrap();
    let prepared = Prepared::new(&host, bytes.into()).unwrap();
    let mut asker = Asker::new(&host, &prepared, "module");
    let mut generator = Generator::new(corpus, seed);
    let plan = Plan { laws: laws.to_vec(), seed, first: 0, runs, time: None };
    run::run(&mut asker, &mut generator, &plan, &mut |_| {})
}

fn shown(findings: &Findings) -> String {
    let mut text = String::new();
    for broken in &findings.broken {
        text += &format!("{}: {}\n", broken.law.name(), broken.breach.sentence);
        text +=
            &format!("  settings {}\n  request  {}\n", broken.trial.settings, saved::written(&broken.trial.request));
        text += &format!("  twist    {:?}\n", broken.trial.twist);
        for said in &broken.breach.said {
            text += &format!("  {}: {}\n", said.when, said.what);
        }
    }
    text
}

#[test]
fn the_built_in_module_keeps_all_laws() {
    let findings = fuzz(BUILTIN, Corpus::of_settings(None, true), &Law::ALL, (300, SEED));
    assert_eq!(shown(&findings), "");
    assert!(findings.settings_taken > 40 && findings.decisions > 1000, "{findings:?}");
    assert!(findings.trials.iter().all(|(_, trials)| *trials > 100), "{:?}", findings.trials);
}

/// All but the limits: those are for the modules' own suites, because they depend on the machine.
#[test]
fn the_modules_of_this_repository_keep_the_laws_that_they_claim() {
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")).unwrap() {
        let folder = entry.unwrap().path();
        // The suite of the templates is for the modules that are made from them.
        if !folder.join(suite::FILE).exists() || folder.ends_with("templates") {
            continue;
        }
        let suite = Suite::read(&folder).unwrap();
        let claimed = |law: &Law| *law != Law::Limits && !suite.laws_off.contains(law);
        let laws: Vec<Law> = Law::ALL.into_iter().filter(claimed).collect();
        let findings = fuzz(&suite.subject.bytes, Corpus::of_questions(&suite.questions), &laws, (24, SEED));
        assert_eq!(shown(&findings), "", "{}", folder.display());
    }
}

#[test]
fn a_module_that_breaks_a_law_is_caught_with_the_smallest_case() {
    let mut text = String::new();
    let rest = json!({ "of": ["the", "settings"], "does": { "not": 1, "matter": [true] } });
    for (mode, law) in [
        ("remember", Law::Deterministic),
        ("empty-is-all", Law::Monotone),
        ("counts-tenants", Law::Tenants),
        ("tells-tenants", Law::Tenants),
        ("trap", Law::Limits),
    ] {
        let settings = json!({ "mode": mode, "needs": null, "rules": [{ "tenant": "argo" }, "b"], "rest": rest });
        let mut requests = vec![request("argo", "default/argo"), request("team-a", "other/argo")];
        if mode == "trap" {
            requests.push(Request { template: "trap".to_owned(), ..request("argo", "other/argo") });
        }
        let settings = if mode == "trap" { json!({ "rest": rest }) } else { settings };
        let corpus = Corpus { settings: vec![settings.into()], requests };
        let findings = fuzz(modules::DENY_ALL, corpus, &[law], (400, SEED));
        assert_eq!(findings.broken.len(), 1, "{mode}: {findings:?}");
        text += &format!("== {mode}\n{}", shown(&findings));
    }
    crate::golden::check("tests/cli/policy-laws.txt", &text);
}

/// This module takes all settings, and lets every pod through in which it does not see the one word.
#[test]
fn garbage_that_is_taken_is_found_in_settings_and_in_pods() {
    let mut found = Vec::new();
    for seed in 0..12 {
        let settings = json!({ "mode": "looks-for-privileged", "needs": "pod" });
        let corpus = Corpus { settings: vec![settings.into()], requests: vec![request("argo", "default/argo")] };
        let findings = fuzz(modules::DENY_ALL, corpus, &[Law::Garbage], (100, seed));
        let sentence = &findings.broken[0].breach.sentence;
        found.push(sentence.split(':').next().unwrap().split('"').next().unwrap().trim().to_owned());
    }
    found.sort();
    found.dedup();
    let settings = ["the unknown setting", "what is no map is taken for settings"];
    assert_eq!(found, [&["a pod that can't be read is allowed"][..], &settings].concat());
}

/// To deny what can't be read is to say so.
#[test]
fn a_module_that_fails_on_garbage_is_found() {
    let settings = json!({ "mode": "throws-on-garbage", "needs": "pod" });
    let with_container = || {
        let pod = json!({ "spec": { "containers": [{ "name": "main" }] } });
        Request { pod: Some(PodJson::from(pod.to_string())), ..request("argo", "default/argo") }
    };
    let found = (0..12).any(|seed| {
        let corpus = Corpus { settings: vec![settings.clone().into()], requests: vec![with_container()] };
        let findings = fuzz(modules::DENY_ALL, corpus, &[Law::Garbage], (100, seed));
        findings
            .broken
            .iter()
            .any(|broken| broken.breach.sentence.starts_with("a pod that can't be read gets no answer"))
    });
    assert!(found);
    let corpus = Corpus { settings: vec![json!({ "mode": "throws" }).into()], requests: vec![with_container()] };
    let findings = fuzz(modules::DENY_ALL, corpus, &[Law::Limits], (4, SEED));
    assert_eq!(findings.broken[0].breach.sentence, "the module gives no answer");
}

#[test]
fn a_run_can_be_had_again_alone() {
    let corpus =
        || Corpus { settings: vec![json!({ "mode": "empty-is-all", "rules": ["a", "b"] }).into()], requests: vec![] };
    let found = fuzz(modules::DENY_ALL, corpus(), &Law::ALL, (400, SEED));
    assert_eq!(found.broken.len(), fuzz(modules::DENY_ALL, corpus(), &Law::ALL, (400, SEED)).broken.len());
    let broken = found.broken.iter().find(|broken| broken.law == Law::Monotone).unwrap();
    let host = Host::new().unwrap();
    let prepared = Prepared::new(&host, modules::DENY_ALL.into()).unwrap();
    let mut asker = Asker::new(&host, &prepared, "module");
    let plan = Plan { laws: vec![Law::Monotone], seed: SEED, first: broken.run, runs: 1, time: None };
    let again = run::run(&mut asker, &mut Generator::new(corpus(), SEED), &plan, &mut |_| {});
    assert_eq!(again.broken, std::slice::from_ref(broken));
}

/// What is saved is a suite, and it fails as long as the module breaks the law.
#[test]
fn what_is_found_is_saved_as_a_suite() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("lawless.wasm");
    fs::write(&module, modules::DENY_ALL).unwrap();
    let settings = folder.path().join("settings.yaml");
    fs::write(&settings, "{mode: empty-is-all, rules: [a, b]}\n").unwrap();
    let saved = folder.path().join("found");
    let flags = ["--seed", "7", "--law", "monotone", "--save", binary::text(&saved)];
    let mut arguments = vec!["policy", "fuzz", binary::text(&module), "--settings", binary::text(&settings)];
    arguments.extend(flags);
    let ended = binary::run(&arguments);
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended.stdout.contains("error: law `monotone` is broken: without rules[0] more is allowed"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("`laws: {monotone: false}`"), "{}", ended.stdout);
    let file = fs::read_dir(&saved).unwrap().next().unwrap().unwrap().path();
    let suite = Suite::read(&file).unwrap();
    assert_eq!(suite.questions.len(), 1);
    assert_eq!(suite.subject.bytes, Subject::open(&module).unwrap().bytes);
    let ended = binary::run(&["policy", "test", binary::text(&file)]);
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    arguments.extend(["-o", "json"]);
    let json = binary::run(&arguments).json();
    assert_eq!((json["ok"].as_bool(), json["broken"][0]["law"].as_str()), (Some(false), Some("monotone")));
    arguments.extend(["--without", "monotone"]);
    assert!(binary::run(&arguments).stderr.starts_with("error: no law is left to try"));
}

#[test]
fn a_suite_says_which_laws_are_not_meant_to_hold() {
    let (_folder, path) = binary::file(
        "cases.yaml",
        "module: builtin\nlaws: {monotone: false, tenants: true}\nrefused: [{name: a, settings: [1]}]\n",
    );
    assert_eq!(Suite::read(&path).unwrap().laws_off, [Law::Monotone]);
    fs::write(&path, "module: builtin\nlaws: {monoton: false}\nrefused: [{name: a, settings: [1]}]\n").unwrap();
    let error = Suite::read(&path).unwrap_err().to_string();
    assert!(error.contains("laws.monoton: unknown field, did you mean \"monotone\"?"), "{error}");
}

#[test]
fn a_law_without_a_trial_does_not_hold() {
    let fuzz = |flags: &[&str]| {
        binary::run(&[&["policy", "fuzz", "policies/pod-security", "--seed", "1"][..], flags].concat())
    };
    let note =
        "tenants       not tried: it takes settings with an element that names a namespace which requests of the suite";
    // That is told, and no failure as long as nobody asked for that law.
    let ended = fuzz(&["--runs", "1"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert!(ended.stdout.contains(note), "{}", ended.stdout);
    let ended = fuzz(&["--runs", "1", "--law", "tenants", "-o", "json"]);
    assert_eq!(ended.code, Some(1));
    let law = &ended.json()["laws"][0];
    assert_eq!((&law["law"], &law["holds"]), (&"tenants".into(), &serde_json::Value::Null), "{law:#}");
    for flag in ["--runs", "--seconds"] {
        let ended = fuzz(&[flag, "0"]);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    }
}
