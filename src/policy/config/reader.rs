//! The texts of the configuration, read piece by piece. Where a piece is not what belongs there, that is noted with its
//! line and place, and reading goes on.

use crate::policy::{
    config::{Mistake, Warning},
    yaml::{self, Node, Value},
};

/// How alike two names are from which on the one is offered for the other; 1 is equal.
const LIKENESS_MIN: f64 = 0.75;

/// Reads the text of one key after the other and collects what is wrong. Where something is, it goes on with a default,
/// so that the rest is looked at as well.
pub struct Reader {
    /// The key whose text is read.
    pub key: &'static str,
    /// What is wrong so far.
    pub mistakes: Vec<Mistake>,
    /// What is probably not meant.
    pub warnings: Vec<Warning>,
}

impl Reader {
    /// The text as a tree.
    pub fn document(&mut self, text: &str) -> Option<Node> {
        match yaml::parse(text) {
            Ok(node) => Some(node),
            Err(yaml::Malformed { line, message }) => {
                self.mistakes.push(Mistake { key: self.key, line, path: String::new(), message });
                None
            }
        }
    }

    /// The fields of a map, none of which may be unknown.
    pub fn map<'n>(&mut self, path: &str, node: &'n Node, known: &[&str]) -> &'n [(yaml::Key, Node)] {
        let Value::Map(fields) = &node.value else {
            self.mistake(node.line, path, format!("expected a map with {}, found {}", list_of(known), node.kind()));
            return &[];
        };
        for (key, _) in fields {
            if known.contains(&key.name.as_str()) {
                continue;
            }
            let hint = match nearest(&key.name, known) {
                Some(name) => format!("did you mean {name:?}?"),
                None => format!("known here: {}", list_of(known)),
            };
            self.mistake(key.line, &join(path, &key.name), format!("unknown field, {hint}"));
        }
        fields
    }

    /// The items of a list with their paths; nothing where the list is absent or null.
    pub fn list<'n>(
        &mut self,
        path: &str,
        node: Option<&'n Node>,
    ) -> impl Iterator<Item = (String, &'n Node)> + use<'n> {
        let items: &[Node] = match node {
            None => &[],
            Some(node) => match &node.value {
                Value::Null => &[],
                Value::List(items) => items,
                Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => {
                    self.mistake(node.line, path, format!("expected a list, found {}", node.kind()));
                    &[]
                }
            },
        };
        let path = path.to_owned();
        items.iter().enumerate().map(move |(place, node)| (format!("{path}[{place}]"), node))
    }

    /// Text.
    pub fn text(&mut self, path: &str, node: &Node) -> String {
        if let Value::Text(text) = &node.value {
            return text.clone();
        }
        self.mistake(node.line, path, format!("expected text, found {}", node.kind()));
        String::new()
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, path: &str, node: &Node) -> bool {
        if let Value::Bool(value) = node.value {
            return value;
        }
        self.mistake(node.line, path, format!("expected true or false, found {}", node.kind()));
        true
    }

    /// Notes what is wrong in a place.
    pub fn mistake(&mut self, line: u64, path: &str, message: String) {
        let mistake = self.at(line, path, message);
        self.mistakes.push(mistake);
    }

    /// What is wrong in a place.
    pub fn at(&self, line: u64, path: &str, message: String) -> Mistake {
        Mistake { key: self.key, line: Some(line), path: path.to_owned(), message }
    }
}

/// The field of that name.
pub fn find<'n>(fields: &'n [(yaml::Key, Node)], name: &str) -> Option<&'n Node> {
    fields.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
}

/// The path of a field.
pub fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

/// The known name that is most like this one, if one is.
pub fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let likeness = |other: &str| strsim::jaro_winkler(&name.to_lowercase(), &other.to_lowercase());
    let best = known.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(best) >= LIKENESS_MIN).then_some(*best)
}

/// The names, as a message lists them.
pub fn list_of(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(" and ")
}
