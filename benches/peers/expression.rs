//! The rules in CEL: one expression, the rules a variable that stays. Names are lent to each evaluation by a resolver, which
//! was a little faster than adding variables; `namespace` is a reserved word.
//!
//! A thousand terms joined by `||` in place of the list took an eighth of its time, and sixty times that of the look-ups
//! or more.

use cel::{
    Context, Program, Value,
    common::{types::CelString, value::CowVal},
    context::VariableResolver,
};
use landfall::policy::request::Request;

use crate::rules::Rules;

/// Searches the rules one after the other.
pub const LIST: &str = r#"
rules.exists(rule,
    (rule.namespace == workflow || rule.namespace == "")
    && (cluster in rule.clusterNames || "" in rule.clusterNames)
    && (target in rule.namespaces || "" in rule.namespaces))"#;

/// Looks the names up. Written out, as `[workflow, ""].exists(…)` took more than twice as long.
pub const LOOK_UPS: &str = r#"
workflow in allowed && (
    cluster in allowed[workflow] && (target in allowed[workflow][cluster] || "" in allowed[workflow][cluster])
    || "" in allowed[workflow] && (target in allowed[workflow][""] || "" in allowed[workflow][""]))
|| "" in allowed && (
    cluster in allowed[""] && (target in allowed[""][cluster] || "" in allowed[""][cluster])
    || "" in allowed[""] && (target in allowed[""][""] || "" in allowed[""][""]))"#;

/// The names of a request.
struct Names<'a>(&'a Request);

impl VariableResolver for Names<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let name = match variable {
            "workflow" => self.0.workflow.namespace.as_str(),
            "cluster" => self.0.target.cluster.as_str(),
            "target" => self.0.target.namespace.as_str(),
            _ => return None,
        };
        Some(CowVal::owned(CelString::from(name)))
    }
}

/// Decides by `expression`.
pub fn peer(expression: &str, rules: &Rules) -> Box<dyn FnMut(&Request) -> bool> {
    let program = Program::compile(expression).expect("the expression is right");
    let mut context = Context::default();
    context.add_variable("rules", &rules.list).expect("the list is data");
    context.add_variable("allowed", &rules.allowed).expect("the layout is data");
    Box::new(move |request| {
        let names = Names(request);
        let mut inner = context.new_inner_scope();
        inner.set_variable_resolver(&names);
        program.execute(&inner).expect("the expression has a value") == Value::Bool(true)
    })
}
