//! A module: prepared from its bytes, configured with its settings, asked for decisions.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use wasmtime::{
    Store,
    component::{Component, Instance},
};

use crate::policy::{
    bindings::{self, INTERFACE, Module as Exports, ModulePre as ExportsPre, wit},
    codes::Codes,
    compile::Functions,
    decision::{self, CODE_DENIED, CODE_TIME_LIMIT, Denial},
    digest::Digest,
    host::{Cost, Host},
    inspect::{self, Unfit},
    limits::{self, Account, Failure, Limits, MODULE_BYTES},
    request::Request,
    snapshot, trial,
};

/// Trials of a module that was just loaded, should the ones before have taken too long.
const COLD_TRIALS: usize = 3;

/// The interface of a module's notes. A module may export it or not, so no bindings are made of it.
const TRACE: &str = "landfall:policy/trace@1.0.0";

/// A component compiled once, whatever settings it is given. Two with the same digest are the same.
pub struct Prepared {
    bytes: Arc<[u8]>,
    digest: String,
    component: Component,
    codes: Arc<Codes>,
    functions: Arc<Functions>,
    /// Why the component is the plain one, not one whose memory can be read out.
    unreadable: Option<String>,
    /// How long compiling it took.
    compiled_in: Duration,
}

/// A module that was configured and tried.
pub struct Module {
    name: String,
    digest: String,
    settings_digest: String,
    limits: Limits,
    needs: wit::Needs,
    codes: Arc<Codes>,
    form: Form,
}

enum Form {
    /// Every instance begins configured.
    Snapshot(ExportsPre<Account>),
    /// Every instance is configured before it is asked.
    Configured {
        exports: ExportsPre<Account>,
        settings: String,
        /// Why there is no snapshot: all is done within the time of one decision then. Without a reason there could be one,
        /// and only the question counts, as it would with a snapshot.
        reason: Option<String>,
    },
}

/// Why a module was not loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file is too large.
    #[error("{bytes} bytes, over the limit of {MODULE_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// The file is no component that can run here.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The component is invalid.
    #[error("invalid component: {0}")]
    Invalid(String),
    /// The component does not export what a policy module exports.
    #[error("does not export {INTERFACE} as wit/policy.wit has it: {0}")]
    WrongWorld(String),
    /// `configure` refused the settings.
    #[error("refuses its settings: {0}")]
    Settings(String),
    /// `configure` did not end as it should.
    #[error("configure: {0}")]
    Configure(Failure),
    /// The trial request did not end as it should.
    #[error("authorize, on a trial request: {0}")]
    Trial(Failure),
}

impl LoadError {
    /// What to change, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            LoadError::Unfit(unfit) => unfit.hint(),
            LoadError::WrongWorld(_) => {
                Some("generate the bindings from wit/policy.wit of this version and build again")
            }
            LoadError::TooLarge { .. } => Some("build it for size and strip debug information"),
            LoadError::Configure(failure) | LoadError::Trial(failure) if failure.message.contains("unreachable") => {
                Some(
                    "a panic looks like this: `landfall policy check` tells its message, if the module is made with the SDK",
                )
            }
            LoadError::Invalid(_) | LoadError::Settings(_) | LoadError::Configure(_) | LoadError::Trial(_) => None,
        }
    }
}

impl Prepared {
    /// Checks and compiles `bytes`.
    ///
    /// # Errors
    ///
    /// The file is unfit or invalid.
    pub fn new(host: &Host, bytes: Arc<[u8]>) -> Result<Prepared, LoadError> {
        Prepared::beside(host, bytes, &[])
    }

    /// The same beside other modules, among whose `relatives` there may be functions that it has too.
    pub(in crate::policy) fn beside(
        host: &Host,
        bytes: Arc<[u8]>,
        relatives: &[Arc<Functions>],
    ) -> Result<Prepared, LoadError> {
        let size = bytes.len() as u64;
        if size > MODULE_BYTES {
            return Err(LoadError::TooLarge { bytes: size });
        }
        inspect::inspect(&bytes)?;
        let digest = digest(&bytes);
        let start = Instant::now();
        let invalid = |error: wasmtime::Error| LoadError::Invalid(format!("{error:#}"));
        let functions = Arc::new(Functions::default());
        let readable = snapshot::instrument(&bytes)
            .and_then(|bytes| host.compile(&bytes, &functions, relatives).map_err(|error| format!("{error:#}")));
        let (component, unreadable) = match readable {
            Ok(component) => (component, None),
            Err(reason) => (host.compile(&bytes, &functions, relatives).map_err(invalid)?, Some(reason)),
        };
        let codes = Arc::new(Codes::of(Arc::clone(&bytes)));
        Ok(Prepared { bytes, digest, component, codes, functions, unreadable, compiled_in: start.elapsed() })
    }

    /// Bytes of the component, as it was given.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The digest of the bytes, as hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What became of its functions, for other modules.
    pub(in crate::policy) fn functions(&self) -> &Arc<Functions> {
        &self.functions
    }

    /// The codes that are its own.
    pub(in crate::policy) fn codes(&self) -> &Arc<Codes> {
        &self.codes
    }

    pub(in crate::policy) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(in crate::policy) fn component(&self) -> &Component {
        &self.component
    }

    /// What an instance and its `configure` take, within the limits that hold where none are configured.
    ///
    /// # Errors
    ///
    /// It exports something else, refuses the settings, or a call does not end as it should.
    pub fn measure_configure(&self, host: &Host, settings: &serde_json::Value) -> Result<Cost, LoadError> {
        let exports = exports_of(host, &self.component)?;
        let (mut store, _, running) = instantiate(host, &exports, Limits::default())?;
        call_configure(host, &mut store, &running, &settings.to_string())?;
        Ok(host.cost(&store))
    }

    /// Configures the component with `settings`, takes a snapshot and tries one request on it, all within the limits that
    /// hold where none are configured.
    ///
    /// # Errors
    ///
    /// It exports something else, refuses the settings, or a call does not end as it should.
    pub fn configure(&self, host: &Host, name: &str, settings: &serde_json::Value) -> Result<Module, LoadError> {
        self.configure_within(host, name, settings, Limits::default())
    }

    /// The same within `limits`, which also hold for its decisions.
    ///
    /// # Errors
    ///
    /// It exports something else, refuses the settings, or a call does not end as it should.
    pub fn configure_within(
        &self,
        host: &Host,
        name: &str,
        settings: &serde_json::Value,
        limits: Limits,
    ) -> Result<Module, LoadError> {
        self.load(host, name, settings, limits, None)
    }

    /// The same, for a tool that has only so many questions with these settings. Where another compilation would take longer
    /// than to configure an instance for each, as it does with an interpreter, that is done in place of a snapshot; the
    /// answers are the same.
    ///
    /// # Errors
    ///
    /// It exports something else, refuses the settings, or a call does not end as it should.
    pub fn configure_for(
        &self,
        host: &Host,
        name: &str,
        settings: &serde_json::Value,
        questions: usize,
    ) -> Result<Module, LoadError> {
        self.load(host, name, settings, Limits::default(), Some(questions))
    }

    fn load(
        &self,
        host: &Host,
        name: &str,
        settings: &serde_json::Value,
        limits: Limits,
        questions: Option<usize>,
    ) -> Result<Module, LoadError> {
        let settings = settings.to_string();
        let exports = exports_of(host, &self.component)?;
        let start = Instant::now();
        let (mut store, instance, running) = instantiate(host, &exports, limits)?;
        let needs = call_configure(host, &mut store, &running, &settings)?;
        let took = start.elapsed();
        let snapshot = match &self.unreadable {
            None => {
                // Reading the memory out is the host's own doing: no limit of the module's.
                store.set_hostcall_fuel(usize::MAX);
                store.set_epoch_deadline(u64::MAX / 2);
                snapshot::take(&self.bytes, &mut store, instance)
            }
            Some(reason) => Err(reason.clone()),
        };
        drop(store);
        let form = match snapshot {
            Ok(_) if questions.is_some_and(|questions| self.is_quicker_without_snapshot(took, questions)) => {
                Form::Configured { exports, settings: settings.clone(), reason: None }
            }
            Ok(bytes) => {
                let component = host
                    .compile(&bytes, &self.functions, &[])
                    .map_err(|error| LoadError::Invalid(format!("{error:#}")))?;
                Form::Snapshot(exports_of(host, &component)?)
            }
            Err(reason) => Form::Configured { exports, settings: settings.clone(), reason: Some(reason) },
        };
        self.functions.trim();
        let settings_digest = digest(settings.as_bytes());
        let (name, digest, codes) = (name.to_owned(), self.digest.clone(), Arc::clone(&self.codes));
        let module = Module { name, digest, settings_digest, limits, needs, codes, form };
        module.try_cold(host)?;
        Ok(module)
    }

    /// Modules whose functions are kept have their snapshots compiled in no time.
    fn is_quicker_without_snapshot(&self, configure: Duration, questions: usize) -> bool {
        let questions = u32::try_from(questions).unwrap_or(u32::MAX);
        self.functions.are_many() && configure.saturating_mul(questions) < self.compiled_in
    }
}

impl Module {
    /// Its name: the file's without `.wasm`, or `builtin`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The digest of the component as it was loaded, as hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The digest of the settings, as hex.
    pub fn settings_digest(&self) -> &str {
        &self.settings_digest
    }

    /// What it runs under.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// It is given the final pod.
    pub fn needs_pod(&self) -> bool {
        self.needs.contains(wit::Needs::POD)
    }

    /// Why no snapshot of it could be taken, if so.
    pub fn no_snapshot_because(&self) -> Option<&str> {
        match &self.form {
            Form::Snapshot(_) => None,
            Form::Configured { reason, .. } => reason.as_deref(),
        }
    }

    /// The trial of a module that never ran. Its first instances map all of their memory, which is processor time of
    /// theirs: an interpreter that is too slow at first is given two more tries.
    fn try_cold(&self, host: &Host) -> Result<(), LoadError> {
        for _ in 1..COLD_TRIALS {
            match self.try_once(host) {
                Err(LoadError::Trial(failure)) if failure.code == CODE_TIME_LIMIT => {}
                answer => return answer,
            }
        }
        self.try_once(host)
    }

    /// Asks the module the trial request. The answer does not matter, that there is one does.
    ///
    /// # Errors
    ///
    /// The call does not end as it should.
    pub fn try_once(&self, host: &Host) -> Result<(), LoadError> {
        self.ask(host, &trial::request()).map(drop).map_err(LoadError::Trial)
    }

    /// Asks the module. `None` is no objection. Whatever goes wrong is a failure, which the caller has to deny for.
    pub fn ask(&self, host: &Host, request: &Request) -> Result<Option<Denial>, Failure> {
        self.ask_in(&mut host.store(self.limits), host, request)
    }

    /// The same, and what it took, instance and all.
    pub fn measure(&self, host: &Host, request: &Request) -> Result<(Option<Denial>, Cost), Failure> {
        let mut store = host.store(self.limits);
        let answer = self.ask_in(&mut store, host, request)?;
        Ok((answer, host.cost(&store)))
    }

    fn ask_in(&self, store: &mut Store<Account>, host: &Host, request: &Request) -> Result<Option<Denial>, Failure> {
        limits::set_time(store, self.limits.decision_time);
        let _running = host.ticker.running();
        let exports = match &self.form {
            Form::Snapshot(exports) => exports.instantiate(&mut *store),
            Form::Configured { exports, settings, reason: Some(_) } => configured(store, exports, settings),
            Form::Configured { exports, settings, reason: None } => {
                limits::set_time(store, self.limits.configure_time);
                let exports = configured(store, exports, settings);
                store.set_hostcall_fuel(self.limits.result_bytes);
                limits::set_time(store, self.limits.decision_time);
                exports
            }
        };
        let exports = exports.map_err(|error| limits::failure(&error, store))?;
        self.call(store, &exports, request)
    }

    /// Asks the module and gives back what it notes meanwhile, a line each; `None` where it exports no notes. These are for
    /// explaining a decision: none is made by them.
    ///
    /// # Errors
    ///
    /// A call does not end as it should.
    pub fn notes(&self, host: &Host, request: &Request) -> Result<Option<Vec<String>>, Failure> {
        let mut store = host.store(self.limits);
        limits::set_time(&mut store, self.limits.configure_time);
        let _running = host.ticker.running();
        let found = self.take_notes(&mut store, request);
        found.map_err(|error| limits::failure(&error, &store))
    }

    fn take_notes(&self, store: &mut Store<Account>, request: &Request) -> wasmtime::Result<Option<Vec<String>>> {
        let (pre, settings) = match &self.form {
            Form::Snapshot(exports) => (exports, None),
            Form::Configured { exports, settings, .. } => (exports, Some(settings)),
        };
        let instance = pre.instance_pre().instantiate(&mut *store)?;
        let Some(interface) = instance.get_export_index(&mut *store, None, TRACE) else { return Ok(None) };
        let function = |store: &mut Store<Account>, name| instance.get_export_index(store, Some(&interface), name);
        let (Some(start), Some(take)) = (function(store, "start"), function(store, "take")) else { return Ok(None) };
        let start = instance.get_typed_func::<(), ()>(&mut *store, start)?;
        let take = instance.get_typed_func::<(), (Vec<String>,)>(&mut *store, take)?;
        let exports = exports_loaded(store, &instance)?;
        if let Some(settings) = settings {
            // It took the same settings when it was loaded.
            drop(exports.landfall_policy_policy().call_configure(&mut *store, settings)?);
        }
        start.call(&mut *store, ())?;
        bindings::with_request(request, self.needs, |request| {
            exports.landfall_policy_policy().call_authorize(&mut *store, request)
        })?;
        let (notes,) = take.call(&mut *store, ())?;
        Ok(Some(notes))
    }

    fn call(
        &self,
        store: &mut Store<Account>,
        exports: &Exports,
        request: &Request,
    ) -> Result<Option<Denial>, Failure> {
        let answer = bindings::with_request(request, self.needs, |request| {
            exports.landfall_policy_policy().call_authorize(&mut *store, request)
        });
        let decision = answer.map_err(|error| limits::failure(&error, store))?;
        let denial = bindings::denial(&self.name, decision)?;
        Ok(if self.needs_pod() { denial.map(|denial| with_own_code(denial, &self.codes)) } else { denial })
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Settings may hold what is nobody's business: only their digest is shown.
        f.debug_struct("Module").field("name", &self.name).field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// The denial of a module that is given the pod: a code that may be from there is replaced.
pub(in crate::policy) fn with_own_code(denial: Denial, codes: &Codes) -> Denial {
    if codes.has(&denial.code) { denial } else { Denial { code: CODE_DENIED.to_owned(), ..denial } }
}

/// The digest of `bytes` as hex, as it stands in records.
pub fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

pub(in crate::policy) fn exports_of(host: &Host, component: &Component) -> Result<ExportsPre<Account>, LoadError> {
    let wrong = |error: wasmtime::Error| LoadError::WrongWorld(format!("{error:#}"));
    ExportsPre::new(host.linker.instantiate_pre(component).map_err(wrong)?).map_err(wrong)
}

/// A new instance that is not configured yet. Only instantiation sees whether records have the right fields.
pub(in crate::policy) fn instantiate(
    host: &Host,
    exports: &ExportsPre<Account>,
    limits: Limits,
) -> Result<(Store<Account>, Instance, Exports), LoadError> {
    let mut store = host.store(limits);
    limits::set_time(&mut store, limits.configure_time);
    let _running = host.ticker.running();
    let started = exports.instance_pre().instantiate(&mut store);
    let instance = started.map_err(|error| LoadError::Configure(limits::failure(&error, &store)))?;
    match exports_loaded(&mut store, &instance) {
        Ok(exports) => Ok((store, instance, exports)),
        Err(error) => Err(LoadError::WrongWorld(format!("{error:#}"))),
    }
}

fn exports_loaded(store: &mut Store<Account>, instance: &Instance) -> wasmtime::Result<Exports> {
    Exports::new(store, instance)
}

pub(in crate::policy) fn call_configure(
    host: &Host,
    store: &mut Store<Account>,
    exports: &Exports,
    settings: &str,
) -> Result<wit::Needs, LoadError> {
    let time = store.data().limits().configure_time;
    limits::set_time(store, time);
    let _running = host.ticker.running();
    let answer = exports.landfall_policy_policy().call_configure(&mut *store, settings);
    match answer {
        Ok(Ok(needs)) => Ok(needs),
        Ok(Err(message)) => Err(LoadError::Settings(decision::fit(&message))),
        Err(error) => Err(LoadError::Configure(limits::failure(&error, store))),
    }
}

/// A new instance that is configured as the one was that was tried when the module was loaded.
fn configured(store: &mut Store<Account>, exports: &ExportsPre<Account>, settings: &str) -> wasmtime::Result<Exports> {
    let exports = exports.instantiate(&mut *store)?;
    match exports.landfall_policy_policy().call_configure(store, settings)? {
        Ok(_) => Ok(exports),
        // It took the same settings when it was loaded.
        Err(message) => Err(wasmtime::Error::msg(format!("it refuses its settings: {message}"))),
    }
}
