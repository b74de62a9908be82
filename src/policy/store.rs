//! The chain in force, and the modules that were loaded before, so that nothing is compiled twice.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use crate::policy::{
    config::{Config, ModulesConfig},
    decision::{CODE_NO_POLICY, Decision, Denial, MODULE_BUILTIN, MODULE_CORE, Verdict},
    folder::Files,
    host::Host,
    module::{self, LoadError, Module, Prepared},
    request::Request,
};

/// The built-in module, as `cargo run -p policy-build -- policies/builtin` made it.
pub const BUILTIN: &[u8] = include_bytes!("../../policies/builtin/builtin.wasm");

/// The ordered modules that must all allow.
#[derive(Debug)]
pub struct Chain {
    /// 1 for the first, one more for each that replaces another.
    pub generation: u64,
    /// The digest of all modules with their settings, in order.
    pub digest: String,
    /// In the order in which they are asked; never empty.
    pub modules: Vec<Arc<Module>>,
}

/// Why a set of modules is not in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// A module can't be loaded.
    #[error("policy module {module:?}{}: {error}", .file.as_ref().map(|file| format!(" ({})", file.display())).unwrap_or_default())]
    Module {
        /// Its name.
        module: String,
        /// Its file; the built-in one has none.
        file: Option<PathBuf>,
        /// Why.
        error: LoadError,
    },
    /// A module that the configuration lists isn't in the folder.
    #[error("policy module {file:?} is not in the policy folder")]
    Missing {
        /// The file's name.
        file: String,
    },
    /// A file has a name that stands for something else in decisions.
    #[error("{}: the names {MODULE_BUILTIN:?} and {MODULE_CORE:?} are taken", .file.display())]
    NameTaken {
        /// The file.
        file: PathBuf,
    },
    /// Nothing would be asked.
    #[error("no module is left in the chain: `builtin: false`, and there is no other")]
    Empty,
}

/// What was loaded, by digest.
#[derive(Default)]
pub struct Store {
    prepared: HashMap<String, Arc<Prepared>>,
    modules: HashMap<(String, String, String), Arc<Module>>,
}

/// One module that a set needs.
struct Wanted {
    name: String,
    file: Option<PathBuf>,
    bytes: Arc<[u8]>,
    settings: serde_json::Value,
}

impl Store {
    /// Loads the set that `config` wants of `files`. What an earlier set had already is taken over; what this one
    /// doesn't need any more is forgotten once it is loaded.
    ///
    /// # Errors
    ///
    /// One module that can't be loaded refuses the whole set.
    pub fn load(&mut self, host: &Host, config: &Config, files: &Files) -> Result<Vec<Arc<Module>>, SetError> {
        let wanted = wanted(config, files)?;
        let mut prepared = HashMap::new();
        let mut modules = HashMap::new();
        let mut chain = Vec::new();
        for Wanted { name, file, bytes, settings } in wanted {
            let failed = |error| SetError::Module { module: name.clone(), file: file.clone(), error };
            let digest = module::digest(&bytes);
            let component = match prepared.get(&digest).or_else(|| self.prepared.get(&digest)) {
                Some(component) => Arc::clone(component),
                None => Arc::new(Prepared::new(host, bytes).map_err(failed)?),
            };
            let key = (name.clone(), digest.clone(), settings.to_string());
            let module = match self.modules.get(&key) {
                Some(module) => Arc::clone(module),
                None => Arc::new(component.configure(host, &name, &settings).map_err(failed)?),
            };
            prepared.insert(digest, component);
            modules.insert(key, Arc::clone(&module));
            chain.push(module);
        }
        self.prepared = prepared;
        self.modules = modules;
        Ok(chain)
    }
}

impl Chain {
    /// A chain of `modules`.
    pub fn new(generation: u64, modules: Vec<Arc<Module>>) -> Chain {
        Chain { generation, digest: set_digest(&modules), modules }
    }

    /// Asks one module after the other. The first that doesn't allow decides.
    pub fn decide(&self, host: &Host, request: &Request) -> Decision {
        for module in &self.modules {
            match module.ask(host, request) {
                Ok(None) => {}
                Ok(Some(denial)) => return Decision::deny(denial, self.generation),
                Err(failure) => {
                    let denial = Denial::of_module(module.name(), &failure.message, failure.code);
                    return Decision::deny(denial, self.generation);
                }
            }
        }
        if self.modules.is_empty() {
            return no_policy("the chain has no module");
        }
        Decision { verdict: Verdict::Allow, module: self.names(), generation: self.generation }
    }

    fn names(&self) -> String {
        self.modules.iter().map(|module| module.name()).collect::<Vec<_>>().join("+")
    }
}

/// The answer to everything while there is no chain.
pub fn no_policy(reason: &str) -> Decision {
    let denial = Denial {
        module: MODULE_CORE.to_owned(),
        code: CODE_NO_POLICY.to_owned(),
        reason: format!("no set of policy modules is in force: {reason}"),
    };
    Decision::deny(denial, 0)
}

/// The digest of modules with their settings, in order.
pub fn set_digest(modules: &[Arc<Module>]) -> String {
    let mut text = String::new();
    for module in modules {
        text += &format!("{} {} {}\n", module.name(), module.digest(), module.settings_digest());
    }
    module::digest(text.as_bytes())
}

fn wanted(config: &Config, files: &Files) -> Result<Vec<Wanted>, SetError> {
    let mut wanted = Vec::new();
    if config.chain.builtin {
        wanted.push(Wanted {
            name: MODULE_BUILTIN.to_owned(),
            file: None,
            bytes: BUILTIN.into(),
            settings: config.roles.to_settings(),
        });
    }
    match &config.chain.modules {
        ModulesConfig::WholeFolder => {
            for (file, bytes) in &files.files {
                wanted.push(from_file(files, file, bytes, serde_json::json!({}))?);
            }
        }
        ModulesConfig::Listed(modules) => {
            for module in modules {
                let Some(bytes) = files.files.get(&module.file) else {
                    return Err(SetError::Missing { file: module.file.clone() });
                };
                wanted.push(from_file(files, &module.file, bytes, module.settings.clone())?);
            }
        }
    }
    if wanted.is_empty() { Err(SetError::Empty) } else { Ok(wanted) }
}

fn from_file(files: &Files, file: &str, bytes: &Arc<[u8]>, settings: serde_json::Value) -> Result<Wanted, SetError> {
    let name = file.strip_suffix(".wasm").unwrap_or(file).to_owned();
    let path = files.folder.join(file);
    if name == MODULE_BUILTIN || name == MODULE_CORE {
        return Err(SetError::NameTaken { file: path });
    }
    Ok(Wanted { name, file: Some(path), bytes: Arc::clone(bytes), settings })
}
