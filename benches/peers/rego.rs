//! The rules in Rego (`rules.rego`), by both evaluators of `regorus`: its engine with `eval_rule`, which its documentation
//! prefers to `eval_query`, and its virtual machine. Both are kept from one decision to the next, which took no longer than a
//! clone for each.

use std::collections::BTreeMap;

use landfall::policy::request::Request;
use regorus::{Engine, Value, languages::rego::compiler::Compiler, rvm::vm::RegoVM};
use serde_json::json;

use crate::rules::Rules;

/// By the engine.
pub fn interpreted(rule: &str, rules: &Rules) -> Box<dyn FnMut(&Request) -> bool> {
    let mut engine = engine(rules);
    let mut input = inputs();
    let path = path(rule);
    Box::new(move |request| {
        engine.set_input(input(request));
        engine.eval_rule(path.clone()).expect("the rule has a value") == Value::from(true)
    })
}

/// By the virtual machine, without a limit of instructions.
pub fn compiled(rule: &str, rules: &Rules) -> Box<dyn FnMut(&Request) -> bool> {
    let path = path(rule);
    let policy = engine(rules).compile_with_entrypoint(&path.as_str().into()).expect("the policy compiles");
    let mut machine = RegoVM::new();
    machine.load_program(Compiler::compile_from_policy(&policy, &[&path]).expect("the policy compiles"));
    machine.set_data(data(rules)).expect("the rules are data");
    machine.set_max_instructions(usize::MAX);
    let mut input = inputs();
    Box::new(move |request| {
        machine.set_input(input(request));
        machine.execute().expect("the rule has a value") == Value::from(true)
    })
}

fn path(rule: &str) -> String {
    format!("data.landfall.{rule}")
}

fn engine(rules: &Rules) -> Engine {
    let mut engine = Engine::new();
    engine.add_policy("rules.rego".to_owned(), include_str!("rules.rego").to_owned()).expect("the policy is right");
    engine.add_data(data(rules)).expect("the rules are data");
    engine
}

fn data(rules: &Rules) -> Value {
    Value::from(json!({ "rules": rules }))
}

/// Makes the input of each request.
fn inputs() -> impl FnMut(&Request) -> Value {
    let keys = ["workflow", "cluster", "namespace"].map(Value::from);
    move |request| {
        let Request { workflow, target, .. } = request;
        let names = [workflow.namespace.as_str(), target.cluster.as_str(), target.namespace.as_str()].map(Value::from);
        Value::from(BTreeMap::from_iter(keys.iter().cloned().zip(names)))
    }
}
