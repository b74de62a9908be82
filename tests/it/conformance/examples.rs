//! `examples/`: workflows that are run by the program itself, each in clusters of its own, and the phase they end in.
//! Listed ones that are not simply refused take long to fail, and are only run where the list is rewritten.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    thread,
};

use landfall::api::manifest;
use serde_json::Value;

use crate::conformance::{Outcome, files, folder, known};

/// How long one example may take.
const TIMEOUT: &str = "60s";

/// Kinds that examples need of each other, as `examples.tsv` writes them.
const SHORT: [(&str, &str); 4] =
    [("ConfigMap", "cm"), ("Secret", "secret"), ("WorkflowTemplate", "wft"), ("ClusterWorkflowTemplate", "cwft")];

/// How many examples run at once.
const JOBS: usize = 2;

/// One example that is run.
struct Example {
    file: String,
    expected: String,
    /// Files with objects that it needs.
    with: Vec<PathBuf>,
}

#[test]
fn examples_end_as_with_argo() {
    let Some(folder) = folder("examples") else { return };
    let listed = known::listed("examples");
    let mut outcomes: BTreeMap<String, Outcome> = BTreeMap::new();
    let mut queue = Vec::new();
    for example in examples(&folder) {
        match listed.get(&example.file) {
            Some(reason) if !known::is_refusal(reason) && !known::is_rewritten() => {
                outcomes.insert(example.file, Err(reason.clone()));
            }
            Some(_) | None => queue.push(example),
        }
    }
    let queue = Mutex::new(queue);
    let finished = Mutex::new(&mut outcomes);
    thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                loop {
                    let Some(example) = queue.lock().unwrap().pop() else { return };
                    let outcome = run(&folder, &example);
                    finished.lock().unwrap().insert(example.file, outcome);
                }
            });
        }
    });
    known::report("examples", &outcomes);
}

/// The examples that need nothing but processes and end, as `examples.tsv` has them.
fn examples(folder: &Path) -> Vec<Example> {
    let providers = providers(&folder.join("examples"));
    let table = fs::read_to_string(folder.join("examples.tsv")).unwrap();
    let mut lines = table.lines();
    let head: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let mut examples = Vec::new();
    for line in lines {
        let row: BTreeMap<&str, &str> = head.iter().copied().zip(line.split('\t')).collect();
        let expected = row["expected-phase"];
        let ends = ["Succeeded", "Failed", "Error"].contains(&expected);
        if row["kind"] == "Workflow" && row["runnable-with"] == "processes" && ends {
            let required = row.get("requires").unwrap_or(&"").split(',').map(str::trim);
            let with = required.filter_map(|it| providers.get(it).cloned()).collect();
            examples.push(Example { file: row["file"].to_owned(), expected: expected.to_owned(), with });
        }
    }
    examples
}

fn run(folder: &Path, example: &Example) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_landfall"));
    command.args(["local", "run"]).arg(folder.join(&example.file)).args(["-o", "json", "--timeout", TIMEOUT]);
    for provider in &example.with {
        command.arg("--with").arg(provider);
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
    if status["phase"] == example.expected.as_str() {
        return Ok(());
    }
    Err(format!("phase is {} ({message}) instead of {}", status["phase"], example.expected))
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
