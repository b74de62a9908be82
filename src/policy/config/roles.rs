//! The text of `namespaceRoles`: who may go where.

use crate::policy::{
    config::{
        Warning,
        reader::{Reader, find, join},
    },
    roles::{Entry, Roles, Rule},
    yaml::{Node, Value},
};

impl Reader {
    /// The text of `namespaceRoles`.
    pub fn roles(&mut self, text: &str) -> Roles {
        match self.document(text) {
            Some(root) => self.roles_of(&root),
            None => Roles::Absent,
        }
    }

    /// What stands in that text.
    pub fn roles_of(&mut self, root: &Node) -> Roles {
        let entries = match &root.value {
            Value::Null => return Roles::Entries(Vec::new()),
            Value::Map(_) => {
                // The later spelling: a map with the one key `namespaces`, and `name` in place of `namespace`.
                let fields = self.map("", root, &["namespaces"]);
                self.list("namespaces", find(fields, "namespaces"))
                    .map(|(path, node)| (path, node, "name"))
                    .collect::<Vec<_>>()
            }
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                self.list("", Some(root)).map(|(path, node)| (path, node, "namespace")).collect()
            }
        };
        Roles::Entries(entries.into_iter().map(|(path, node, naming)| self.entry(&path, node, naming)).collect())
    }

    fn entry(&mut self, path: &str, node: &Node, naming: &str) -> Entry {
        let fields = self.map(path, node, &[naming, "rules"]);
        let namespace = match find(fields, naming) {
            // Absent must not read as "", which is every namespace.
            None => {
                if matches!(node.value, Value::Map(_)) {
                    self.mistake(node.line, path, format!("missing field {naming:?} (\"\" means every namespace)"));
                }
                String::new()
            }
            Some(name) => self.name(&join(path, naming), name),
        };
        let rules: Vec<_> = self.list(&join(path, "rules"), find(fields, "rules")).collect();
        let rules = rules.into_iter().map(|(path, node)| self.rule(&path, node)).collect();
        Entry { namespace, rules }
    }

    fn rule(&mut self, path: &str, node: &Node) -> Rule {
        let fields = self.map(path, node, &["clusterNames", "namespaces"]);
        let cluster_names = self.names(&join(path, "clusterNames"), find(fields, "clusterNames"));
        let namespaces = self.names(&join(path, "namespaces"), find(fields, "namespaces"));
        Rule { cluster_names, namespaces }
    }

    fn names(&mut self, path: &str, node: Option<&Node>) -> Vec<String> {
        let items: Vec<_> = self.list(path, node).collect();
        items.into_iter().map(|(path, node)| self.name(&path, node)).collect()
    }

    fn name(&mut self, path: &str, node: &Node) -> String {
        let name = self.text(path, node);
        if name == "*" {
            let message = "\"*\" is an ordinary name and matches nothing else; \"\" means any".to_owned();
            self.warnings.push(Warning(self.at(node.line, path, message)));
        }
        name
    }
}
