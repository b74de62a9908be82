//! YAML as a tree in which every value knows its line, so that a mistake in the configuration can be pointed at.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

/// A value and the line that it begins in, from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The line.
    pub line: u64,
    /// What stands there.
    pub value: Value,
}

/// What stands in one place.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Any number.
    Number(serde_json::Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys with values, in the order of the text. Keys are unique.
    Map(Vec<(Key, Node)>),
}

/// A key and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The line.
    pub line: u64,
    /// The key.
    pub name: String,
}

/// The YAML itself is malformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The line, where one is known.
    pub line: Option<u64>,
    /// What is wrong.
    pub message: String,
}

/// Reads one YAML document. An empty one is [`Value::Null`].
pub fn parse(text: &str) -> Result<Node, Malformed> {
    match serde_saphyr::from_str::<Option<Node>>(text) {
        Ok(Some(node)) => Ok(node),
        Ok(None) => Ok(Node { line: 1, value: Value::Null }),
        Err(error) => {
            let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
            let message = error.without_snippet().to_string();
            let message = message.lines().next().unwrap_or_default().to_owned();
            Err(Malformed { line, message })
        }
    }
}

impl Node {
    /// The kind of value, as a message names it.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The same value as JSON, without lines.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => serde_json::Value::Bool(*value),
            Value::Number(value) => serde_json::Value::Number(value.clone()),
            Value::Text(value) => serde_json::Value::String(value.clone()),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(items) => {
                serde_json::Value::Object(items.iter().map(|(key, node)| (key.name.clone(), node.to_json())).collect())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Node { line: spanned.referenced.line(), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // JSON has no infinity and no NaN: these stay the text that they were.
        Ok(serde_json::Number::from_f64(value).map_or_else(|| Value::Text(value.to_string()), Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = items.next_element::<Node>()? {
            list.push(node);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = items.next_key::<Spanned<String>>()? {
            let key = Key { line: key.referenced.line(), name: key.value };
            map.push((key, items.next_value::<Node>()?));
        }
        Ok(Value::Map(map))
    }
}
