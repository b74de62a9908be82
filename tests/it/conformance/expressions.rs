//! `expressions.jsonl`: expressions, templates and conditions, and what they are with some variables.

use std::{cell::Cell, collections::BTreeMap, fs};

use landfall::expr;
use serde_json::Value;

use crate::conformance::{Outcome, folder, known};

#[test]
fn expressions_are_those_of_argo() {
    let Some(folder) = folder("expressions") else { return };
    let variables = fs::read_to_string(folder.join("expressions.vars.json")).unwrap();
    let variables: BTreeMap<String, String> = serde_json::from_str(&variables).unwrap();
    let text = fs::read_to_string(folder.join("expressions.jsonl")).unwrap();
    let mut outcomes: BTreeMap<String, Outcome> = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let case: Value = serde_json::from_str(line).unwrap();
        let kind = case["kind"].as_str().unwrap();
        let name = format!("line {:03}", index + 1);
        outcomes.insert(name, run(&case, kind, &variables));
    }
    known::report("expressions", &outcomes);
}

fn run(case: &Value, kind: &str, variables: &BTreeMap<String, String>) -> Outcome {
    let text = case["text"].as_str().unwrap();
    match kind {
        "template" => template(case, text, variables),
        "expr" => Err("expressions: not supported yet".to_owned()),
        "when" => Err("conditions: not supported yet".to_owned()),
        other => Err(format!("kind {other:?}")),
    }
}

fn template(case: &Value, text: &str, variables: &BTreeMap<String, String>) -> Outcome {
    if expr::tags(text).iter().any(|tag| matches!(tag, expr::Tag::Expression(_))) {
        return Err("expression tags: not supported yet".to_owned());
    }
    let unresolved = Cell::new(false);
    let found = expr::substitute(text, &|name: &str| {
        let value = variables.get(name).map(String::as_str);
        unresolved.set(unresolved.get() || value.is_none());
        value
    });
    let refused = unresolved.get() && case["allowUnresolved"] != true;
    match (case.get("error").is_some(), refused) {
        (true, true) => Ok(()),
        (true, false) => Err(format!("{found:?} instead of an error")),
        (false, true) => Err(format!("an error instead of {}", case["out"])),
        (false, false) if case["out"] == found.as_str() => Ok(()),
        (false, false) => Err(format!("{found:?} instead of {}", case["out"])),
    }
}
