//! The strict check: a field that nobody reads is a mistake, and so is a value of the wrong kind. All are reported.
//!
//! It walks the JSON value beside the shape of the type, so fields of Kubernetes' own types are known too.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{LazyLock, Mutex, PoisonError},
};

use k8s_openapi::Resource;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::schema::{Fields, Kind, Shape, Shapes, shapes};

/// How like a known name must an unknown one be to be taken for a slip, from 0 to 1. Found by trying: `comand` and
/// `Template` get their suggestion, `foo` gets none.
const LIKENESS_MIN: f64 = 0.7;

/// How many problems are reported. A file of another kind would otherwise fill the screen.
const PROBLEMS_MAX: usize = 100;

/// Something wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Problem {
    /// Where: `spec.templates[1].container.comand`.
    pub path: String,
    /// What.
    pub problem: String,
}

/// Reads an object, or says all that is wrong with it.
pub fn decode<T>(value: &Value) -> Result<T, Vec<Problem>>
where
    T: Resource + JsonSchema + DeserializeOwned,
{
    let problems = check::<T>(value);
    if !problems.is_empty() {
        return Err(problems);
    }
    serde_path_to_error::deserialize(value)
        .map_err(|error| vec![Problem { path: error.path().to_string(), problem: error.inner().to_string() }])
}

/// All unknown fields and values of the wrong kind.
pub fn check<T: Resource + JsonSchema>(value: &Value) -> Vec<Problem> {
    let shapes = shapes_of::<T>();
    let mut walk = Walk { shapes: &shapes, fields_only: false, problems: Vec::new() };
    let Value::Object(object) = value else {
        walk.report("", format!("expected an object, found {}", describe(value)));
        return walk.problems;
    };
    for (name, expected) in [("apiVersion", T::API_VERSION), ("kind", T::KIND)] {
        match object.get(name) {
            Some(Value::String(found)) if found == expected => (),
            Some(found) => walk.report(name, format!("expected {expected:?}, found {}", describe(found))),
            None => walk.report(name, format!("expected {expected:?}, found nothing")),
        }
    }
    walk.value(value, &shapes.root, "");
    walk.problems
}

/// All unknown fields of what may be a part of an object only, and of which the values may be anything.
pub fn unknown_fields<T: Resource + JsonSchema>(value: &Value) -> Vec<Problem> {
    let shapes = shapes_of::<T>();
    let mut walk = Walk { shapes: &shapes, fields_only: true, problems: Vec::new() };
    walk.value(value, &shapes.root, "");
    walk.problems
}

/// The shape of a kind, with the two fields that every object has. Computed once.
fn shapes_of<T: Resource + JsonSchema>() -> Shapes {
    static KNOWN: LazyLock<Mutex<BTreeMap<&str, Shapes>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let shapes = known.entry(T::KIND).or_insert_with(|| {
        let mut shapes = shapes::<T>();
        if let Kind::Object(fields) = &mut shapes.root.kind {
            for name in ["apiVersion", "kind"] {
                fields.insert(name.to_owned(), Shape { description: None, kind: Kind::Text(None) });
            }
        }
        shapes
    });
    shapes.clone()
}

struct Walk<'a> {
    shapes: &'a Shapes,
    /// Values of the wrong kind are none of its business.
    fields_only: bool,
    problems: Vec<Problem>,
}

impl Walk<'_> {
    fn value(&mut self, value: &Value, shape: &Shape, path: &str) {
        // As everywhere in Kubernetes, null is as good as nothing.
        if value.is_null() || self.problems.len() == PROBLEMS_MAX {
            return;
        }
        match (&self.shapes.resolve(shape).kind, value) {
            (Kind::Any | Kind::Named(_), _)
            | (Kind::Boolean, Value::Bool(_))
            | (Kind::Number, Value::Number(_))
            | (Kind::Text(_), Value::String(_))
            | (Kind::AnyText, Value::String(_) | Value::Number(_) | Value::Bool(_)) => (),
            // Quantities are of this kind, and Kubernetes takes `cpu: 0.5`.
            (Kind::IntegerOrText, Value::String(_) | Value::Number(_)) => (),
            (Kind::Integer(format), Value::Number(number)) => {
                if let Some(problem) = out_of_range(number, format.as_deref()).filter(|_| !self.fields_only) {
                    self.report(path, problem);
                }
            }
            (Kind::List(item), Value::Array(items)) => {
                for (index, value) in items.iter().enumerate() {
                    self.value(value, item, &format!("{path}[{index}]"));
                }
            }
            (Kind::Dictionary(item), Value::Object(entries)) => {
                for (key, value) in entries {
                    self.value(value, item, &join(path, key));
                }
            }
            (Kind::Object(fields), Value::Object(entries)) => {
                for (name, value) in entries {
                    match fields.get(name) {
                        Some(field) => self.value(value, field, &join(path, name)),
                        None => self.report(&join(path, name), unknown(name, fields)),
                    }
                }
            }
            _ if self.fields_only => (),
            (Kind::Text(_), Value::Bool(truth)) => self.report(
                path,
                format!(
                    "expected text, found {truth} (y, n, yes, no, on and off are booleans in YAML: put text in quotes)"
                ),
            ),
            (expected, found) => self.report(path, format!("expected {expected}, found {}", describe(found))),
        }
    }

    fn report(&mut self, path: &str, problem: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { path: path.to_owned(), problem });
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn unknown(name: &str, fields: &Fields) -> String {
    let likeness = |known: &str| strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase());
    let nearest = fields.keys().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest {
        Some(nearest) if LIKENESS_MIN <= likeness(nearest) => format!("unknown field, did you mean {nearest:?}?"),
        Some(_) | None => "unknown field".into(),
    }
}

fn out_of_range(number: &serde_json::Number, format: Option<&str>) -> Option<String> {
    let fits = match (number.as_i64(), format) {
        (Some(number), Some("int32")) => i32::try_from(number).is_ok(),
        (Some(number), Some("uint64")) => 0 <= number,
        (Some(_), _) => true,
        (None, Some("uint64")) => number.is_u64(),
        (None, _) => false,
    };
    (!fits).then(|| match number.is_f64() {
        true => format!("expected a whole number, found {number}"),
        false => format!("{number} is out of range"),
    })
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(truth) => format!("{truth}"),
        Value::Number(number) => format!("{number}"),
        Value::String(text) => format!("{text:?}"),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Any | Kind::Named(_) => "a value",
            Kind::Boolean => "true or false",
            Kind::Integer(_) => "a whole number",
            Kind::Number => "a number",
            Kind::Text(_) => "text",
            Kind::AnyText => "text, a number or a boolean",
            Kind::IntegerOrText => "a whole number or text",
            Kind::List(_) => "a list",
            Kind::Dictionary(_) | Kind::Object(_) => "an object",
        })
    }
}
