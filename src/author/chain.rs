//! A chain of modules on a laptop: one module with its settings, or all that a configuration and a folder make. With the
//! modules comes what they were made of, so that a decision can be explained.

use std::{path::Path, sync::Arc, thread};

use crate::{
    api::ids::Namespace,
    author::{origin::Origin, subject::Subject},
    policy::{
        config::{Config, ModulesConfig},
        decision::{Answer, CODE_MODULE_TRAPPED, Decision, MODULE_BUILTIN, Mode, Verdict},
        folder::{Files, Folder, FolderError, Reading},
        host::Host,
        limits::Failure,
        module::{LoadError, Prepared},
        request::{self, Request},
        store::{self, BUILTIN, Member, Said, SetError, Store},
        yaml::{self, Node, Value},
    },
};

/// One module alone is asked about this many pods, about: whether it gets a snapshot goes by that.
const QUESTIONS: usize = 32;

/// Modules that are asked one after the other.
pub struct Chain {
    /// As the controller would have them.
    pub modules: store::Chain,
    /// What each was made of, in the same order.
    pub sources: Vec<Source>,
    /// In namespace mode, the one namespace that is managed.
    pub managed: Option<Namespace>,
}

/// What a module was made of.
pub struct Source {
    /// The component.
    pub bytes: Arc<[u8]>,
    /// The same, compiled, where that was kept.
    pub prepared: Option<Arc<Prepared>>,
    /// What it was configured with.
    pub settings: serde_json::Value,
    /// Where the settings stand.
    pub origin: Origin,
}

/// Why there is no chain.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The module is refused.
    #[error("{said}")]
    Refused {
        /// Which and why, with the line of its settings where they are the reason.
        said: String,
        /// Why.
        error: LoadError,
    },
    /// A module of the configuration refuses its settings.
    #[error("{place}: {error}")]
    Settings {
        /// Where in the configuration they stand.
        place: String,
        /// Which module, and why.
        error: Box<SetError>,
    },
    /// The folder gives no set.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The configuration and the folder make no set.
    #[error(transparent)]
    Set(#[from] SetError),
}

impl ChainError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            ChainError::Refused { error, .. } => error.hint().map(str::to_owned),
            ChainError::Set(error) => error.hint(),
            ChainError::Settings { error, .. } => error.hint(),
            ChainError::Folder(FolderError::NotConfigured) => Some("name it: --policies FOLDER".to_owned()),
            ChainError::Folder(
                FolderError::Unreadable { .. }
                | FolderError::Empty { .. }
                | FolderError::TooMany { .. }
                | FolderError::TooLarge { .. },
            ) => None,
        }
    }
}

impl Chain {
    /// One module alone.
    ///
    /// # Errors
    ///
    /// It would be refused.
    pub fn of_subject(
        host: &Host,
        subject: &Subject,
        settings: serde_json::Value,
        origin: Origin,
    ) -> Result<Chain, ChainError> {
        let shown = subject.shown();
        let refused = |error: LoadError| ChainError::Refused { said: origin.refusal(&shown, &error), error };
        let prepared = Prepared::new(host, Arc::clone(&subject.bytes)).map_err(refused)?;
        let told = |error| refused(prepared.load_error_with_last_words(host, &settings, error));
        let module = Arc::new(prepared.configure_for(host, &subject.name, &settings, QUESTIONS).map_err(told)?);
        let source = Source { bytes: Arc::clone(&subject.bytes), prepared: Some(Arc::new(prepared)), settings, origin };
        let modules = store::Chain::new(1, vec![Member { module, mode: Mode::Enforce }]);
        Ok(Chain { modules, sources: vec![source], managed: None })
    }

    /// All modules that the configuration wants of the folder, as the controller would load them. The texts are those of
    /// `namespaceRoles` and `policies`.
    ///
    /// # Errors
    ///
    /// The controller would refuse the set.
    pub fn of_config(
        host: &Host,
        config: &Config,
        [roles, policies]: [Option<&str>; 2],
        folder: Option<&Path>,
    ) -> Result<Chain, ChainError> {
        let files = read_folder(folder, &config.chain.modules)?;
        let [roles, policies] = [roles, policies].map(|text| text.and_then(|text| yaml::parse(text).ok()));
        let origin_of = |module: &str| match module {
            MODULE_BUILTIN => roles.clone().map_or(Origin::None, Origin::Roles),
            _ => {
                let node = policies.as_ref().and_then(|root| settings_of(root, &format!("{module}.wasm")));
                node.cloned().map_or(Origin::None, Origin::Policies)
            }
        };
        let members = Store::default().load(host, config, &files).map_err(|error| match &error {
            SetError::Module { module, error: LoadError::Settings(message), .. } => {
                match origin_of(module).place_of(message) {
                    Some(place) => ChainError::Settings { place, error: Box::new(error) },
                    None => error.into(),
                }
            }
            _ => error.into(),
        })?;
        let mut sources = Vec::new();
        for member in &members {
            let name = member.module.name();
            if name == MODULE_BUILTIN {
                sources.push(Source {
                    bytes: BUILTIN.into(),
                    prepared: None,
                    settings: config.roles.to_settings(),
                    origin: origin_of(name),
                });
                continue;
            }
            let file = format!("{name}.wasm");
            let bytes = files.files.get(&file).map_or_else(|| Arc::from(Vec::new()), Arc::clone);
            let settings = match &config.chain.modules {
                ModulesConfig::WholeFolder => serde_json::json!({}),
                ModulesConfig::Listed(modules) => {
                    let listed = modules.iter().find(|module| module.file == file);
                    listed.map_or_else(|| serde_json::json!({}), |module| module.settings.clone())
                }
            };
            sources.push(Source { bytes, prepared: None, settings, origin: origin_of(name) });
        }
        Ok(Chain { modules: store::Chain::new(1, members), sources, managed: None })
    }

    /// Decides as a controller does: what the core denies, no module is asked.
    pub fn decide(&self, host: &Host, request: &Request) -> (Decision, Vec<Said>) {
        if let Some(denial) = request::refused_by_core(self.managed.as_ref(), request) {
            return (Decision::deny(denial, self.modules.generation), Vec::new());
        }
        let (mut decision, said) = self.modules.decide(host, request);
        let is_of = |said: &Said| self.modules.members.iter().position(|member| member.module.name() == said.module());
        if let (Some(last), Verdict::Deny { reason, .. }) = (said.last(), &mut decision.verdict)
            && let (Answer::Failed { reason: told, .. }, Some(place)) = (last.answer().clone(), is_of(last))
        {
            *reason = told;
            self.add_last_words(host, request, place, (last.answer(), reason));
        }
        (decision, said)
    }

    /// Where the module in that place panicked, puts what it said in place of `reason`, for whoever writes it.
    pub fn add_last_words(
        &self,
        host: &Host,
        request: &Request,
        place: usize,
        (answer, reason): (&Answer, &mut String),
    ) {
        let (Answer::Failed { code, .. }, Some(source)) = (answer, self.sources.get(place)) else { return };
        if code != CODE_MODULE_TRAPPED {
            return;
        }
        let Ok(prepared) = source.prepared(host) else { return };
        let failure = Failure { code: CODE_MODULE_TRAPPED, message: reason.clone() };
        *reason = prepared.with_last_words(host, &source.settings, request, failure).message;
    }
}

impl Source {
    /// The component, compiled.
    ///
    /// # Errors
    ///
    /// It can't be loaded again.
    pub fn prepared(&self, host: &Host) -> Result<Arc<Prepared>, LoadError> {
        match &self.prepared {
            Some(prepared) => Ok(Arc::clone(prepared)),
            None => Ok(Arc::new(Prepared::new(host, Arc::clone(&self.bytes))?)),
        }
    }
}

/// Waits until the files stand still, which takes a tenth of a second at most.
fn read_folder(folder: Option<&Path>, modules: &ModulesConfig) -> Result<Files, FolderError> {
    let mut reader = Folder::default();
    loop {
        match reader.read(folder, modules)? {
            Reading::Complete(files) => return Ok(files),
            Reading::Unsettled(_, pause) => thread::sleep(pause),
        }
    }
}

fn settings_of<'n>(root: &'n Node, file: &str) -> Option<&'n Node> {
    let modules = field(root, "modules")?;
    let Value::List(items) = &modules.value else { return None };
    let named = |item: &&Node| field(item, "file").is_some_and(|name| name.value == Value::Text(file.to_owned()));
    field(items.iter().find(named)?, "settings")
}

fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    match &node.value {
        Value::Map(fields) => fields.iter().find(|(key, _)| key.name == name).map(|(_, node)| node),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => None,
    }
}
