//! YAML as Kubernetes reads it, into JSON values. JSON is YAML here.
//!
//! The rules are those of `sigs.k8s.io/yaml` over go-yaml v2, which `kubectl` and the API server use: YAML 1.1 scalars
//! (see [`scalar`]), merge keys, keys that are not text become text. Stricter in one thing: a key that stands twice is
//! refused, as `kubectl` does by its strict validation. What the values mean is not looked at here.

mod scalar;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use serde_saphyr::granit_parser::{Event, Marker, Options, Parser, ScalarStyle, Span, StrInput, Tag};

use crate::api::manifest::scalar::Scalar;

/// How deep lists and mappings may nest. Far more than any object of Kubernetes has; composing is recursive.
const DEPTH_MAX: usize = 100;

/// How many bytes of memory one file may take, about, after aliases are replaced by what they stand for.
/// A file of a few hundred bytes can stand for terabytes; an API server takes objects of about 1.5 MiB.
const SIZE_MAX: usize = 64 << 20;

/// What a value takes beside its text, about.
const VALUE_SIZE: usize = 64;

/// One document of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The content; never null.
    pub value: Value,
    /// The line that it begins in, from 1.
    pub line: usize,
}

/// Text that is not YAML, or that we do not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct InvalidYaml {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: String,
}

/// All documents of a file. Documents without content are left out.
pub fn parse(text: &str) -> Result<Vec<Document>, InvalidYaml> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let parser = Parser::new_from_str_with_options(text, options);
    let mut composer = Composer { parser, anchors: BTreeMap::new(), size_left: SIZE_MAX };
    let mut documents = Vec::new();
    loop {
        let (event, span) = composer.next()?;
        match event {
            Event::StreamEnd => return Ok(documents),
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => composer.anchors.clear(),
            root => {
                let node = composer.node(root, span, 0)?;
                if !node.value.is_null() {
                    documents.push(Document { value: node.value, line: span.start.line() });
                }
            }
        }
    }
}

struct Composer<'input> {
    parser: Parser<'input, StrInput<'input>>,
    anchors: BTreeMap<usize, Node>,
    size_left: usize,
}

/// A value and how much memory it takes, about.
#[derive(Clone)]
struct Node {
    value: Value,
    size: usize,
}

impl<'input> Composer<'input> {
    fn next(&mut self) -> Result<(Event<'input>, Span), InvalidYaml> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(invalid(error.marker(), error.info().to_string())),
            None => Ok((Event::StreamEnd, Span::empty(Marker::new(0, 1, 0)))),
        }
    }

    fn node(&mut self, event: Event<'input>, span: Span, depth: usize) -> Result<Node, InvalidYaml> {
        if DEPTH_MAX < depth {
            return Err(invalid(&span.start, format!("nested deeper than {DEPTH_MAX}")));
        }
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = resolve(&text, style, tag.as_deref()).map_err(|problem| invalid(&span.start, problem))?;
                (anchor, Node { size: VALUE_SIZE + text.len(), value: scalar.into_value() })
            }
            Event::SequenceStart(_, anchor, _) => (anchor, self.sequence(depth)?),
            Event::MappingStart(_, anchor, _) => (anchor, self.mapping(depth)?),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node =
                    node.ok_or_else(|| invalid(&span.start, "alias of something that holds the alias".into()))?;
                self.charge(node.size, &span)?;
                return Ok(node);
            }
            other => return Err(invalid(&span.start, format!("unexpected {other:?}"))),
        };
        // What stands in a list or mapping has been charged already.
        let fresh = if node.value.is_array() || node.value.is_object() { VALUE_SIZE } else { node.size };
        self.charge(fresh, &span)?;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn sequence(&mut self, depth: usize) -> Result<Node, InvalidYaml> {
        let mut items = Vec::new();
        let mut size = VALUE_SIZE;
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Node { value: Value::Array(items), size });
            }
            let node = self.node(event, span, depth + 1)?;
            size += node.size;
            items.push(node.value);
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Node, InvalidYaml> {
        let mut entries = Map::new();
        let mut merged = Vec::new();
        let mut size = VALUE_SIZE;
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<" => None,
                Event::Scalar(text, style, anchor, tag) => {
                    let scalar = resolve(&text, style, tag.as_deref());
                    let key = scalar.and_then(Scalar::into_key).map_err(|problem| invalid(&span.start, problem))?;
                    self.charge(key.len(), &span)?;
                    size += key.len();
                    if anchor != 0 {
                        let value = Value::String(key.clone());
                        self.anchors.insert(anchor, Node { size: VALUE_SIZE + key.len(), value });
                    }
                    Some(key)
                }
                Event::Alias(_) => {
                    let node = self.node(event, span, depth + 1)?;
                    let Value::String(key) = node.value else {
                        return Err(invalid(&span.start, "a key that is not a scalar".into()));
                    };
                    Some(key)
                }
                _ => return Err(invalid(&span.start, "a key that is not a scalar".into())),
            };
            let (event, value_span) = self.next()?;
            let node = self.node(event, value_span, depth + 1)?;
            size += node.size;
            match key {
                None => merged.extend(mappings(node.value).map_err(|problem| invalid(&value_span.start, problem))?),
                Some(key) => {
                    if entries.contains_key(&key) {
                        return Err(invalid(&span.start, format!("key {key:?} stands twice in this mapping")));
                    }
                    entries.insert(key, node.value);
                }
            }
        }
        // The mapping's own keys win, then the mapping that is named first.
        for (key, value) in merged.into_iter().flatten() {
            entries.entry(key).or_insert(value);
        }
        Ok(Node { value: Value::Object(entries), size })
    }

    fn charge(&mut self, size: usize, span: &Span) -> Result<(), InvalidYaml> {
        match self.size_left.checked_sub(size) {
            Some(left) => self.size_left = left,
            None => return Err(invalid(&span.start, "too large once its aliases are replaced".into())),
        }
        Ok(())
    }
}

/// What `<<` may stand before: a mapping or a list of them.
fn mappings(value: Value) -> Result<Vec<Map<String, Value>>, String> {
    let items = match value {
        Value::Array(items) => items,
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![value],
    };
    let mut mappings = Vec::new();
    for item in items {
        match item {
            Value::Object(mapping) => mappings.push(mapping),
            Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err("\"<<\" takes a mapping or a list of mappings".into());
            }
        }
    }
    Ok(mappings)
}

fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Scalar, String> {
    let Some(tag) = tag else {
        return Ok(match style {
            ScalarStyle::Plain => scalar::plain(text),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted | ScalarStyle::Literal | ScalarStyle::Folded => {
                Scalar::Text(text.to_owned())
            }
        });
    };
    // A tag that is not YAML's own says nothing to Kubernetes: the scalar stays text.
    match tag.core_suffix() {
        Some(kind) => scalar::tagged(text, kind),
        None => Ok(Scalar::Text(text.to_owned())),
    }
}

fn invalid(marker: &Marker, problem: String) -> InvalidYaml {
    InvalidYaml { line: marker.line(), column: marker.col() + 1, problem }
}
