//! The text of `policies`: which modules, in which order, with which settings.

use crate::policy::{
    config::{
        ChainConfig, MODULES_MAX, ModuleConfig, ModulesConfig,
        reader::{Reader, find, join},
    },
    yaml::{Node, Value},
};

impl Reader {
    /// The text of `policies`.
    pub fn chain(&mut self, text: &str) -> ChainConfig {
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
}
