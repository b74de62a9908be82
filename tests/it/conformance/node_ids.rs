//! `node-ids.tsv`: workflow, node name, node ID.

use std::{collections::BTreeMap, fs};

use landfall::engine::nodes;

use crate::conformance::{Outcome, folder, known};

#[test]
fn node_ids_are_those_of_argo() {
    let Some(folder) = folder("node-ids") else { return };
    let text = fs::read_to_string(folder.join("node-ids.tsv")).unwrap();
    let mut outcomes: BTreeMap<String, Outcome> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [workflow, node, expected] = columns[..] else { panic!("three columns in {line:?}") };
        let found = nodes::node_id(workflow, node);
        let outcome = if found == expected { Ok(()) } else { Err(format!("{found} instead of {expected}")) };
        outcomes.insert(format!("{workflow} {node}"), outcome);
    }
    known::report("node-ids", &outcomes);
}
