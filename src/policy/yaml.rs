//! YAML as a tree in which every value knows its line, so that a mistake in the configuration can be pointed at.
//!
//! A number that would not be what stands there is a mistake too: one of more than 64 bits, which would lose digits, one
//! that begins with a zero, which is octal to some and decimal to others, and those that JSON doesn't have.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Error, Spanned};

/// A value and the line that it begins in, from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The line.
    pub line: u64,
    /// Where in the text it begins, in characters from 0.
    pub offset: u64,
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
    /// Where in the text it begins, in characters from 0.
    pub offset: u64,
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
        Ok(Some(node)) => misread(&node, text).map_or(Ok(node), Err),
        Ok(None) => Ok(Node { line: 1, offset: 0, value: Value::Null }),
        Err(error) => {
            let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
            let message = match error.without_snippet() {
                Error::NonFiniteFloat { value, .. } => {
                    format!("{value} is no number that JSON has: write it in quotes if it is text")
                }
                error => error.to_string().lines().next().unwrap_or_default().to_owned(),
            };
            Err(Malformed { line, message })
        }
    }
}

/// The first whole number that was read as a fraction, because no whole number of 64 bits is written so.
fn misread(node: &Node, text: &str) -> Option<Malformed> {
    match &node.value {
        Value::Number(number) if number.is_f64() => {
            let start = usize::try_from(node.offset).unwrap_or(usize::MAX);
            let sign_or_digit = |c: &char| c.is_ascii_digit() || ['+', '-', '_'].contains(c);
            let is_part = |c: &char| sign_or_digit(c) || c.is_ascii_alphabetic() || *c == '.';
            let written: String = text.chars().skip(start).take_while(is_part).collect();
            // With a point or an exponent a fraction is meant.
            if written.is_empty() || !written.chars().all(|c| sign_or_digit(&c)) {
                return None;
            }
            let message = if written.trim_start_matches(['+', '-']).starts_with('0') {
                format!("{written} begins with a zero: write the number without, or in quotes if it is text")
            } else {
                format!("{written} has more than 64 bits, and would lose digits: write it in quotes")
            };
            Some(Malformed { line: Some(node.line), message })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => None,
        Value::List(items) => items.iter().find_map(|node| misread(node, text)),
        Value::Map(items) => items.iter().find_map(|(_, node)| misread(node, text)),
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
        // Of an alias, the number stands where its anchor is.
        Ok(Node { line: spanned.referenced.line(), offset: spanned.defined.span().offset(), value: spanned.value })
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
        // The parser refuses infinities and NaN before it comes to this.
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
            let key = Key { line: key.referenced.line(), offset: key.defined.span().offset(), name: key.value };
            map.push((key, items.next_value::<Node>()?));
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::{Malformed, parse};

    #[test]
    fn numbers_are_read_as_they_are_written_or_not_at_all() {
        let read = |text: &str| match parse(&format!("# ä\n- é\n- a: {text}\n")) {
            Ok(node) => node.to_json()[1]["a"].to_string(),
            Err(Malformed { line, message }) => format!("line {}: {message}", line.unwrap_or_default()),
        };
        let check = |text: &str, expected: &str| assert_eq!(read(text), expected, "{text}");
        for same in ["0", "7", "-7", "18446744073709551615", "-9223372036854775808", "1.5", "-0.25"] {
            check(same, same);
        }
        check("10.0", "10.0");
        check("1e300", "1e+300");
        check("0.5", "0.5");
        check("0x1f", "31");
        check("'010'", "\"010\"");
        check("2001-01-01", "\"2001-01-01\"");
        check("10.0.0.1", "\"10.0.0.1\"");
        let zero = |text: &str| {
            format!("line 3: {text} begins with a zero: write the number without, or in quotes if it is text")
        };
        for text in ["010", "-010", "+007", "08"] {
            check(text, &zero(text));
        }
        let large =
            |text: &str| format!("line 3: {text} has more than 64 bits, and would lose digits: write it in quotes");
        for text in ["18446744073709551616", "-9223372036854775809", "340282366920938463463374607431768211456"] {
            check(text, &large(text));
        }
        let none = |text: &str| format!("line 3: {text} is no number that JSON has: write it in quotes if it is text");
        for text in [".nan", ".inf", "-.Inf", "1e999"] {
            check(text, &none(text));
        }
    }

    #[test]
    fn an_alias_is_the_number_of_its_anchor() {
        let refused = parse("a: &x 010\nb: *x\n").unwrap_err();
        assert!(refused.message.starts_with("010 begins with a zero"), "{refused:?}");
        assert_eq!(
            parse("a: &x 1.5\nb: [*x, 'ä 010']\n").unwrap().to_json().to_string(),
            r#"{"a":1.5,"b":[1.5,"ä 010"]}"#
        );
    }
}
