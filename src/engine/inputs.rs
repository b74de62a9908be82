//! A template with its inputs given and its variables put in, ready to be carried out.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    api::{any_string::AnyString, arguments::Arguments, template::Template},
    engine::scope,
    expr::{self, Variables},
};

/// The template with each input parameter's value set and every known `{{…}}` replaced. Tags that nothing knows yet
/// stay: those of steps and tasks are replaced when the step or task is called.
///
/// # Errors
/// If an input has neither an argument nor a value nor a default, or if the template with the values in it is no
/// template any more; the text is the node's message.
pub fn process(
    template: &Template,
    arguments: &Arguments,
    globals: &Variables,
    locals: &Variables,
) -> Result<Template, String> {
    let mut template = template.clone();
    let mut variables = locals.clone();
    for parameter in &mut template.inputs.parameters {
        let argument = arguments.parameters.iter().find(|argument| argument.name == parameter.name);
        let value = argument.and_then(|argument| argument.value.clone()).or_else(|| parameter.value.clone());
        let Some(value) = value.or_else(|| parameter.default.clone()) else {
            return Err(format!("inputs.parameters.{} was not supplied", parameter.name));
        };
        let value = expr::substitute(value.as_str(), &|name| globals.get(name).map(String::as_str));
        variables.insert(format!("inputs.parameters.{}", parameter.name), value.clone());
        parameter.value = Some(AnyString(value));
    }
    variables.insert("inputs.parameters".to_owned(), scope::json_list(&template.inputs.parameters));
    substitute(&template, &|name| variables.get(name).or_else(|| globals.get(name)).map(String::as_str))
        .map_err(|error| format!("templates.{}: {error}", template.name))
}

/// A typed value with every `{{…}}` in it that `lookup` knows replaced.
///
/// # Errors
/// If what comes out doesn't fit the type, as when text was put where a number must stand.
pub fn substitute<'v, T>(value: &T, lookup: &impl Fn(&str) -> Option<&'v str>) -> Result<T, String>
where
    T: Serialize + DeserializeOwned,
{
    let mut json: Value = serde_json::to_value(value).map_err(|error| error.to_string())?;
    expr::substitute_value(&mut json, lookup);
    serde_json::from_value(json).map_err(|error| format!("after substitution: {error}"))
}
