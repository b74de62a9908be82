//! Reading built-in kinds as Kubernetes' own types: wrong types are refused, unknown fields reported and dropped.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::local::apiserver::{
    refusal::{Answer, Refusal},
    resources::Resource,
};

/// Reads a value as a type and writes it again; the error says where it does not fit.
pub type Decode = fn(Value) -> Result<Value, String>;

/// What to do about fields that the kind does not have: the query parameter `fieldValidation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// Maps whose values are quantities; YAML writers leave the quotes off, and Go's Quantity reads numbers too.
const QUANTITIES: [&str; 6] = ["requests", "limits", "capacity", "allocatable", "overhead", "allocatedResources"];

pub fn typed<T: Serialize + DeserializeOwned>(value: Value) -> Result<Value, String> {
    let read: T = serde_path_to_error::deserialize(value).map_err(|error| error.to_string())?;
    serde_json::to_value(read).map_err(|error| error.to_string())
}

/// The object as its kind knows it, and warnings about what was dropped.
pub fn decode(resource: &Resource, mut object: Value, validation: FieldValidation) -> Answer<(Value, Vec<String>)> {
    let cannot = |why: &str| {
        let (kind, version) = (&resource.kind, &resource.version);
        Refusal::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
    };
    let Some(decode) = resource.decode else {
        // Custom resources keep every field of theirs, but metadata is the same type everywhere.
        if let Some(metadata) = object.get_mut("metadata") {
            *metadata = typed::<ObjectMeta>(metadata.take()).map_err(|why| cannot(&why))?;
        }
        return Ok((object, Vec::new()));
    };
    quote_quantities(&mut object);
    let known = decode(object.clone()).map_err(|why| cannot(&why))?;
    let mut unknown = Vec::new();
    if validation != FieldValidation::Ignore {
        unknown_fields(&object, &known, "", &mut unknown);
    }
    if validation == FieldValidation::Strict && !unknown.is_empty() {
        let listed: Vec<String> = unknown.iter().map(|field| format!("unknown field {field:?}")).collect();
        return Err(cannot(&format!("strict decoding error: {}", listed.join(", "))));
    }
    Ok((known, unknown.iter().map(|field| format!("unknown field {field:?}")).collect()))
}

fn quote_quantities(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                if QUANTITIES.contains(&name.as_str())
                    && let Value::Object(amounts) = value
                {
                    amounts.values_mut().for_each(quote);
                } else if name == "sizeLimit" {
                    quote(value);
                } else {
                    quote_quantities(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(quote_quantities),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

fn quote(amount: &mut Value) {
    if let Value::Number(number) = amount {
        *amount = Value::String(number.to_string());
    }
}

fn unknown_fields(given: &Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => unknown_in_object(given, known, path, unknown),
        (Value::Array(given), Value::Array(known)) => {
            for (index, (given, known)) in given.iter().zip(known).enumerate() {
                unknown_fields(given, known, &format!("{path}[{index}]"), unknown);
            }
        }
        (_, _) => (),
    }
}

fn unknown_in_object(given: &Map<String, Value>, known: &Map<String, Value>, path: &str, unknown: &mut Vec<String>) {
    for (name, given) in given {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match known.get(name) {
            Some(known) => unknown_fields(given, known, &path, unknown),
            None if given.is_null() => (),
            None => unknown.push(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::local::apiserver::resources::built_in;

    #[test]
    fn unknown_fields_are_named() {
        let resources = built_in();
        let pods = resources.iter().find(|resource| resource.is_pods()).expect("pods are built in");
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "creationTimestamp": null},
            "spec": {"containers": [{"name": "c", "imagine": "x", "resources": {"limits": {"cpu": 1}}}]}});
        let (known, warnings) = decode(pods, pod.clone(), FieldValidation::Warn).unwrap();
        assert_eq!(warnings, ["unknown field \"spec.containers[0].imagine\""]);
        assert_eq!(known.pointer("/spec/containers/0/resources/limits/cpu"), Some(&json!("1")));
        let refusal = decode(pods, pod, FieldValidation::Strict).unwrap_err();
        assert_eq!(
            refusal.message,
            "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"spec.containers[0].imagine\""
        );
    }
}
