//! The text of `policies`: which modules, in which order, with which settings, and within which limits.

use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

use crate::policy::{
    config::{
        ChainConfig, MODULES_MAX, ModuleConfig, ModulesConfig,
        reader::{Reader, find, join, nearest},
    },
    decision::Mode,
    digest::Digest,
    limits::{CONFIGURE_MILLISECONDS, DECISION_MILLISECONDS, Limits, MEMORY_MEBIBYTES, RESULT_KIBIBYTES},
    yaml::{Key, Node, Value},
};

const KEY_DECISION: &str = "decisionMilliseconds";
const KEY_CONFIGURE: &str = "configureMilliseconds";
const KEY_MEMORY: &str = "memoryMebibytes";
const KEY_RESULT: &str = "resultKibibytes";
const MODE_ENFORCE: &str = "enforce";
const MODE_SHADOW: &str = "shadow";

impl Reader {
    /// The text of `policies`.
    pub fn chain(&mut self, text: &str) -> ChainConfig {
        let Some(root) = self.document(text) else { return ChainConfig::default() };
        if root.value == Value::Null {
            return ChainConfig::default();
        }
        let fields = self.map("", &root, &["builtin", "modules", "allowedDigests", "limits"]);
        let builtin = find(fields, "builtin").is_none_or(|node| self.boolean("builtin", node));
        let limits = self.limits("limits", find(fields, "limits"), Limits::default());
        let allowed_digests = find(fields, "allowedDigests").map(|node| self.digests("allowedDigests", node));
        let modules = match find(fields, "modules") {
            None => ModulesConfig::WholeFolder,
            Some(list) => self.modules(list, builtin, limits, allowed_digests.as_ref()),
        };
        ChainConfig { builtin, modules, allowed_digests, limits }
    }

    fn modules(
        &mut self,
        list: &Node,
        builtin: bool,
        limits: Limits,
        allowed: Option<&BTreeSet<Digest>>,
    ) -> ModulesConfig {
        let items: Vec<_> = self.list("modules", Some(list)).collect();
        if items.len() > MODULES_MAX {
            self.mistake(list.line, "modules", format!("{} modules, over {MODULES_MAX}", items.len()));
        }
        let mut modules: Vec<ModuleConfig> = Vec::new();
        for (path, node) in items {
            let module = self.module(&path, node, limits, allowed);
            if modules.iter().any(|other| other.file == module.file) {
                self.mistake(node.line, &path, format!("{:?} is listed twice", module.file));
            }
            modules.push(module);
        }
        if !builtin && modules.is_empty() {
            self.mistake(list.line, "modules", "no module is left in the chain".to_owned());
        } else if !builtin && modules.iter().all(|module| module.mode == Mode::Shadow) {
            let message =
                "no module is left that decides: all are shadows, and the built-in one is left out".to_owned();
            self.mistake(list.line, "modules", message);
        }
        ModulesConfig::Listed(modules)
    }

    fn module(&mut self, path: &str, node: &Node, limits: Limits, allowed: Option<&BTreeSet<Digest>>) -> ModuleConfig {
        let fields = self.map(path, node, &["file", "sha256", "mode", "settings", "limits"]);
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
        let sha256 = find(fields, "sha256").and_then(|node| self.pin(&join(path, "sha256"), node, allowed));
        let mode = find(fields, "mode").map(|node| self.mode(&join(path, "mode"), node)).unwrap_or_default();
        let settings = find(fields, "settings").map_or_else(|| serde_json::json!({}), Node::to_json);
        let limits = self.limits(&join(path, "limits"), find(fields, "limits"), limits);
        ModuleConfig { file, sha256, mode, settings, limits }
    }

    fn mode(&mut self, path: &str, node: &Node) -> Mode {
        let Value::Text(word) = &node.value else {
            self.text(path, node);
            return Mode::Enforce;
        };
        match word.as_str() {
            MODE_ENFORCE => Mode::Enforce,
            MODE_SHADOW => Mode::Shadow,
            _ => {
                let meant = nearest(word, &[MODE_ENFORCE, MODE_SHADOW]);
                let hint = meant.map(|word| format!(", did you mean {word:?}?")).unwrap_or_default();
                let message = format!("expected {MODE_ENFORCE:?} or {MODE_SHADOW:?}, found {word:?}{hint}");
                self.mistake(node.line, path, message);
                Mode::Enforce
            }
        }
    }

    fn pin(&mut self, path: &str, node: &Node, allowed: Option<&BTreeSet<Digest>>) -> Option<Digest> {
        let pin = self.digest(path, node)?;
        if allowed.is_some_and(|allowed| !allowed.contains(&pin)) {
            self.mistake(node.line, path, "not among allowedDigests: no file could be right".to_owned());
        }
        Some(pin)
    }

    fn digests(&mut self, path: &str, node: &Node) -> BTreeSet<Digest> {
        let items: Vec<_> = self.list(path, Some(node)).collect();
        items.into_iter().filter_map(|(path, node)| self.digest(&path, node)).collect()
    }

    fn digest(&mut self, path: &str, node: &Node) -> Option<Digest> {
        let Value::Text(text) = &node.value else {
            self.text(path, node);
            return None;
        };
        match text.parse::<Digest>() {
            Ok(digest) => Some(digest),
            Err(error) => {
                self.mistake(node.line, path, error.to_string());
                None
            }
        }
    }

    /// The limits of `node` where it has them, and those of `otherwise` where it doesn't.
    fn limits(&mut self, path: &str, node: Option<&Node>, otherwise: Limits) -> Limits {
        let Some(node) = node else { return otherwise };
        let fields = self.map(path, node, &[KEY_DECISION, KEY_CONFIGURE, KEY_MEMORY, KEY_RESULT]);
        let milliseconds = |limit: Option<u64>, otherwise| limit.map_or(otherwise, Duration::from_millis);
        let bytes = |limit: Option<u64>, unit: u32, otherwise| {
            limit.and_then(|limit| usize::try_from(limit << unit).ok()).unwrap_or(otherwise)
        };
        Limits {
            decision_time: milliseconds(
                self.limit(path, fields, KEY_DECISION, DECISION_MILLISECONDS),
                otherwise.decision_time,
            ),
            configure_time: milliseconds(
                self.limit(path, fields, KEY_CONFIGURE, CONFIGURE_MILLISECONDS),
                otherwise.configure_time,
            ),
            memory_bytes: bytes(self.limit(path, fields, KEY_MEMORY, MEMORY_MEBIBYTES), 20, otherwise.memory_bytes),
            result_bytes: bytes(self.limit(path, fields, KEY_RESULT, RESULT_KIBIBYTES), 10, otherwise.result_bytes),
        }
    }

    fn limit(&mut self, path: &str, fields: &[(Key, Node)], key: &str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let node = find(fields, key)?;
        let found = match &node.value {
            Value::Number(number) => match number.as_u64() {
                Some(limit) if bounds.contains(&limit) => return Some(limit),
                Some(_) | None => number.to_string(),
            },
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => node.kind().to_owned(),
        };
        let message = format!("expected a whole number from {} to {}, found {found}", bounds.start(), bounds.end());
        self.mistake(node.line, &join(path, key), message);
        None
    }
}
