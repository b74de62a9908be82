//! Decision records and the log, as the program writes them.

use std::{fs, net::TcpListener};

use landfall::policy::audit::Record;

use crate::{
    cli::binary::{argosay, file, landfall, run, text},
    support::modules,
};

const EXAMPLE: &str = "manifests/examples/multi-cluster.yaml";

#[test]
fn a_run_records_its_decisions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.jsonl");
    for expected in [2, 4] {
        let ended = run(&["local", "run", EXAMPLE, "--decision-records", text(&path)]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        let lines = fs::read_to_string(&path).unwrap();
        let records: Vec<Record> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(records.len() >= expected, "{lines}");
        let mut targets: Vec<_> = records.iter().map(|record| record.request.target.to_string()).collect();
        targets.sort();
        targets.dedup();
        assert_eq!(targets, ["default/argo", "other/argo"]);
    }
    let ended = run(&["local", "run", EXAMPLE, "--decision-records", "/nowhere/decisions"]);
    assert!(ended.stderr.contains("error: opening /nowhere/decisions for decision records: "), "{}", ended.stderr);
    assert_eq!(ended.code, Some(1));
}

#[test]
fn the_log_holds_no_secret() {
    let policies = tempfile::tempdir().unwrap();
    fs::write(policies.path().join("site.wasm"), modules::DENY_ALL).unwrap();
    let settings = "  policies: |\n    modules: [{file: site.wasm, settings: [allow, hunter2]}]\n";
    let configuration = format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: workflow-controller-configmap}}\ndata:\n{settings}\
         ---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{key: hunter2}}\n"
    );
    let environment = "{image: 'argoproj/argosay:v2', env: [{name: A, value: hunter2}, {name: B, valueFrom: {secretKeyRef: {name: s, key: key}}}], args: [echo]}\n";
    let workflow = argosay("a", "[echo]");
    let (start, _) = workflow.split_once("{image:").unwrap();
    let (folder, path) = file("run.yaml", &format!("{start}{environment}{configuration}"));
    let records = folder.path().join("decisions.jsonl");
    let output = landfall(&["local", "run", text(&path), "--policies", text(policies.path())])
        .args(["--decision-records", text(&records)])
        .env("LANDFALL_LOG", "debug")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("policy is in force"), "{said}");
    let records = fs::read_to_string(&records).unwrap();
    assert_eq!(records.lines().count(), 1, "{records}");
    assert!(!said.contains("hunter2") && !records.contains("hunter2"), "{said}\n{records}");
}

#[test]
fn flags_say_what_is_wrong_with_them() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = run(&["local", "up", "--listen", &address]);
    let expected = format!("error: listening on {address} for /metrics and probes: ");
    assert!(ended.stderr.starts_with(&expected), "{}", ended.stderr);
    assert!(ended.stderr.contains("\nhint: pick another address with --listen, or `--listen off`"), "{}", ended.stderr);
    let check = |arguments: &[&str], expected: &str| {
        let ended = run(arguments);
        assert!(ended.stderr.contains(expected), "{arguments:?}: {}", ended.stderr);
    };
    check(&["controller", "--listen", "9090"], "expected an address and a port, as 0.0.0.0:9090");
    check(&["controller", "--decision-records-files", "0"], "0 is not in 1..");
}
