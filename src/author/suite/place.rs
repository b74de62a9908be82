//! Where in a suite the settings of a question stand, and the characters that a mistake is about.

use std::ops::Range;

use crate::{
    author::removal::{Path, Step},
    policy::yaml::{self, Key, Node, Value},
};

/// What holds questions, each with settings of its own if it has any.
const HOLDERS: &[&str] = &["cases", "matrices"];

/// The settings of the question at `line` as they stand in `text`, a suite that was read. Nothing where they are made from
/// `namespaceRoles`, or where there are none.
pub fn settings_of(text: &str, line: u64) -> Option<Node> {
    let root = yaml::parse(text).ok()?;
    let lists = HOLDERS.iter().filter_map(|name| match &field(&root, name)?.value {
        Value::List(items) => Some(items),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => None,
    });
    // A question of a matrix may stand at a line within it.
    let holder = lists.flatten().filter(|item| item.line <= line).max_by_key(|item| item.line)?;
    if field(holder, "namespaceRoles").is_some() {
        return None;
    }
    field(holder, "settings").or_else(|| field(&root, "settings")).cloned()
}

/// The bytes of `text`, which is YAML, that lie at `path`, such as `cases[0].expect`: a key with its value if that is one
/// word, the key alone if more is in it, or an item. Nothing where the text has no such place in that line.
pub fn span(text: &str, path: &str, line: u64) -> Option<Range<usize>> {
    let root = yaml::parse(text).ok()?;
    let (mut node, mut found) = (&root, None);
    for step in Path::of_message(path).0 {
        let (key, inner) = match (&step, &node.value) {
            (Step::Item(index), Value::List(items)) => (None, items.get(*index)?),
            (Step::Entry(name), Value::Map(fields)) => {
                let (key, inner) = fields.iter().find(|(key, _)| key.name == *name)?;
                (Some(key), inner)
            }
            (
                Step::Item(_) | Step::Entry(_),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_),
            ) => return None,
        };
        (node, found) = (inner, Some((key, inner)));
    }
    let (key, node) = found?;
    if key.map_or(node.line, |key| key.line) != line {
        return None;
    }
    let start = byte_of(text, key.map_or(node.offset, |key| key.offset));
    let end = end_of(text, start, key, node);
    (start < end).then_some(start..end)
}

/// Where what begins at `start` ends: in the same line at the latest.
fn end_of(text: &str, start: usize, key: Option<&Key>, node: &Node) -> usize {
    let rest = text[start..].lines().next().unwrap_or_default();
    let is_flow = matches!(node.value, Value::List(_) | Value::Map(_));
    let length = match key {
        // What is in it has places of its own.
        Some(key) if is_flow || key.line != node.line => rest.find(':').unwrap_or(rest.len()),
        Some(key) => {
            let value = byte_of(text, node.offset).saturating_sub(start);
            let is_behind = rest.get(..value).is_some_and(|before| before.contains(':'));
            if is_behind { value + scalar(&rest[value..]) } else { key.name.len() }
        }
        None if is_flow => rest.trim_end().len(),
        None => scalar(rest),
    };
    start + rest.get(..length).unwrap_or(rest).trim_end().len()
}

/// The length of the one value that the text begins with.
fn scalar(text: &str) -> usize {
    let quote = text.chars().next().filter(|c| ['"', '\''].contains(c));
    match quote {
        Some(quote) => text.get(1..).and_then(|inner| inner.find(quote)).map_or(text.len(), |end| end + 2),
        None => [",", "]", "}", " #"].iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len()),
    }
}

fn byte_of(text: &str, characters: u64) -> usize {
    let place = usize::try_from(characters).unwrap_or(usize::MAX);
    text.char_indices().nth(place).map_or(text.len(), |(byte, _)| byte)
}

fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    match &node.value {
        Value::Map(fields) => fields.iter().find(|(key, _)| key.name == name).map(|(_, node)| node),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{settings_of, span};

    #[test]
    fn a_mistake_is_about_some_characters() {
        let text = "# é\ncases:\n  - {name: é, request: {target: home, podd: {a: 1}}, expect: deni} # no\n  - name: \"a b\"\n    \
                    expect:\n      deny: [x, 'y z']\n  - 7\nlaws: {a: yes}\n";
        let check = |path: &str, line: u64, expected: Option<&str>| {
            assert_eq!(span(text, path, line).map(|span| &text[span]), expected, "{path}");
        };
        check("cases[0].expect", 3, Some("expect: deni"));
        check("cases[0].request.target", 3, Some("target: home"));
        check("cases[0].request.podd", 3, Some("podd"));
        check("cases[1].name", 4, Some("name: \"a b\""));
        check("cases[1].expect", 5, Some("expect"));
        check("cases[1].expect.deny[1]", 6, Some("'y z'"));
        check("cases[2]", 7, Some("7"));
        check("laws.a", 8, Some("a: yes"));
        check("cases[0].expect", 4, None);
        check("cases[0].nothing", 3, None);
        check("cases[9]", 3, None);
    }

    #[test]
    fn settings_are_those_of_the_case_or_else_of_all() {
        let text = "settings:\n  a: 1\ncases:\n  - name: x\n  - name: y\n    settings:\n      b: 2\n  - name: z\n    namespaceRoles: ''\n\
                    matrices:\n  - name: m\n    settings: {c: 3}\n    allow: []\n";
        let check = |line: u64, expected: Option<(u64, &str)>| {
            let found = settings_of(text, line).map(|node| (node.line, node.to_json().to_string()));
            assert_eq!(found, expected.map(|(line, json)| (line, json.to_owned())), "{line}");
        };
        check(4, Some((2, r#"{"a":1}"#)));
        check(5, Some((7, r#"{"b":2}"#)));
        check(8, None);
        check(13, Some((12, r#"{"c":3}"#)));
    }
}
