//! `validate/`: specs that are accepted, or refused with a text.

use std::{collections::BTreeMap, fs, path::Path};

use landfall::api::{manifest, workflow::Workflow};
use serde_json::{Value, json};

use crate::{
    conformance::{Outcome, case_name, files, folder, known},
    support::world::World,
};

#[test]
fn specs_are_accepted_and_refused_as_by_argo() {
    let Some(folder) = folder("validate") else { return };
    let outcomes: BTreeMap<String, Outcome> =
        files(&folder.join("validate")).iter().map(|file| (case_name(file), run(file))).collect();
    known::report("validate", &outcomes);
}

fn run(file: &Path) -> Outcome {
    let case = manifest::parse(&fs::read_to_string(file).unwrap()).unwrap().remove(0).value;
    let mut object = manifest::parse(case["yaml"].as_str().unwrap()).map_err(|it| it.to_string())?.remove(0).value;
    if object["kind"] == "WorkflowTemplate" {
        // The same spec, run as it stands.
        object["kind"] = json!("Workflow");
    }
    let workflow: Workflow = serde_json::from_value(object).map_err(|error| error.to_string())?;
    let mut world = World::new(workflow);
    world.pass();
    world.supported()?;
    let message = world.workflow.status.message.clone().unwrap_or_default();
    let refusal = message.strip_prefix("invalid spec: ");
    match (&case["valid"], refusal) {
        (Value::Bool(true), None) => Ok(()),
        (Value::Bool(true), Some(problem)) => Err(format!("refused: {problem}")),
        (_, None) => Err("validation: not supported yet".to_owned()),
        (_, Some(problem)) => {
            let expected = case["error"].as_str().unwrap_or_default();
            if problem.contains(expected) {
                return Ok(());
            }
            Err(format!("refused with {problem:?} instead of {expected:?}"))
        }
    }
}
