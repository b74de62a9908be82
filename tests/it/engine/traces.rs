//! Each `tests/engine/<case>.yaml` is a Workflow and, as a second document, how its pods end; `<case>.trace` is what the
//! engine did: one line an action and a change of a node. `UPDATE_GOLDEN=1` rewrites the traces.

use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf};

use jiff::Timestamp;
use landfall::{
    api::{manifest, node::NodeStatus, strict, workflow::Workflow},
    engine::observed::ClusterState,
};
use serde::Deserialize;

use crate::support::world::{End, World};

/// Passes after which a case that has not ended never will.
const PASSES_MAX: usize = 50;

/// The second document of a case.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Script {
    /// By node name: the exit code of its pod. All others exit with 0.
    exit_codes: BTreeMap<String, i32>,
    /// By node name: why policy says no.
    denied: BTreeMap<String, String>,
    /// Clusters beside home that answer.
    ready: Vec<String>,
    /// Clusters that don't answer until pass 3, and why.
    unavailable: BTreeMap<String, String>,
    /// Clusters that are not configured any more from pass 3 on, and again from pass 5 on.
    removed: Vec<String>,
    /// Why nothing may be created until pass 3.
    on_hold: Option<String>,
    /// By node name: why policy can't be asked about its pod until pass 3.
    held: BTreeMap<String, String>,
}

#[test]
fn traces_are_as_recorded() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/engine");
    let mut cases = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "yaml") {
            check(&path);
            cases += 1;
        }
    }
    assert!(10 <= cases, "only {cases} cases");
}

fn check(path: &std::path::Path) {
    let documents = manifest::parse(&fs::read_to_string(path).unwrap()).unwrap();
    let workflow: Workflow = strict::decode(&documents[0].value).unwrap();
    let script: Script =
        documents.get(1).map_or_else(Script::default, |it| serde_json::from_value(it.value.clone()).unwrap());
    let trace = run(workflow, &script);
    let golden = path.with_extension("trace");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &trace).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(trace, expected, "{}", golden.display());
}

fn run(workflow: Workflow, script: &Script) -> String {
    let mut world = World::new(workflow);
    world.denied = script.denied.clone();
    world.on_hold = script.on_hold.clone();
    world.held = script.held.clone();
    world.clusters.extend(script.ready.iter().map(|name| (name.parse().unwrap(), ClusterState::Ready)));
    world.clusters.extend(script.unavailable.iter().map(|(name, why)| {
        let state = ClusterState::Unavailable { reason: why.clone(), since: Timestamp::UNIX_EPOCH };
        (name.parse().unwrap(), state)
    }));
    let mut trace = String::new();
    for pass in 1..=PASSES_MAX {
        if pass == 3 {
            world.on_hold = None;
            world.held.clear();
            world.clusters.values_mut().for_each(|state| *state = ClusterState::Ready);
        }
        for name in &script.removed {
            match pass {
                3 => drop(world.clusters.remove(&name.parse().unwrap())),
                5 => drop(world.clusters.insert(name.parse().unwrap(), ClusterState::Ready)),
                _ => (),
            }
        }
        let plan = world.decide();
        writeln!(trace, "pass {pass}").unwrap();
        for (id, node) in &plan.status.nodes {
            let before = world.workflow.status.nodes.get(id).map(line);
            if before.as_deref() != Some(&line(node)) {
                writeln!(trace, "  {}", line(node)).unwrap();
            }
        }
        world.write_status(&plan);
        for action in &plan.actions {
            writeln!(trace, "  {action}").unwrap();
            world.apply(action);
        }
        if plan.status.phase.is_completed() {
            let message = plan.status.message.map(|message| format!(": {message}")).unwrap_or_default();
            writeln!(trace, "{}{message}", plan.status.phase).unwrap();
            return trace;
        }
        let keys: Vec<_> = world.pods.keys().cloned().collect();
        for key in keys {
            let exit_code = script.exit_codes.get(&world.node_name_of(&key)).copied().unwrap_or(0);
            match world.phase_of(&key) {
                "Pending" => world.start(&key),
                "Running" => world.end(&key, &End::Exit(exit_code)),
                _ => (),
            }
        }
    }
    panic!("did not end in {PASSES_MAX} passes:\n{trace}");
}

fn line(node: &NodeStatus) -> String {
    let message = node.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    format!("{} {} {}{message}", node.name, node.r#type, node.phase)
}
