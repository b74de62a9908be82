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
//!       sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  # no other file is taken
//!       settings: {registries: [registry.example.org]}
//!     - file: next.wasm
//!       mode: shadow          # asked afterwards and compared, never obeyed; `enforce` without the key
//!       limits: {decisionMilliseconds: 50}  # in place of those below
//!   allowedDigests:           # without the key: any; the built-in module is part of the program and needs no entry
//!     - sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//!     - sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
//!   limits:                   # of each module, the built-in one as well; here with what holds without the key
//!     decisionMilliseconds: 10      # processor time of one decision, 1 to 1000
//!     configureMilliseconds: 2000   # processor time of `configure`, 10 to 10000
//!     memoryMebibytes: 16           # 1 to 64
//!     resultKibibytes: 64           # all that one call gives back, 8 to 1024
//! ```
//!
//! One file that doesn't match refuses the whole set, shadows included: a configuration is in force as it is written or
//! not at all.

mod chain;
pub mod reader;
mod roles;

use std::{collections::BTreeSet, fmt};

use crate::policy::{config::reader::Reader, decision::Mode, digest::Digest, limits::Limits, roles::Roles};

/// The key of the ConfigMap that holds the roles.
pub const KEY_NAMESPACE_ROLES: &str = "namespaceRoles";
/// The key of the ConfigMap that holds the chain.
pub const KEY_POLICIES: &str = "policies";

/// A chain is evaluated for each pod, and each module may take 10 ms: more than this is a mistake.
pub const MODULES_MAX: usize = 16;

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
    /// Digests that the modules of the folder may have; `None`: any.
    pub allowed_digests: Option<BTreeSet<Digest>>,
    /// What modules run under that have no limits of their own.
    pub limits: Limits,
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
    /// The only digest that it may have; `None`: any.
    pub sha256: Option<Digest>,
    /// Whether what it says counts.
    pub mode: Mode,
    /// What `configure` is given, as JSON.
    pub settings: serde_json::Value,
    /// What it runs under.
    pub limits: Limits,
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
        ChainConfig {
            builtin: true,
            modules: ModulesConfig::WholeFolder,
            allowed_digests: None,
            limits: Limits::default(),
        }
    }
}

impl ModuleConfig {
    /// A file of which nothing more is said.
    pub fn of_file(file: &str, limits: Limits) -> ModuleConfig {
        let settings = serde_json::Value::Object(serde_json::Map::new());
        ModuleConfig { file: file.to_owned(), sha256: None, mode: Mode::Enforce, settings, limits }
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
