//! Where the settings of a module stand, and which line of them a message of the module is about.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    author::removal::{self, Step},
    policy::{
        module::LoadError,
        yaml::{self, Node, Value},
    },
};

/// Where the settings of a module stand.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Nowhere: there are none.
    None,
    /// In a file: one of their own, or a suite.
    File {
        /// As it was named.
        file: PathBuf,
        /// What stands in it.
        root: Node,
    },
    /// In a case of a suite, whose line this is.
    Case {
        /// The suite.
        file: PathBuf,
        /// The line.
        line: u64,
    },
    /// In the text of `namespaceRoles`.
    Roles(Node),
    /// In the text of `policies`: the settings of one module.
    Policies(Node),
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Their file can't be read.
    #[error("{}: {error}", .file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is neither YAML nor JSON.
    #[error("{}{}: {message}", .file.display(), .line.map(|line| format!(":{line}")).unwrap_or_default())]
    Malformed {
        /// Which.
        file: PathBuf,
        /// The line, where it is known.
        line: Option<u64>,
        /// What is wrong.
        message: String,
    },
}

/// The settings in a file of YAML or JSON, and where they stand.
///
/// # Errors
///
/// It can't be read, or is neither.
pub fn read_settings(file: &Path) -> Result<(serde_json::Value, Origin), SettingsError> {
    let text = fs::read_to_string(file).map_err(|error| SettingsError::Unreadable { file: file.to_owned(), error })?;
    match yaml::parse(&text) {
        Ok(root) => Ok((root.to_json(), Origin::File { file: file.to_owned(), root })),
        Err(yaml::Malformed { line, message }) => {
            Err(SettingsError::Malformed { file: file.to_owned(), line, message })
        }
    }
}

impl Origin {
    /// Where an element of the settings stands, as it is shown; nothing where that isn't known.
    pub fn place(&self, path: &removal::Path) -> Option<String> {
        let line = match self {
            Origin::None => return None,
            Origin::Case { line, .. } => *line,
            Origin::File { root, .. } | Origin::Policies(root) => removal::line(root, path)?,
            Origin::Roles(root) => removal::line(root, &in_roles(path))?,
        };
        self.shown(line)
    }

    /// Why a module does not take these settings: with the file and the line that it complains of, where that is known.
    pub fn refusal(&self, module: &str, error: &LoadError) -> String {
        match error {
            LoadError::Settings(message) => match self.place_of(message) {
                Some(place) => format!("{place}: {module} {error}"),
                None => format!("{module}: {error}"),
            },
            LoadError::TooLarge { .. }
            | LoadError::Unfit(_)
            | LoadError::Invalid(_)
            | LoadError::WrongWorld(_)
            | LoadError::Configure(_)
            | LoadError::Trial(_) => format!("{module}: {error}"),
        }
    }

    /// Where that stands which a module's message is about: messages begin with the way to it, as in `rules[0].images:`.
    /// Where they don't, it is where the settings begin.
    pub fn place_of(&self, message: &str) -> Option<String> {
        let path = removal::Path::of_message(message);
        let line = match self {
            Origin::None => return None,
            Origin::Case { line, .. } => *line,
            Origin::File { root, .. } | Origin::Policies(root) => nearest_line(root, &path, message),
            Origin::Roles(root) => nearest_line(root, &in_roles(&path), message),
        };
        self.shown(line)
    }

    fn shown(&self, line: u64) -> Option<String> {
        match self {
            Origin::None => None,
            Origin::File { file, .. } | Origin::Case { file, .. } => Some(format!("{}:{line}", file.display())),
            Origin::Roles(_) => Some(format!("namespaceRoles line {line}")),
            Origin::Policies(_) => Some(format!("policies line {line}")),
        }
    }
}

/// The list stands in the settings under a name of its own.
fn in_roles(path: &removal::Path) -> removal::Path {
    removal::Path(path.0.iter().skip(1).cloned().collect())
}

/// The line of what lies on the way as far as there is something; of an unknown field that the message names, that field's.
fn nearest_line(root: &Node, path: &removal::Path, message: &str) -> u64 {
    let (mut node, mut line) = (root, root.line);
    for step in &path.0 {
        let next = match (step, &node.value) {
            (Step::Item(index), Value::List(items)) => items.get(*index).map(|item| (item, item.line)),
            (Step::Entry(name), Value::Map(entries)) => {
                entries.iter().find(|(key, _)| key.name == *name).map(|(key, value)| (value, key.line))
            }
            (
                Step::Item(_) | Step::Entry(_),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_),
            ) => None,
        };
        let Some(found) = next else { break };
        (node, line) = found;
    }
    if let Value::Map(entries) = &node.value {
        let quoted = message.split(['"', '`', '\'']).skip(1).step_by(2);
        let named = quoted.into_iter().find_map(|word| entries.iter().find(|(key, _)| key.name == word));
        line = named.map_or(line, |(key, _)| key.line);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::Origin;
    use crate::policy::yaml;

    #[test]
    fn a_message_is_about_a_line() {
        let text = "# first\nrules:\n  - targets: [a]\n    images: [b]\n  - targets: [c]\n    \"a b\":\n      c: 1\nother: 1\n";
        let origin = Origin::File { file: "a.yaml".into(), root: yaml::parse(text).unwrap() };
        let check = |message: &str, line: u64| {
            assert_eq!(origin.place_of(message), Some(format!("a.yaml:{line}")), "{message}");
        };
        check("rules[0].images[0]: is no pattern", 4);
        check("rules[1]: missing field `images`", 5);
        check("rules[1].images: missing", 5);
        check(r#"rules[1]["a b"].c: is no text"#, 7);
        check("other: unknown field `other`, expected `rules`", 8);
        check(r#"settings: unknown setting "other"; there are: rules"#, 8);
        check("that is nothing", 2);
        check("", 2);
    }
}
