//! Where in a suite the settings of a question stand.

use crate::policy::yaml::{self, Node, Value};

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

fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    match &node.value {
        Value::Map(fields) => fields.iter().find(|(key, _)| key.name == name).map(|(_, node)| node),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::settings_of;

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
