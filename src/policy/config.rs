//! The configuration of policy, as it stands in the controller's ConfigMap: the texts of `namespaceRoles` and `policies`.
//!
//! One mistake refuses the whole new configuration, and every mistake is named with its line, its place and, for a
//! misspelt key, the key that was meant. Reading the ConfigMap is not here.
//!
//! ```yaml
//! policies: |
//!   builtin: false            # leave the built-in module out; it comes first otherwise
//!   modules:                  # in this order; without the key: every *.wasm file of the folder, by name
//!     - file: images.wasm
//!       settings: {registries: [registry.example.org]}
//! ```

use std::fmt;

use crate::policy::{
    roles::{Entry, Roles, Rule},
    yaml::{self, Node, Value},
};

/// The key of the ConfigMap that holds the roles.
pub const KEY_NAMESPACE_ROLES: &str = "namespaceRoles";
/// The key of the ConfigMap that holds the chain.
pub const KEY_POLICIES: &str = "policies";

/// A chain is evaluated for each pod, and each module may take 10 ms: more than this is a mistake.
pub const MODULES_MAX: usize = 16;
/// How alike two names are from which on the one is offered for the other; 1 is equal.
const LIKENESS_MIN: f64 = 0.75;

/// Everything that the ConfigMap says of policy.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Config {
    /// Who may go where, for the built-in module.
    pub roles: Roles,
    /// Which modules, in which order.
    pub chain: ChainConfig,
}

/// The modules of the chain.
#[derive(Clone, Debug, PartialEq)]
pub struct ChainConfig {
    /// The built-in module comes first.
    pub builtin: bool,
    /// The modules of the folder.
    pub modules: ModulesConfig,
}

/// Which modules of the policy folder are in the chain.
#[derive(Clone, Debug, PartialEq)]
pub enum ModulesConfig {
    /// All `*.wasm` files, by name, without settings.
    WholeFolder,
    /// These, in this order.
    Listed(Vec<ModuleConfig>),
}

/// One module of the folder.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleConfig {
    /// The file's name in the folder.
    pub file: String,
    /// What `configure` is given, as JSON.
    pub settings: serde_json::Value,
}

/// A place in the configuration that is probably not meant as it is written. It doesn't refuse anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub Mistake);

/// One mistake and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The key of the ConfigMap.
    pub key: &'static str,
    /// The line in its text, from 1, where it is known.
    pub line: Option<u64>,
    /// The place, such as `[0].rules[1].clusterNames`; empty for the whole text.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// Everything that is wrong with a configuration. There is at least one mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// In the order of the text.
    pub mistakes: Vec<Mistake>,
}

impl Default for ChainConfig {
    fn default() -> ChainConfig {
        ChainConfig { builtin: true, modules: ModulesConfig::WholeFolder }
    }
}

impl Config {
    /// Reads both texts; an absent key is `None`.
    ///
    /// # Errors
    ///
    /// All mistakes of both.
    pub fn parse(namespace_roles: Option<&str>, policies: Option<&str>) -> Result<(Config, Vec<Warning>), ConfigError> {
        let mut reader = Reader { key: KEY_NAMESPACE_ROLES, mistakes: Vec::new(), warnings: Vec::new() };
        let roles = namespace_roles.map(|text| reader.roles(text)).unwrap_or_default();
        reader.key = KEY_POLICIES;
        let chain = policies.map(|text| reader.chain(text)).unwrap_or_default();
        if reader.mistakes.is_empty() {
            Ok((Config { roles, chain }, reader.warnings))
        } else {
            Err(ConfigError { mistakes: reader.mistakes })
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key)?;
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, mistake) in self.mistakes.iter().enumerate() {
            if place > 0 {
                f.write_str("; ")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

/// Reads the text of one key after the other and collects what is wrong. Where something is, it goes on with a default,
/// so that the rest is looked at as well.
struct Reader {
    key: &'static str,
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
}

impl Reader {
    fn roles(&mut self, text: &str) -> Roles {
        let Some(root) = self.document(text) else { return Roles::Absent };
        let entries = match &root.value {
            Value::Null => return Roles::Entries(Vec::new()),
            Value::Map(_) => {
                // The later spelling: a map with the one key `namespaces`, and `name` in place of `namespace`.
                let fields = self.map("", &root, &["namespaces"]);
                self.list("namespaces", find(fields, "namespaces"))
                    .map(|(path, node)| (path, node, "name"))
                    .collect::<Vec<_>>()
            }
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                self.list("", Some(&root)).map(|(path, node)| (path, node, "namespace")).collect()
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

    fn chain(&mut self, text: &str) -> ChainConfig {
        let Some(root) = self.document(text) else { return ChainConfig::default() };
        if root.value == Value::Null {
            return ChainConfig::default();
        }
        let fields = self.map("", &root, &["builtin", "modules"]);
        let builtin = find(fields, "builtin").is_none_or(|node| self.boolean("builtin", node));
        let Some(list) = find(fields, "modules") else {
            return ChainConfig { builtin, modules: ModulesConfig::WholeFolder };
        };
        let items: Vec<_> = self.list("modules", Some(list)).collect();
        if items.len() > MODULES_MAX {
            self.mistake(list.line, "modules", format!("{} modules, over {MODULES_MAX}", items.len()));
        }
        if items.is_empty() && !builtin {
            self.mistake(list.line, "modules", "no module is left in the chain".to_owned());
        }
        let mut modules: Vec<ModuleConfig> = Vec::new();
        for (path, node) in items {
            let module = self.module(&path, node);
            if modules.iter().any(|other| other.file == module.file) {
                self.mistake(node.line, &path, format!("{:?} is listed twice", module.file));
            }
            modules.push(module);
        }
        ChainConfig { builtin, modules: ModulesConfig::Listed(modules) }
    }

    fn module(&mut self, path: &str, node: &Node) -> ModuleConfig {
        let fields = self.map(path, node, &["file", "settings"]);
        let file = match find(fields, "file") {
            None => {
                self.mistake(node.line, path, "missing field \"file\"".to_owned());
                String::new()
            }
            Some(file) => {
                let at = join(path, "file");
                let name = self.text(&at, file);
                if name.contains(['/', '\\']) || !name.ends_with(".wasm") || name.starts_with('.') {
                    let message = format!("{name:?} is not the name of a .wasm file in the policy folder");
                    self.mistake(file.line, &at, message);
                }
                name
            }
        };
        let settings = find(fields, "settings").map_or_else(|| serde_json::json!({}), Node::to_json);
        ModuleConfig { file, settings }
    }

    fn document(&mut self, text: &str) -> Option<Node> {
        match yaml::parse(text) {
            Ok(node) => Some(node),
            Err(yaml::Malformed { line, message }) => {
                self.mistakes.push(Mistake { key: self.key, line, path: String::new(), message });
                None
            }
        }
    }

    /// The fields of a map, none of which may be unknown.
    fn map<'n>(&mut self, path: &str, node: &'n Node, known: &[&str]) -> &'n [(yaml::Key, Node)] {
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
    fn list<'n>(&mut self, path: &str, node: Option<&'n Node>) -> impl Iterator<Item = (String, &'n Node)> + use<'n> {
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

    fn text(&mut self, path: &str, node: &Node) -> String {
        if let Value::Text(text) = &node.value {
            return text.clone();
        }
        self.mistake(node.line, path, format!("expected text, found {}", node.kind()));
        String::new()
    }

    fn boolean(&mut self, path: &str, node: &Node) -> bool {
        if let Value::Bool(value) = node.value {
            return value;
        }
        self.mistake(node.line, path, format!("expected true or false, found {}", node.kind()));
        true
    }

    fn mistake(&mut self, line: u64, path: &str, message: String) {
        let mistake = self.at(line, path, message);
        self.mistakes.push(mistake);
    }

    fn at(&self, line: u64, path: &str, message: String) -> Mistake {
        Mistake { key: self.key, line: Some(line), path: path.to_owned(), message }
    }
}

fn find<'n>(fields: &'n [(yaml::Key, Node)], name: &str) -> Option<&'n Node> {
    fields.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let likeness = |other: &str| strsim::jaro_winkler(&name.to_lowercase(), &other.to_lowercase());
    let best = known.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(best) >= LIKENESS_MIN).then_some(*best)
}

fn list_of(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(" and ")
}
