//! The text of a suite, read into questions. Everything that is wrong with it is named at once.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    author::{
        laws::Law,
        question::{Draft, Question, read_expected},
        suite::{Refusal, matrix},
    },
    policy::{
        config::{
            Mistake,
            reader::{Reader, find, join},
        },
        decision::MODULE_BUILTIN,
        yaml::{Key, Node, Value},
    },
};

/// What stands in a suite.
pub struct Read {
    /// The module's file or folder, or `builtin`; without one it is the folder's component.
    pub module: Option<PathBuf>,
    /// All questions, in the order of the text.
    pub questions: Vec<Question>,
    /// What must be refused.
    pub refusals: Vec<Refusal>,
    /// The laws that are not meant to hold.
    pub laws_off: Vec<Law>,
}

/// What holds for everything in a suite that doesn't say otherwise.
pub struct Defaults<'a> {
    /// What the module is configured with.
    pub settings: Arc<serde_json::Value>,
    /// What is asked.
    pub request: Draft,
    /// What files are relative to.
    pub folder: &'a Path,
}

/// Reads `text`. Files that it names are relative to `folder`.
///
/// # Errors
///
/// All mistakes.
pub fn read(text: &str, folder: &Path) -> Result<Read, Vec<Mistake>> {
    let mut reader = Reader { key: "suite", mistakes: Vec::new(), warnings: Vec::new() };
    let read = reader.document(text).map(|root| reader.suite(&root, folder));
    match read {
        Some(read) if reader.mistakes.is_empty() => Ok(read),
        Some(_) | None => {
            reader.mistakes.sort_by_key(|mistake| mistake.line);
            Err(reader.mistakes)
        }
    }
}

impl Reader {
    fn suite(&mut self, root: &Node, folder: &Path) -> Read {
        let known = ["module", "settings", "namespaceRoles", "request", "cases", "refused", "matrices", "laws"];
        let fields = self.map("", root, &known);
        let module = find(fields, "module").map(|node| match self.text("module", node) {
            name if name == MODULE_BUILTIN => PathBuf::from(name),
            name => folder.join(name),
        });
        let nothing = || Arc::new(serde_json::json!({}));
        let settings = self.settings("", fields).unwrap_or_else(nothing);
        let request =
            find(fields, "request").map(|node| Draft::read(self, "request", node, folder)).unwrap_or_default();
        let defaults = Defaults { settings, request, folder };
        let mut names = HashMap::new();
        let mut questions = Vec::new();
        let items: Vec<_> = self.list("cases", find(fields, "cases")).collect();
        for (path, node) in items {
            questions.extend(self.case(&path, node, &defaults, &mut names));
        }
        let items: Vec<_> = self.list("matrices", find(fields, "matrices")).collect();
        for (path, node) in items {
            matrix::read(self, &path, node, &defaults, &mut names, &mut questions);
        }
        let items: Vec<_> = self.list("refused", find(fields, "refused")).collect();
        let refusals: Vec<_> =
            items.into_iter().filter_map(|(path, node)| self.refusal(&path, node, &mut names)).collect();
        if questions.is_empty() && refusals.is_empty() && self.mistakes.is_empty() {
            self.mistake(root.line, "", "nothing is asked: there are no cases, no matrices and no refused".to_owned());
        }
        let laws_off = self.laws_off(fields);
        Read { module, questions, refusals, laws_off }
    }

    /// `laws: {monotone: false}`: what `landfall policy fuzz` is not to try.
    fn laws_off(&mut self, fields: &[(Key, Node)]) -> Vec<Law> {
        let Some(laws) = find(fields, "laws") else { return Vec::new() };
        let mut off = Vec::new();
        for (key, node) in self.map("laws", laws, &Law::ALL.map(Law::name)) {
            if let Some(law) = Law::of_name(&key.name)
                && !self.boolean(&join("laws", &key.name), node)
            {
                off.push(law);
            }
        }
        off
    }

    fn case(
        &mut self,
        path: &str,
        node: &Node,
        defaults: &Defaults,
        names: &mut HashMap<String, u64>,
    ) -> Option<Question> {
        let fields = self.map(path, node, &["name", "settings", "namespaceRoles", "request", "expect"]);
        let name = self.case_name(path, node, fields, names)?;
        let settings = self.settings(path, fields).unwrap_or_else(|| Arc::clone(&defaults.settings));
        let at = join(path, "request");
        let draft = find(fields, "request").map(|node| Draft::read(self, &at, node, defaults.folder));
        let expected = match find(fields, "expect") {
            Some(node) => read_expected(self, &join(path, "expect"), node),
            None => {
                self.mistake(node.line, path, "missing field \"expect\": allow, or {deny: CODE}".to_owned());
                return None;
            }
        };
        let mistakes = self.mistakes.len();
        match draft.unwrap_or_default().over(&defaults.request).finish() {
            Ok(request) => Some(Question { name, line: node.line, settings, request, expected }),
            // Where something was there and wrong, that has been said.
            Err(_) if mistakes > 0 => None,
            Err(message) => {
                let line = find(fields, "request").map_or(node.line, |node| node.line);
                self.mistake(line, &at, message);
                None
            }
        }
    }

    fn refusal(&mut self, path: &str, node: &Node, names: &mut HashMap<String, u64>) -> Option<Refusal> {
        let fields = self.map(path, node, &["name", "settings", "message"]);
        let name = self.case_name(path, node, fields, names)?;
        let Some(settings) = find(fields, "settings") else {
            self.mistake(node.line, path, "missing field \"settings\"".to_owned());
            return None;
        };
        let message = find(fields, "message").map(|node| self.text(&join(path, "message"), node));
        Some(Refusal { name, line: node.line, settings: Arc::new(settings.to_json()), message })
    }

    /// The name of a case, which no other has.
    pub fn case_name(
        &mut self,
        path: &str,
        node: &Node,
        fields: &[(Key, Node)],
        names: &mut HashMap<String, u64>,
    ) -> Option<String> {
        let Some(found) = find(fields, "name") else {
            if matches!(node.value, Value::Map(_)) {
                self.mistake(node.line, path, "missing field \"name\"".to_owned());
            }
            return None;
        };
        let at = join(path, "name");
        let name = self.text(&at, found);
        if matches!(found.value, Value::Text(_)) && (name.is_empty() || name.contains(char::is_control)) {
            self.mistake(found.line, &at, "a name is one line of text".to_owned());
        }
        if let Some(line) = names.insert(name.clone(), found.line) {
            self.mistake(found.line, &at, format!("{name:?} is there twice, first in line {line}"));
        }
        Some(name)
    }

    /// The settings that stand among these fields, if any do.
    pub fn settings(&mut self, path: &str, fields: &[(Key, Node)]) -> Option<Arc<serde_json::Value>> {
        let roles = find(fields, "namespaceRoles");
        let settings = find(fields, "settings");
        match (settings, roles) {
            (Some(_), Some(roles)) => {
                let message = "there are settings already, and these are made from namespaceRoles".to_owned();
                self.mistake(roles.line, &join(path, "namespaceRoles"), message);
                None
            }
            (Some(settings), None) => Some(Arc::new(settings.to_json())),
            (None, Some(roles)) => Some(Arc::new(self.role_settings(&join(path, "namespaceRoles"), roles))),
            (None, None) => None,
        }
    }

    /// The settings of the built-in module, from `namespaceRoles` as it stands in the ConfigMap: a text, or what would
    /// be in the text.
    fn role_settings(&mut self, path: &str, node: &Node) -> serde_json::Value {
        let mut inner = Reader { key: self.key, mistakes: Vec::new(), warnings: Vec::new() };
        // The line of a text is the one that its first line stands in.
        let (roles, offset) = match &node.value {
            Value::Text(text) => (inner.roles(text), node.line.saturating_sub(1)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                (inner.roles_of(node), 0)
            }
        };
        for Mistake { key, line, path: place, message } in inner.mistakes {
            let line = line.map(|line| line + offset);
            let path = if place.starts_with('[') { format!("{path}{place}") } else { join(path, &place) };
            self.mistakes.push(Mistake { key, line, path, message });
        }
        roles.to_settings()
    }
}
