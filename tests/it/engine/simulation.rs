//! Any order of events, crashes after any action, clusters that come and go: the workflow ends, once, the same way.
//! A failure prints its seed; `LANDFALL_SEED` runs that one alone.

use std::collections::BTreeMap;

use fastrand::Rng;
use landfall::{
    api::{node::NodePhase, workflow::Workflow},
    engine::observed::PodKey,
};
use serde_json::{Value, json};

use crate::support::world::{End, World};

const SEEDS: u64 = 300;
/// Rounds after which faults stop.
const FAULTS_MAX: usize = 60;
/// Rounds after which a workflow that has not ended never will.
const ROUNDS_MAX: usize = 2_000;

#[test]
fn every_schedule_ends_the_same_way() {
    let only = std::env::var("LANDFALL_SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds = only.map_or(0..SEEDS, |seed| seed..seed + 1);
    for seed in seeds {
        let workflow = generate(&mut Rng::with_seed(seed));
        let calm = simulate(seed, &workflow, false);
        let stormy = simulate(seed, &workflow, true);
        assert_eq!(calm, stormy, "seed {seed}: faults changed the outcome");
    }
}

/// Runs a workflow to its end; gives the final phase of each node by name.
fn simulate(seed: u64, workflow: &Workflow, is_stormy: bool) -> BTreeMap<String, NodePhase> {
    let mut rng = Rng::with_seed(seed ^ 0x5eed);
    let mut world = World::new(workflow.clone());
    // Longer than any outage here: a node that is given up would rightly end otherwise than in the calm.
    world.lost_after = jiff::SignedDuration::from_hours(24);
    world.find("other");
    for round in 0..ROUNDS_MAX {
        let storm = is_stormy && round < FAULTS_MAX;
        turn_cluster(&mut world, &mut rng, storm);
        let plan = world.decide();
        assert_forward(seed, &world.workflow, &plan.status.nodes);
        let crashes_before_write = storm && rng.u8(..8) == 0;
        if crashes_before_write {
            continue;
        }
        world.write_status(&plan);
        let done = if storm { rng.usize(..=plan.actions.len()) } else { plan.actions.len() };
        for action in &plan.actions[..done] {
            world.apply(action);
        }
        if plan.status.phase.is_completed() {
            assert_eq!(world.decide().status, world.workflow.status, "seed {seed}: an ended workflow changes");
            return plan.status.nodes.values().map(|node| (node.name.clone(), node.phase)).collect();
        }
        if done == plan.actions.len() {
            let again = world.decide();
            assert_eq!(again.status, world.workflow.status, "seed {seed}: a second pass decides anew");
        }
        move_some_pods(&mut world, &mut rng);
        assert!(world.created.values().all(|count| *count == 1), "seed {seed}: a pod was created twice");
        world.advance(jiff::SignedDuration::from_secs(rng.i64(0..100)));
    }
    panic!("seed {seed}: did not end");
}

fn turn_cluster(world: &mut World, rng: &mut Rng, storm: bool) {
    if storm && rng.bool() {
        world.lose("other", "no route");
    } else {
        world.find("other");
    }
}

/// Each pod may move one phase on; how it ends depends on its node's name alone.
fn move_some_pods(world: &mut World, rng: &mut Rng) {
    let keys: Vec<PodKey> = world.pods.keys().cloned().collect();
    for key in keys {
        if rng.bool() {
            continue;
        }
        let name = world.node_name_of(&key);
        let exit_code = i32::from(name.bytes().map(u32::from).sum::<u32>() % 7 == 0);
        match world.phase_of(&key) {
            "Pending" => world.start(&key),
            "Running" => world.end(&key, &End::Exit(exit_code)),
            _ => (),
        }
    }
}

fn assert_forward(seed: u64, before: &Workflow, after: &BTreeMap<String, landfall::api::node::NodeStatus>) {
    for (id, node) in &before.status.nodes {
        let next = after.get(id).unwrap_or_else(|| panic!("seed {seed}: node {} vanished", node.name));
        assert_eq!((&next.name, next.r#type), (&node.name, node.r#type), "seed {seed}");
        let is_final = node.phase.is_fulfilled();
        assert!(!is_final || next.phase == node.phase, "seed {seed}: {} was {}", node.name, node.phase);
        assert!(rank(node.phase) <= rank(next.phase), "seed {seed}: {} went back", node.name);
    }
}

fn rank(phase: NodePhase) -> u8 {
    match phase {
        NodePhase::Pending => 0,
        NodePhase::Running => 1,
        NodePhase::Succeeded | NodePhase::Skipped | NodePhase::Failed | NodePhase::Error | NodePhase::Omitted => 2,
    }
}

/// A workflow of a few layers of steps and dags over pods, some of them in another cluster.
fn generate(rng: &mut Rng) -> Workflow {
    let mut templates = vec![
        json!({"name": "here", "container": {"image": "i"}}),
        json!({"name": "there", "clusterName": "other", "namespace": "far", "container": {"image": "i"}}),
    ];
    for layer in 0..rng.usize(1..4) {
        let callees: Vec<String> = templates.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect();
        let name = format!("layer-{layer}");
        templates.push(if rng.bool() { steps(rng, &name, &callees) } else { dag(rng, &name, &callees) });
    }
    let entrypoint = templates.last().unwrap()["name"].clone();
    serde_json::from_value(json!({
        "metadata": {"name": "sim", "namespace": "argo", "uid": "u"},
        "spec": {"entrypoint": entrypoint, "templates": templates},
    }))
    .unwrap()
}

fn steps(rng: &mut Rng, name: &str, callees: &[String]) -> Value {
    let groups: Vec<Value> = (0..rng.usize(1..4))
        .map(|group| {
            let steps = (0..rng.usize(1..4)).map(|step| {
                json!({
                    "name": format!("s{group}{step}"),
                    "template": callees[rng.usize(..callees.len())],
                    "continueOn": {"failed": rng.bool()},
                })
            });
            steps.collect()
        })
        .collect();
    json!({"name": name, "steps": groups})
}

fn dag(rng: &mut Rng, name: &str, callees: &[String]) -> Value {
    let tasks: Vec<Value> = (0..rng.usize(1..6))
        .map(|task| {
            let mut json = json!({"name": format!("t{task}"), "template": callees[rng.usize(..callees.len())]});
            if 0 < task && rng.bool() {
                let other = format!("t{}", rng.usize(..task));
                let result = ["", ".Succeeded", ".Failed || t0.Succeeded", ".Omitted"][rng.usize(..4)];
                json["depends"] = json!(format!("{other}{result}"));
            }
            json
        })
        .collect();
    json!({"name": name, "dag": {"tasks": tasks, "failFast": rng.bool()}})
}
