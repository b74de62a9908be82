//! The tree of nodes: a workflow with a status in `tests/cli/tree-*.yaml`, the text in the file of the same name.

use jiff::Timestamp;
use landfall::{
    api::{ids::ClusterName, manifest, strict, workflow::Workflow},
    cli::local::{
        lines::{self, Said},
        tree,
    },
};

use crate::golden;

/// When the trees are drawn: what runs has been running up to here.
const NOW: &str = "2026-01-02T03:05:00Z";

#[track_caller]
fn check(name: &str) {
    let file = format!("{}/tests/cli/tree-{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let documents = manifest::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
    let now: Timestamp = NOW.parse().unwrap();
    let home = ClusterName::home();
    let mut said = Said::new();
    let mut found = String::new();
    for document in documents {
        let workflow: Workflow = strict::decode(&document.value).unwrap();
        for line in lines::changes(&workflow, &home, &mut said) {
            found += &format!("{line}\n");
        }
        found += &format!("\n{}\n", tree::render(&workflow, &home, now));
    }
    golden::check(&format!("tests/cli/tree-{name}.txt"), &found);
}

#[test]
fn a_workflow_that_nobody_looked_at() {
    check("waiting");
}

#[test]
fn tasks_stand_in_the_order_of_their_template() {
    check("dag");
}

#[test]
fn groups_of_steps_are_left_out_and_loops_and_tries_stand_below_their_node() {
    check("steps");
}
