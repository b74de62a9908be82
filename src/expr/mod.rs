//! Text with `{{…}}` and variables in, text out. Expressions, `{{=…}}`, are recognised but not evaluated here.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

/// Variables by their full dotted names, such as `inputs.parameters.message`.
pub type Variables = BTreeMap<String, String>;

/// What stands between `{{` and `}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag<'a> {
    /// `{{name}}`: the name, without the blanks around it.
    Variable(&'a str),
    /// `{{=text}}`: the text of an expression.
    Expression(&'a str),
}

/// The tags of a text, in order. A `{{` that is never closed is ordinary text.
pub fn tags(text: &str) -> Vec<Tag<'_>> {
    pieces(text).filter_map(|piece| piece.tag).collect()
}

/// The tags of a text as they were written, braces and blanks included, in order.
pub fn sources(text: &str) -> Vec<&str> {
    pieces(text).filter(|piece| piece.tag.is_some()).map(|piece| piece.source).collect()
}

/// The text with each `{{name}}` that `lookup` knows replaced. What it doesn't know stays as it is, for a later stage
/// that knows more; replaced text is not read again.
pub fn substitute<'v>(text: &str, lookup: &impl Fn(&str) -> Option<&'v str>) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text) {
        out.push_str(piece.before);
        match piece.tag {
            Some(Tag::Variable(name)) => out.push_str(lookup(name).unwrap_or(piece.source)),
            Some(Tag::Expression(_)) | None => out.push_str(piece.source),
        }
    }
    out
}

/// [`substitute`] in every string of a JSON value, keys included.
pub fn substitute_value<'v>(value: &mut Value, lookup: &impl Fn(&str) -> Option<&'v str>) {
    match value {
        Value::String(text) => {
            if text.contains(OPEN) {
                *text = substitute(text, lookup);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| substitute_value(item, lookup)),
        Value::Object(fields) => {
            if fields.keys().any(|key| key.contains(OPEN)) {
                let old = std::mem::take(fields);
                fields.extend(old.into_iter().map(|(key, item)| (substitute(&key, lookup), item)));
            }
            fields.values_mut().for_each(|item| substitute_value(item, lookup));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => (),
    }
}

/// Every string of a JSON value that holds a tag, keys included, each with the path to it.
pub fn tagged_strings(value: &Value) -> Vec<(String, Cow<'_, str>)> {
    let mut found = Vec::new();
    collect(value, &mut String::new(), &mut found);
    found
}

fn collect<'a>(value: &'a Value, path: &mut String, found: &mut Vec<(String, Cow<'a, str>)>) {
    let length = path.len();
    match value {
        Value::String(text) if text.contains(OPEN) => found.push((path.clone(), Cow::Borrowed(text))),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                collect(item, path, found);
                path.truncate(length);
            }
        }
        Value::Object(fields) => {
            for (key, item) in fields {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
                if key.contains(OPEN) {
                    found.push((path.clone(), Cow::Borrowed(key)));
                }
                collect(item, path, found);
                path.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

/// A stretch of plain text and the tag that ends it, if one does.
struct Piece<'a> {
    before: &'a str,
    /// The tag with its braces; for the last piece the empty text.
    source: &'a str,
    tag: Option<Tag<'a>>,
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest.take()?;
        let Some((before, inside, after)) = split(current) else {
            return Some(Piece { before: current, source: "", tag: None });
        };
        rest = Some(after);
        let source = &current[before.len()..current.len() - after.len()];
        let tag = match inside.trim().strip_prefix('=') {
            Some(expression) => Tag::Expression(expression.trim()),
            None => Tag::Variable(inside.trim()),
        };
        Some(Piece { before, source, tag: Some(tag) })
    })
}

/// Text before the first tag, inside it, and after it.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(OPEN)?;
    let (inside, after) = rest.split_once(CLOSE)?;
    Some((before, inside, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let lookup = |name: &str| match name {
            "a" => Some("1"),
            "b.c" => Some("{{a}}"),
            _ => None,
        };
        assert_eq!(substitute(text, &lookup), expected, "of {text:?}");
    }

    #[test]
    fn known_names_are_replaced_and_nothing_else() {
        check("", "");
        check("{{a}}", "1");
        check("x{{ a }}y{{a}}", "x1y1");
        check("{{b.c}}", "{{a}}");
        check("{{unknown}} {{a}}", "{{unknown}} 1");
        check("{{=a + 1}}", "{{=a + 1}}");
        check("{{a", "{{a");
        check("}}{{a}}", "}}1");
        check("{{ä}}{{a}}", "{{ä}}1");
    }

    #[test]
    fn values_are_replaced_at_every_depth() {
        let mut value = serde_json::json!({"x": ["{{a}}", 1, {"{{a}}": "{{a}}"}]});
        substitute_value(&mut value, &|name| (name == "a").then_some("v"));
        assert_eq!(value, serde_json::json!({"x": ["v", 1, {"v": "v"}]}));
    }

    #[test]
    fn tags_are_found_with_their_paths() {
        let value = serde_json::json!({"args": ["{{ a }}", "{{=b}}"]});
        let found = tagged_strings(&value);
        assert_eq!(found[0], ("args[0]".to_owned(), Cow::Borrowed("{{ a }}")));
        assert_eq!(tags("{{ a }}{{=b}}"), [Tag::Variable("a"), Tag::Expression("b")]);
    }
}
