//! `controller/`: scripts for the engine.

use std::{collections::BTreeMap, fs, path::Path};

use jiff::SignedDuration;
use landfall::api::{manifest, node::NodeStatus, workflow::Workflow};
use serde_json::{Value, json};

use crate::{
    conformance::{Outcome, case_name, files, folder, known},
    support::world::{World, set_exit_code, set_phase},
};

#[test]
fn the_engine_does_as_the_scripts_say() {
    let Some(folder) = folder("controller") else { return };
    let outcomes: BTreeMap<String, Outcome> =
        files(&folder.join("controller")).iter().map(|file| (case_name(file), run(file))).collect();
    known::report("controller", &outcomes);
}

fn run(file: &Path) -> Outcome {
    let script = manifest::parse(&fs::read_to_string(file).unwrap()).unwrap().remove(0).value;
    let mut world: Option<World> = None;
    for step in script["steps"].as_array().unwrap() {
        let (verb, object) = step.as_object().unwrap().iter().next().unwrap();
        if verb == "load" {
            world = Some(load(object)?);
            continue;
        }
        let Some(world) = &mut world else { return Err(format!("{verb} before load")) };
        match verb.as_str() {
            "reconcile" => {
                world.pass();
                world.supported()?;
            }
            "pods" => set_pods(world, object)?,
            "deletePods" => world.pods.clear(),
            "advance" => world.advance(duration(object.as_str().unwrap())?),
            "subtest" => (),
            "expect" => expect(world, object)?,
            other => return Err(format!("step {other:?}: not supported yet")),
        }
    }
    Ok(())
}

fn load(objects: &Value) -> Result<World, String> {
    let objects = objects.as_array().unwrap();
    if objects.iter().any(|object| object["kind"] != "Workflow") {
        return Err("objects beside the workflow: not supported yet".to_owned());
    }
    let workflow: Workflow = serde_json::from_value(objects.last().unwrap().clone()).map_err(|it| it.to_string())?;
    Ok(World::new(workflow))
}

fn set_pods(world: &mut World, wanted: &Value) -> Outcome {
    let phase = wanted["phase"].as_str().unwrap();
    if !wanted["outputs"].is_null() {
        return Err("outputs: not supported yet".to_owned());
    }
    for pod in world.pods.values_mut() {
        if pod.status.as_ref().and_then(|it| it.phase.as_deref()) == Some(phase) {
            continue;
        }
        set_phase(pod, phase);
        if phase == "Failed" {
            pod.status.get_or_insert_default().message = Some("Pod failed".to_owned());
        }
        if let Some(code) = wanted["exitCode"].as_i64() {
            set_exit_code(pod, i32::try_from(code).unwrap(), jiff::Timestamp::UNIX_EPOCH);
        }
    }
    Ok(())
}

/// `4 * time.Second`
fn duration(text: &str) -> Result<SignedDuration, String> {
    let (count, unit) = text.split_once('*').unwrap_or(("1", text));
    let count: i64 = count.trim().parse().map_err(|error| format!("advance {text:?}: {error}"))?;
    match unit.trim() {
        "time.Millisecond" => Ok(SignedDuration::from_millis(count)),
        "time.Second" => Ok(SignedDuration::from_secs(count)),
        "time.Minute" => Ok(SignedDuration::from_mins(count)),
        "time.Hour" => Ok(SignedDuration::from_hours(count)),
        other => Err(format!("advance: unit {other:?}")),
    }
}

fn expect(world: &World, expected: &Value) -> Outcome {
    let status = &world.workflow.status;
    for (name, expected) in expected.as_object().unwrap() {
        match name.as_str() {
            "phase" => same("phase", expected, &json!(status.phase))?,
            "message" => same("message", expected, &json!(status.message))?,
            "messageContains" => contains(expected, status.message.as_deref())?,
            "podCount" => same("pods", expected, &json!(world.pods.len()))?,
            "node" => expect_node(world, expected)?,
            other => return Err(format!("expect {other:?}: not supported yet")),
        }
    }
    Ok(())
}

fn expect_node(world: &World, expected: &Value) -> Outcome {
    let is_meant = |node: &&NodeStatus| {
        let is = |name: &str, value: &str| expected.get(name).is_none_or(|it| it == value);
        is("name", &node.name) && is("displayName", &node.display_name) && is("id", &node.id)
    };
    let found = world.workflow.status.nodes.values().find(is_meant);
    let exists = expected.get("exists").is_none_or(|it| it == true);
    let node = match (found, exists) {
        (Some(node), true) => node,
        (None, false) => return Ok(()),
        (Some(node), false) => return Err(format!("node {} exists", node.name)),
        (None, true) => return Err(format!("no node {expected}")),
    };
    let found = serde_json::to_value(node).unwrap();
    for (name, expected) in expected.as_object().unwrap() {
        let what = format!("{} of node {}", name, node.name);
        match name.as_str() {
            "name" | "displayName" | "id" | "exists" => (),
            "phase" | "type" | "message" => same(&what, expected, &found[name])?,
            "messageContains" => contains(expected, node.message.as_deref())?,
            "children" => same(&what, expected, &json!(node.children.len()))?,
            "nodeFlag" => same(&what, expected, &found["nodeFlag"])?,
            "field" => {
                // Named as in Go.
                for (field, expected) in expected.as_object().unwrap() {
                    let (first, rest) = field.split_at(1);
                    same(&what, expected, &found[first.to_lowercase() + rest])?;
                }
            }
            "param" => {
                let side = expected["side"].as_str().unwrap().to_lowercase();
                let index = usize::try_from(expected["index"].as_u64().unwrap()).unwrap();
                same(&what, &expected["value"], &found[side]["parameters"][index]["value"])?;
            }
            other => return Err(format!("expect node {other:?}: not supported yet")),
        }
    }
    Ok(())
}

fn same(what: &str, expected: &Value, found: &Value) -> Outcome {
    if expected == found { Ok(()) } else { Err(format!("{what} is {found} instead of {expected}")) }
}

fn contains(expected: &Value, found: Option<&str>) -> Outcome {
    let (expected, found) = (expected.as_str().unwrap(), found.unwrap_or_default());
    if found.contains(expected) { Ok(()) } else { Err(format!("message {found:?} does not contain {expected:?}")) }
}
