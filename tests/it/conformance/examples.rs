//! `examples/`: workflows that are run by the program itself, each in clusters of its own, and the phase they end in.
//! Those that are listed as not passing yet are only run where the list is rewritten: they take long.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use landfall::api::manifest;
use serde_json::Value;

use crate::conformance::{Outcome, files, folder, known};

/// How long one example may take.
const TIMEOUT: &str = "90s";

/// Kinds that examples need of each other, as `examples.tsv` writes them.
const SHORT: [(&str, &str); 4] =
    [("ConfigMap", "cm"), ("Secret", "secret"), ("WorkflowTemplate", "wft"), ("ClusterWorkflowTemplate", "cwft")];

#[test]
fn examples_end_as_with_argo() {
    let Some(folder) = folder("examples") else { return };
    let providers = providers(&folder.join("examples"));
    let listed = known::listed("examples");
    let table = fs::read_to_string(folder.join("examples.tsv")).unwrap();
    let mut lines = table.lines();
    let head: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let mut outcomes: BTreeMap<String, Outcome> = BTreeMap::new();
    for line in lines {
        let row: BTreeMap<&str, &str> = head.iter().copied().zip(line.split('\t')).collect();
        let expected = row["expected-phase"];
        let is_run = ["Succeeded", "Failed", "Error"].contains(&expected);
        if row["kind"] != "Workflow" || row["runnable-with"] != "processes" || !is_run {
            continue;
        }
        let file = row["file"];
        let outcome = match listed.get(file) {
            Some(reason) if !known::is_rewritten() => Err(reason.clone()),
            Some(_) | None => run(&folder, file, row.get("requires").unwrap_or(&""), &providers, expected),
        };
        outcomes.insert(file.to_owned(), outcome);
    }
    known::report("examples", &outcomes);
}

fn run(folder: &Path, file: &str, requires: &str, providers: &BTreeMap<String, PathBuf>, expected: &str) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_landfall"));
    command.args(["local", "run"]).arg(folder.join(file)).args(["-o", "json", "--timeout", TIMEOUT]);
    for required in requires.split(',').map(str::trim).filter(|it| !it.is_empty()) {
        match providers.get(required) {
            Some(provider) => command.arg("--with").arg(provider),
            None => return Err(format!("nothing provides {required}")),
        };
    }
    let output = command.output().map_err(|error| error.to_string())?;
    let Ok(workflow) = serde_json::from_slice::<Value>(&output.stdout) else {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(errors.lines().last().unwrap_or("the program says nothing").to_owned());
    };
    let status = &workflow["status"];
    let message = status["message"].as_str().unwrap_or_default();
    if let Some(path) = message.strip_suffix(": not supported yet") {
        let field = path.rsplit(['.', ' ']).next().unwrap_or(path);
        return Err(format!("{field}: not supported yet"));
    }
    if status["phase"] == expected {
        return Ok(());
    }
    Err(format!("phase is {} ({message}) instead of {expected}", status["phase"]))
}

/// Which file provides an object: `cm/NAME` and so on.
fn providers(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut providers = BTreeMap::new();
    for file in files(folder) {
        let Ok(documents) = manifest::parse(&fs::read_to_string(&file).unwrap()) else { continue };
        for document in documents {
            let object = document.value;
            if let Some((_, short)) = SHORT.iter().find(|(kind, _)| object["kind"] == *kind)
                && let Some(name) = object["metadata"]["name"].as_str()
            {
                providers.insert(format!("{short}/{name}"), file.clone());
            }
        }
    }
    providers
}
