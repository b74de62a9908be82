//! Decision records: nothing is lost that can be written, and what is lost is counted.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use landfall::policy::{
    Options, Policies,
    audit::Record,
    decision::{Answer, Difference, Mode},
    recorder::Sink,
    request::PodJson,
    rotation::Limits,
};

use crate::{
    policy::support::{config, request},
    support::modules::DENY_ALL,
};

/// Longer than anything takes here, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// A policy that records to a file of that many bytes, with as many older ones.
fn recording(path: &Path, bytes: u64, files: usize) -> Policies {
    let records = Sink::File { path: path.to_owned(), limits: Limits { bytes, files } };
    Policies::start(Options { config: config(None, None), records, ..Options::default() }).unwrap()
}

fn ask(policies: &Policies, count: usize) {
    for number in 0..count {
        let target = if number % 2 == 0 { "default/argo" } else { "other/argo" };
        policies.decide_blocking(&request("argo", target));
    }
}

fn end(policies: &Policies) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(policies.end_records());
}

/// The numbers of records, which are told to be of one run and to read as they were written.
fn numbers(lines: impl Iterator<Item = String>) -> BTreeSet<u64> {
    let mut runs = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for line in lines {
        let record: Record = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(serde_json::to_string(&record).unwrap(), line);
        let (run, number) = record.id.split_once('-').unwrap();
        runs.insert(run.to_owned());
        assert!(numbers.insert(number.parse().unwrap()), "twice: {line}");
    }
    assert!(runs.len() <= 1, "{runs:?}");
    numbers
}

#[test]
fn all_of_it_is_written_by_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("decisions.jsonl");
    let policies = recording(&file, 100_000_000, 2);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| ask(&policies, 250));
        }
    });
    end(&policies);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(numbers(text.lines().map(str::to_owned)), (1..=1000).collect());
    assert_eq!(policies.records_lost(), 0);
    // What comes after the end is not written, and that is counted.
    ask(&policies, 3);
    assert_eq!(policies.records_lost(), 3);
    end(&policies);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn a_record_says_what_was_asked_and_answered() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("decisions.jsonl");
    let policies = recording(&file, 1_000_000, 1);
    policies.decide_blocking(&request("argo", "other/argo"));
    end(&policies);
    let record: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let state = policies.state();
    assert_eq!(record["verdict"], "deny");
    assert_eq!(record["code"], "not-at-home");
    assert!(record["reason"].as_str().unwrap().starts_with("namespaceRoles is not set"), "{record:#}");
    assert_eq!(
        (&record["generation"], &record["cached"], &record["mode"]),
        (&1.into(), &false.into(), &"enforce".into())
    );
    assert_eq!(record["setDigest"], state.set_digest.as_str());
    let builtin = &record["modules"][0];
    assert_eq!((&builtin["name"], &builtin["mode"]), (&"builtin".into(), &"enforce".into()));
    assert_eq!(
        (&builtin["digest"], &builtin["settingsDigest"]),
        (&state.modules[0].digest.as_str().into(), &state.modules[0].settings_digest.as_str().into())
    );
    assert_eq!(record["request"]["target"], serde_json::json!({"cluster": "other", "namespace": "argo"}));
    let time = record["time"].as_str().unwrap();
    assert_eq!((time.len(), &time[19..20], &time[23..]), (24, ".", "Z"), "{time}");
    assert!(record["nanoseconds"].as_u64().unwrap() > 0);
}

#[test]
fn older_files_go() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("decisions.jsonl");
    let policies = recording(&file, 100_000, 3);
    ask(&policies, 1000);
    end(&policies);
    let mut found: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, ["decisions.jsonl", "decisions.jsonl.1", "decisions.jsonl.2"]);
    let mut lines = Vec::new();
    for name in found.iter().rev() {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(text.len() < 100_000 || text.lines().count() == 1, "{name}: {} bytes", text.len());
        lines.extend(text.lines().map(str::to_owned));
    }
    let kept = numbers(lines.into_iter());
    let first = *kept.first().unwrap();
    assert!(first > 1);
    assert_eq!(kept, (first..=1000).collect());
    assert_eq!(policies.records_lost(), 0);
}

#[test]
fn a_full_disk_loses_records_and_no_decision() {
    let policies = recording(Path::new("/dev/full"), 1_000_000, 2);
    ask(&policies, 10);
    end(&policies);
    assert_eq!(policies.records_lost(), 10);
    let error = Policies::start(Options {
        records: Sink::File { path: "/nowhere/decisions".into(), limits: Limits { bytes: 1, files: 1 } },
        ..Options::default()
    })
    .err()
    .unwrap();
    assert_eq!(
        format!("{error:#}"),
        "opening /nowhere/decisions for decision records: No such file or directory (os error 2)"
    );
}

#[test]
fn who_reads_too_slowly_misses_what_the_queue_cannot_hold() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let policies = recording(&pipe, 1_000_000, 2);
    let mut asked = 0;
    while policies.records_lost() == 0 {
        ask(&policies, 100);
        asked += 100;
    }
    let file = File::open(&pipe).unwrap();
    let reader = thread::spawn(move || numbers(BufReader::new(file).lines().map(Result::unwrap)));
    end(&policies);
    let read = reader.join().unwrap();
    assert_eq!(read.len() as u64 + policies.records_lost(), asked);
}

#[test]
fn what_shadows_say_is_recorded_also_at_the_end() {
    let [pod, failed] = ["pod", "module-error"].map(str::to_owned);
    check_shadow("pod", &Answer::Deny { code: pod, reason: String::new() });
    // What it throws are its own words, too.
    check_shadow("throw", &Answer::Failed { code: failed, reason: String::new() });
}

fn check_shadow(template: &str, expected: &Answer) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("next.wasm"), DENY_ALL).unwrap();
    let file = folder.path().join("decisions.jsonl");
    let records = Sink::File { path: file.clone(), limits: Limits { bytes: 1_000_000, files: 1 } };
    let chain = "modules: [{file: next.wasm, mode: shadow, settings: [pod]}]";
    let config = config(None, Some(chain));
    let policies =
        Policies::start(Options { folder: Some(folder.path().to_owned()), config, records, ..Options::default() })
            .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let mut asked = request("argo", "default/argo");
    // Answered before the shadow is asked, which then quotes the pod.
    asked.template = template.to_owned();
    asked.pod = Some(PodJson::from(r#"{"kind":"hunter2"}"#.to_owned()));
    let mut told = policies.subscribe_records();
    runtime.block_on(async {
        for _ in 0..50 {
            assert!(policies.decide(&asked).await.is_allowed());
        }
        // At the end the shadow is not asked any more; by then it was asked once.
        tokio::time::timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
        policies.end_records().await;
    });
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(numbers(text.lines().map(str::to_owned)), (1..=50).collect());
    assert!(!text.contains("hunter2"), "{text}");
    let record: Record = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let [builtin, next] = &record.modules[..] else { panic!("{text}") };
    assert_eq!((builtin.mode, builtin.pod_given, &builtin.answer), (Mode::Enforce, false, &Answer::Allow));
    assert_eq!((next.mode, next.pod_given, &next.answer), (Mode::Shadow, true, expected));
    assert_eq!(next.difference.map(Difference::as_str), next.answer.difference(true).map(Difference::as_str));
}
