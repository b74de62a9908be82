//! The shape of our types as data: what fields there are and of what kind, down into those of Kubernetes.
//!
//! Read off the types themselves, so that the strict check and the CRDs can't differ from what is decoded.

use std::sync::Arc;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

/// The shape of one value. Each part that is not given is not known, and then anything goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    /// What the value is for.
    pub description: Option<String>,
    /// What kind of value it is.
    pub kind: Kind,
}

/// Kinds of values.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Kind {
    /// Any JSON.
    #[default]
    Any,
    /// True or false.
    Boolean,
    /// A whole number, and its format: `int32`, `int64`, `uint64`.
    Integer(Option<String>),
    /// A number.
    Number,
    /// Text, and its format: `date-time`, `byte`.
    Text(Option<String>),
    /// Text, a number or a boolean.
    AnyText,
    /// A whole number or text.
    IntegerOrText,
    /// A list of such values.
    List(Box<Shape>),
    /// An object with any keys and such values.
    Dictionary(Box<Shape>),
    /// An object with these keys.
    Object(Fields),
    /// A value of the named shape.
    Named(String),
}

/// The fields of an object, by name.
pub type Fields = std::collections::BTreeMap<String, Shape>;

/// The shape of a type, with all shapes that it names.
#[derive(Clone, Debug, PartialEq)]
pub struct Shapes {
    /// The shape of the type.
    pub root: Shape,
    /// The shapes that others name.
    pub named: Arc<Fields>,
}

/// The schema of a text that may also be written as a number or boolean. Read back by [`shapes`].
pub const ANY_TEXT: [&str; 3] = ["string", "number", "boolean"];

/// What the names of Kubernetes' own shapes begin with.
pub const KUBERNETES: &str = "io.k8s.";

/// The shape of `T`.
pub fn shapes<T: JsonSchema>() -> Shapes {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
    let definitions = schema.as_object_mut().and_then(|schema| schema.remove("$defs"));
    let named = match definitions {
        Some(Value::Object(definitions)) => {
            definitions.iter().map(|(name, it)| (name.clone(), named_shape(name, it))).collect()
        }
        Some(_) | None => Fields::new(),
    };
    Shapes { root: shape(&schema), named: Arc::new(named) }
}

impl Shapes {
    /// The shape itself, whether it is named or not.
    pub fn resolve<'a>(&'a self, shape: &'a Shape) -> &'a Shape {
        match &shape.kind {
            Kind::Named(name) => self.named.get(name).unwrap_or(shape),
            _ => shape,
        }
    }
}

fn named_shape(name: &str, schema: &Value) -> Shape {
    let mut shape = shape(schema);
    // A type of ours without fields is `{}` and nothing else; one of Kubernetes' is any object.
    if shape.kind == Kind::Any && schema["type"] == "object" && !name.starts_with(KUBERNETES) {
        shape.kind = Kind::Object(Fields::new());
    }
    shape
}

fn shape(schema: &Value) -> Shape {
    let Value::Object(schema) = schema else { return Shape::default() };
    let description = schema.get("description").and_then(Value::as_str).map(str::to_owned);
    Shape { description, kind: kind(schema) }
}

fn kind(schema: &Map<String, Value>) -> Kind {
    if let Some(Value::String(reference)) = schema.get("$ref") {
        // A name may hold `/` and `~`, which a JSON pointer escapes; ours hold neither.
        return Kind::Named(reference.rsplit('/').next().unwrap_or(reference).to_owned());
    }
    if schema.contains_key("x-kubernetes-int-or-string") {
        return Kind::IntegerOrText;
    }
    // An optional value is `anyOf: [the value, null]`.
    for any in ["anyOf", "oneOf", "allOf"] {
        if let Some(Value::Array(branches)) = schema.get(any)
            && let Some(Value::Object(branch)) = branches.iter().find(|it| it.get("type") != Some(&"null".into()))
        {
            return kind(branch);
        }
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(some)) => some.iter().filter_map(Value::as_str).filter(|it| *it != "null").collect(),
        Some(_) | None => Vec::new(),
    };
    if types == ANY_TEXT {
        return Kind::AnyText;
    }
    let format = || schema.get("format").and_then(Value::as_str).map(str::to_owned);
    match types.first() {
        Some(&"boolean") => Kind::Boolean,
        Some(&"integer") => Kind::Integer(format()),
        Some(&"number") => Kind::Number,
        Some(&"string") => Kind::Text(format()),
        Some(&"array") => Kind::List(Box::new(schema.get("items").map(shape).unwrap_or_default())),
        Some(&"object") => object(schema),
        Some(_) | None => Kind::Any,
    }
}

fn object(schema: &Map<String, Value>) -> Kind {
    if let Some(Value::Object(properties)) = schema.get("properties") {
        return Kind::Object(properties.iter().map(|(name, it)| (name.clone(), shape(it))).collect());
    }
    match schema.get("additionalProperties") {
        Some(Value::Bool(false)) => Kind::Object(Fields::new()),
        Some(values) => Kind::Dictionary(Box::new(shape(values))),
        None => Kind::Any,
    }
}
