//! The chain in force, and the modules that were loaded before, so that nothing is compiled twice.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::policy::{
    config::{Config, ModuleConfig, ModulesConfig},
    decision::{
        Answer, CODE_NO_POLICY, Decision, Denial, Difference, Evaluation, MODULE_BUILTIN, MODULE_CORE, Mode, Verdict,
    },
    digest::Digest,
    folder::Files,
    host::Host,
    limits::Limits,
    module::{self, LoadError, Module, Prepared},
    request::Request,
};

/// The built-in module, as `landfall policy build policies/builtin` made it.
pub const BUILTIN: &[u8] = include_bytes!("../../policies/builtin/builtin.wasm");

/// The modules that decide, and those that are compared with them.
#[derive(Debug)]
pub struct Chain {
    /// 1 for the first, one more for each that replaces another.
    pub generation: u64,
    /// The digest of all modules with their settings, modes and limits, in order.
    pub digest: String,
    /// In the order of the configuration. At least one is enforced.
    pub members: Vec<Member>,
}

/// A module's place in the chain.
#[derive(Clone, Debug)]
pub struct Member {
    /// The module.
    pub module: Arc<Module>,
    /// Whether what it says counts.
    pub mode: Mode,
}

/// What a member said to one request.
#[derive(Debug)]
pub struct Said {
    module: Arc<Module>,
    mode: Mode,
    pod_given: bool,
    answer: Answer,
    took: Duration,
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
    /// A file is not the one that the configuration pins.
    #[error("{}: its SHA-256 digest is {found}, and the configuration pins {pinned}", .file.display())]
    Pinned {
        /// The file.
        file: PathBuf,
        /// What is asked for.
        pinned: Digest,
        /// What is there.
        found: Digest,
    },
    /// A file is none of those that the configuration allows.
    #[error("{}: its SHA-256 digest {found} is not among allowedDigests", .file.display())]
    NotAllowed {
        /// The file.
        file: PathBuf,
        /// What is there.
        found: Digest,
    },
    /// Nothing would decide.
    #[error("no module is left in the chain that decides: `builtin: false`, and there is no other")]
    Empty,
}

/// What was loaded.
#[derive(Default)]
pub struct Store {
    last_good: Kept,
    /// Of a set that was refused afterwards: the next one is likely to differ from it in one module only.
    refused: Kept,
}

/// What one set needed, by digest.
#[derive(Default)]
struct Kept {
    prepared: HashMap<Digest, Arc<Prepared>>,
    modules: HashMap<Loaded, Arc<Module>>,
}

/// By what a loaded module is known again.
#[derive(PartialEq, Eq, Hash)]
struct Loaded {
    name: String,
    digest: Digest,
    settings: String,
    limits: Limits,
}

/// One module that a set needs.
struct Wanted {
    name: String,
    file: Option<PathBuf>,
    bytes: Arc<[u8]>,
    digest: Digest,
    settings: serde_json::Value,
    mode: Mode,
    limits: Limits,
}

impl SetError {
    /// The module at fault.
    pub fn module(&self) -> Option<&str> {
        match self {
            SetError::Module { module, .. } => Some(module),
            SetError::Pinned { file, .. } | SetError::NotAllowed { file, .. } => file.file_stem()?.to_str(),
            SetError::Missing { .. } | SetError::NameTaken { .. } | SetError::Empty => None,
        }
    }

    /// The file at fault.
    pub fn file(&self) -> Option<&Path> {
        match self {
            SetError::Module { file, .. } => file.as_deref(),
            SetError::Missing { file } => Some(Path::new(file)),
            SetError::NameTaken { file } | SetError::Pinned { file, .. } | SetError::NotAllowed { file, .. } => {
                Some(file)
            }
            SetError::Empty => None,
        }
    }

    /// What to change, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            SetError::Module { error, .. } => error.hint().map(str::to_owned),
            SetError::Pinned { found, .. } => {
                Some(format!("put the pinned file back; or, if the new one is meant, pin it: sha256: {found}"))
            }
            SetError::NotAllowed { found, .. } => {
                Some(format!("take the file out; or, if it is meant, add to allowedDigests: sha256:{found}"))
            }
            SetError::Missing { .. } | SetError::NameTaken { .. } | SetError::Empty => None,
        }
    }
}

impl Store {
    /// Loads the set that `config` wants of `files`. What an earlier set had already is taken over; what this one
    /// doesn't need any more is forgotten once it is loaded.
    ///
    /// # Errors
    ///
    /// One module that can't be loaded refuses the whole set.
    pub fn load(&mut self, host: &Host, config: &Config, files: &Files) -> Result<Vec<Member>, SetError> {
        let mut kept = Kept::default();
        let loaded = wanted(config, files)?
            .into_iter()
            .map(|wanted| self.load_one(host, wanted, &mut kept))
            .collect::<Result<Vec<Member>, SetError>>();
        match &loaded {
            Ok(_) => *self = Store { last_good: kept, refused: Kept::default() },
            Err(_) => self.refused = kept,
        }
        loaded
    }

    fn load_one(&self, host: &Host, wanted: Wanted, kept: &mut Kept) -> Result<Member, SetError> {
        let Wanted { name, file, bytes, digest, settings, mode, limits } = wanted;
        let failed = |error| SetError::Module { module: name.clone(), file: file.clone(), error };
        let known = [&*kept, &self.last_good, &self.refused];
        let component = match known.iter().find_map(|known| known.prepared.get(&digest)) {
            Some(component) => Arc::clone(component),
            None => {
                let relatives = known.iter().flat_map(|known| known.prepared.values());
                let relatives: Vec<_> = relatives.map(|prepared| Arc::clone(prepared.functions())).collect();
                Arc::new(Prepared::beside(host, bytes, &relatives).map_err(failed)?)
            }
        };
        let key = Loaded { name: name.clone(), digest: digest.clone(), settings: settings.to_string(), limits };
        let module = known.iter().find_map(|known| known.modules.get(&key)).cloned();
        kept.prepared.insert(digest, Arc::clone(&component));
        let module = match module {
            Some(module) => module,
            None => Arc::new(component.configure_within(host, &name, &settings, limits).map_err(failed)?),
        };
        kept.modules.insert(key, Arc::clone(&module));
        Ok(Member { module, mode })
    }
}

impl Chain {
    /// A chain of `members`.
    pub fn new(generation: u64, members: Vec<Member>) -> Chain {
        Chain { generation, digest: set_digest(&members), members }
    }

    /// Asks one enforced module after the other. The first that doesn't allow decides, and those after it are not asked.
    pub fn decide(&self, host: &Host, request: &Request) -> (Decision, Vec<Said>) {
        let mut said = Vec::new();
        for member in self.members(Mode::Enforce) {
            let answer = member.ask(host, request);
            let denial = answer.denial();
            let may_quote_pod = answer.may_quote_pod();
            said.push(answer);
            if let Some(denial) = denial {
                return (Decision { may_quote_pod, ..Decision::deny(denial, self.generation) }, said);
            }
        }
        if said.is_empty() {
            return (no_policy("the chain has no module that decides"), said);
        }
        let (module, generation) = (self.names(), self.generation);
        (Decision { verdict: Verdict::Allow, module, generation, may_quote_pod: false }, said)
    }

    /// Asks all shadows, whatever was decided.
    pub fn ask_shadows(&self, host: &Host, request: &Request) -> Vec<Said> {
        self.members(Mode::Shadow).map(|member| member.ask(host, request)).collect()
    }

    /// The names of the modules that are only compared.
    pub fn shadows(&self) -> Vec<&str> {
        self.members(Mode::Shadow).map(|member| member.module.name()).collect()
    }

    fn members(&self, mode: Mode) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| member.mode == mode)
    }

    fn names(&self) -> String {
        self.members(Mode::Enforce).map(|member| member.module.name()).collect::<Vec<_>>().join("+")
    }
}

impl Member {
    /// Asks it, alone.
    pub fn ask(&self, host: &Host, request: &Request) -> Said {
        let start = Instant::now();
        let answer = match self.module.ask(host, request) {
            Ok(None) => Answer::Allow,
            Ok(Some(Denial { code, reason, .. })) => Answer::Deny { code, reason },
            Err(failure) => Answer::Failed { code: failure.code.to_owned(), reason: failure.message },
        };
        let pod_given = self.module.needs_pod() && request.pod.is_some();
        Said { module: Arc::clone(&self.module), mode: self.mode, pod_given, answer, took: start.elapsed() }
    }
}

impl Said {
    /// How it differs from a decision to allow, or not to. Only shadows can.
    pub fn difference(&self, is_allowed: bool) -> Option<Difference> {
        match self.mode {
            Mode::Enforce => None,
            Mode::Shadow => self.answer.difference(is_allowed),
        }
    }

    /// The name of the module that said it.
    pub fn module(&self) -> &str {
        self.module.name()
    }

    /// The same for records, beside what was decided.
    pub fn evaluation(self, is_allowed: bool) -> Evaluation {
        let difference = self.difference(is_allowed);
        let Said { module, mode, pod_given, answer, took } = self;
        Evaluation {
            name: module.name().to_owned(),
            digest: module.digest().to_owned(),
            settings_digest: module.settings_digest().to_owned(),
            mode,
            pod_given,
            answer,
            difference,
            nanoseconds: u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// What it said.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Its reason is the module's own, and the module was given the pod.
    fn may_quote_pod(&self) -> bool {
        self.pod_given && self.answer.is_in_own_words()
    }

    /// The denial that it is, if the module counts.
    fn denial(&self) -> Option<Denial> {
        match &self.answer {
            Answer::Allow => None,
            Answer::Deny { code, reason } | Answer::Failed { code, reason } => {
                Some(Denial::of_module(self.module(), reason, code))
            }
        }
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

/// The digest of modules with all that makes them decide as they do, in order.
pub fn set_digest(members: &[Member]) -> String {
    let mut text = String::new();
    for Member { module, mode } in members {
        let mode = match mode {
            Mode::Enforce => "enforce",
            Mode::Shadow => "shadow",
        };
        let (digest, settings) = (module.digest(), module.settings_digest());
        text += &format!("{} {digest} {settings} {mode} {}\n", module.name(), module.limits());
    }
    module::digest(text.as_bytes())
}

fn wanted(config: &Config, files: &Files) -> Result<Vec<Wanted>, SetError> {
    let chain = &config.chain;
    let mut wanted = Vec::new();
    if chain.builtin {
        wanted.push(Wanted {
            name: MODULE_BUILTIN.to_owned(),
            file: None,
            bytes: BUILTIN.into(),
            digest: Digest::of(BUILTIN),
            settings: config.roles.to_settings(),
            mode: Mode::Enforce,
            limits: chain.limits,
        });
    }
    let whole_folder: Vec<ModuleConfig>;
    let listed = match &chain.modules {
        ModulesConfig::WholeFolder => {
            whole_folder = files.files.keys().map(|file| ModuleConfig::of_file(file, chain.limits)).collect();
            &whole_folder
        }
        ModulesConfig::Listed(modules) => modules,
    };
    for module in listed {
        wanted.push(from_file(files, module, chain.allowed_digests.as_ref())?);
    }
    if wanted.iter().any(|module| module.mode == Mode::Enforce) { Ok(wanted) } else { Err(SetError::Empty) }
}

/// The module in its file, if that is one that may be loaded.
fn from_file(files: &Files, module: &ModuleConfig, allowed: Option<&BTreeSet<Digest>>) -> Result<Wanted, SetError> {
    let Some(bytes) = files.files.get(&module.file) else {
        return Err(SetError::Missing { file: module.file.clone() });
    };
    let name = module.file.strip_suffix(".wasm").unwrap_or(&module.file).to_owned();
    let file = files.folder.join(&module.file);
    if name == MODULE_BUILTIN || name == MODULE_CORE {
        return Err(SetError::NameTaken { file });
    }
    let digest = Digest::of(bytes);
    if let Some(pinned) = module.sha256.as_ref().filter(|pinned| **pinned != digest) {
        return Err(SetError::Pinned { file, pinned: pinned.clone(), found: digest });
    }
    if allowed.is_some_and(|allowed| !allowed.contains(&digest)) {
        return Err(SetError::NotAllowed { file, found: digest });
    }
    Ok(Wanted {
        name,
        file: Some(file),
        bytes: Arc::clone(bytes),
        digest,
        settings: module.settings.clone(),
        mode: module.mode,
        limits: module.limits,
    })
}
