//! What the controller shows of policy: the set in force, and why a newer one is not.

use std::{fmt, path::PathBuf};

use serde::Serialize;

use crate::policy::decision::{Difference, Mode};

/// The state of policy.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The generation in force; 0 while there is none: then whoever asks is denied.
    pub generation: u64,
    /// The digest of the set in force, as hex.
    pub set_digest: String,
    /// The modules in force, in order.
    pub modules: Vec<ModuleState>,
    /// Why what is configured and what lies in the folder now is not what is in force.
    pub refusal: Option<Refusal>,
    /// How often something new was refused since the start.
    pub refusals: u64,
}

/// A module in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleState {
    /// Its name.
    pub name: String,
    /// The digest of its component, as hex.
    pub digest: String,
    /// The digest of its settings, as hex.
    pub settings_digest: String,
    /// Whether what it says counts.
    pub mode: Mode,
    /// It is given the final pod, so requests should carry one.
    pub needs_pod: bool,
}

/// How often a shadow differed from what was decided, in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Differences {
    /// The shadow's name.
    pub module: String,
    /// In which way.
    pub difference: Difference,
    /// How often, since the module is a shadow in force.
    pub count: u64,
}

/// What has to be mended where something new was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtFault {
    /// A module.
    Module,
    /// The policy folder, or a file in it that isn't a module yet.
    Folder,
    /// The configuration.
    Configuration,
}

/// Why something new was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// The module at fault.
    pub module: Option<String>,
    /// The file or folder at fault.
    pub file: Option<PathBuf>,
    /// What is wrong; names module and file as well.
    pub reason: String,
    /// What to change.
    pub hint: Option<String>,
}

impl AtFault {
    /// All of them.
    pub const ALL: [AtFault; 3] = [AtFault::Module, AtFault::Folder, AtFault::Configuration];

    /// The word for programs, in a condition and as a label of a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            AtFault::Module => "ModuleRefused",
            AtFault::Folder => "FolderRefused",
            AtFault::Configuration => "ConfigurationRefused",
        }
    }
}

impl Refusal {
    /// What has to be mended.
    pub fn at_fault(&self) -> AtFault {
        match (&self.module, &self.file) {
            (Some(_), _) => AtFault::Module,
            (None, Some(_)) => AtFault::Folder,
            (None, None) => AtFault::Configuration,
        }
    }
}

impl State {
    /// There is a set in force. A controller that never had one is not ready.
    pub fn is_ready(&self) -> bool {
        self.generation > 0
    }

    /// At least one module is given the final pod.
    pub fn needs_pod(&self) -> bool {
        self.modules.iter().any(|module| module.needs_pod)
    }

    /// What is in force, in words: `generation 2 in force: builtin, images, next (shadow)`.
    pub fn in_force(&self) -> String {
        let named = |module: &ModuleState| match module.mode {
            Mode::Enforce => module.name.clone(),
            Mode::Shadow => format!("{} (shadow)", module.name),
        };
        let modules: Vec<_> = self.modules.iter().map(named).collect();
        match self.generation {
            0 => "nothing in force: no pod is created".to_owned(),
            generation => format!("generation {generation} in force: {}", modules.join(", ")),
        }
    }
}

/// On one line, with what to change.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason.replace('\n', " "))?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " (hint: {hint})"))
    }
}
