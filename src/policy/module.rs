//! A module: prepared from its bytes, configured with its settings, asked for decisions.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest, Sha256};
use wasmtime::{
    Store,
    component::{Component, Instance},
};

use crate::{
    api::ids::Target,
    policy::{
        bindings::{self, INTERFACE, Module as Exports, ModulePre as ExportsPre, wit},
        decision::Denial,
        host::Host,
        inspect::{self, Unfit},
        limits::{self, Account, CONFIGURE_TIME, DECISION_TIME, Failure, MODULE_BYTES},
        request::{Creates, PodJson, Request, Workflow},
        snapshot,
    },
};

/// Idle instances that are kept of a module that can't be snapshotted. Each holds its memory.
const IDLE_INSTANCES_MAX: usize = 4;

/// A component compiled once, whatever settings it is given. Two with the same digest are the same.
pub struct Prepared {
    bytes: Arc<[u8]>,
    digest: String,
    component: Component,
    /// Why the component is the plain one, not one whose memory can be read out.
    unreadable: Option<String>,
}

/// A module that was configured and tried.
pub struct Module {
    name: String,
    digest: String,
    settings_digest: String,
    needs: wit::Needs,
    form: Form,
}

enum Form {
    /// Every instance begins configured.
    Snapshot(ExportsPre<Account>),
    /// Instances are configured when they are made, and used again.
    Pooled(Pool),
}

struct Pool {
    exports: ExportsPre<Account>,
    settings: String,
    idle: Mutex<Vec<(Store<Account>, Exports)>>,
    reason: String,
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
                Some("a panic looks like this: run the module's code in a test of its own language")
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
        let size = bytes.len() as u64;
        if size > MODULE_BYTES {
            return Err(LoadError::TooLarge { bytes: size });
        }
        inspect::inspect(&bytes)?;
        let digest = digest(&bytes);
        let invalid = |error: wasmtime::Error| LoadError::Invalid(format!("{error:#}"));
        let readable = snapshot::instrument(&bytes)
            .and_then(|instrumented| host.compile(&instrumented).map_err(|error| format!("{error:#}")));
        match readable {
            Ok(component) => Ok(Prepared { bytes, digest, component, unreadable: None }),
            Err(reason) => {
                let component = host.compile(&bytes).map_err(invalid)?;
                Ok(Prepared { bytes, digest, component, unreadable: Some(reason) })
            }
        }
    }

    /// The digest of the bytes, as hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Configures the component with `settings`, takes a snapshot and tries one request on it.
    ///
    /// # Errors
    ///
    /// It exports something else, refuses the settings, or a call does not end as it should.
    pub fn configure(&self, host: &Host, name: &str, settings: &serde_json::Value) -> Result<Module, LoadError> {
        let settings = settings.to_string();
        let exports = exports_of(host, &self.component)?;
        let (mut store, instance, running) = instantiate(host, &exports)?;
        let needs = call_configure(host, &mut store, &running, &settings)?;
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
            Ok(bytes) => {
                let component = host.compile(&bytes).map_err(|error| LoadError::Invalid(format!("{error:#}")))?;
                Form::Snapshot(exports_of(host, &component)?)
            }
            Err(reason) => Form::Pooled(Pool { exports, settings: settings.clone(), idle: Mutex::default(), reason }),
        };
        let settings_digest = digest(settings.as_bytes());
        let module = Module { name: name.to_owned(), digest: self.digest.clone(), settings_digest, needs, form };
        module.try_once(host)?;
        Ok(module)
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

    /// It is given the final pod.
    pub fn needs_pod(&self) -> bool {
        self.needs.contains(wit::Needs::POD)
    }

    /// Why no snapshot of it could be taken, if so.
    pub fn pooled_because(&self) -> Option<&str> {
        match &self.form {
            Form::Snapshot(_) => None,
            Form::Pooled(pool) => Some(&pool.reason),
        }
    }

    /// Asks the module the trial request. The answer does not matter, that there is one does.
    ///
    /// # Errors
    ///
    /// The call does not end as it should.
    pub fn try_once(&self, host: &Host) -> Result<(), LoadError> {
        self.ask(host, &trial_request()).map(drop).map_err(LoadError::Trial)
    }

    /// Asks the module. `None` is no objection. Whatever goes wrong is a failure, which the caller has to deny for.
    pub fn ask(&self, host: &Host, request: &Request) -> Result<Option<Denial>, Failure> {
        match &self.form {
            Form::Snapshot(exports) => {
                let mut store = limits::store(&host.engine);
                limits::set_time(&mut store, DECISION_TIME);
                let _running = host.ticker.running();
                let exports = exports.instantiate(&mut store).map_err(|error| limits::failure(&error, &store))?;
                self.call(&mut store, &exports, request)
            }
            Form::Pooled(pool) => {
                let (mut store, exports) = pool.take(host)?;
                limits::set_time(&mut store, DECISION_TIME);
                let _running = host.ticker.running();
                // After an error the instance is in no known state, and is dropped.
                let answer = self.call(&mut store, &exports, request)?;
                pool.put_back(store, exports);
                Ok(answer)
            }
        }
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
        Ok(bindings::denial(&self.name, decision))
    }
}

impl Pool {
    fn take(&self, host: &Host) -> Result<(Store<Account>, Exports), Failure> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(instance) = idle {
            return Ok(instance);
        }
        let failed = |error: LoadError| match error {
            LoadError::Configure(failure) | LoadError::Trial(failure) => failure,
            LoadError::TooLarge { .. }
            | LoadError::Unfit(_)
            | LoadError::Invalid(_)
            | LoadError::WrongWorld(_)
            | LoadError::Settings(_) => {
                Failure { code: crate::policy::decision::CODE_MODULE_FAILED, message: error.to_string() }
            }
        };
        let (mut store, _, exports) = instantiate(host, &self.exports).map_err(failed)?;
        call_configure(host, &mut store, &exports, &self.settings).map_err(failed)?;
        Ok((store, exports))
    }

    fn put_back(&self, store: Store<Account>, exports: Exports) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_INSTANCES_MAX {
            idle.push((store, exports));
        }
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Settings may hold what is nobody's business: only their digest is shown.
        f.debug_struct("Module").field("name", &self.name).field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// The digest of `bytes` as hex, as it stands in records.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn exports_of(host: &Host, component: &Component) -> Result<ExportsPre<Account>, LoadError> {
    let wrong = |error: wasmtime::Error| LoadError::WrongWorld(format!("{error:#}"));
    ExportsPre::new(host.linker.instantiate_pre(component).map_err(wrong)?).map_err(wrong)
}

/// A new instance that is not configured yet. Only instantiation sees whether records have the right fields.
fn instantiate(host: &Host, exports: &ExportsPre<Account>) -> Result<(Store<Account>, Instance, Exports), LoadError> {
    let mut store = limits::store(&host.engine);
    limits::set_time(&mut store, CONFIGURE_TIME);
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

fn call_configure(
    host: &Host,
    store: &mut Store<Account>,
    exports: &Exports,
    settings: &str,
) -> Result<wit::Needs, LoadError> {
    limits::set_time(store, CONFIGURE_TIME);
    let _running = host.ticker.running();
    let answer = exports.landfall_policy_policy().call_configure(&mut *store, settings);
    match answer {
        Ok(Ok(needs)) => Ok(needs),
        Ok(Err(message)) => Err(LoadError::Settings(message)),
        Err(error) => Err(LoadError::Configure(limits::failure(&error, store))),
    }
}

/// The request that each module is tried on when it is loaded. The answer does not matter.
fn trial_request() -> Request {
    let name = "landfall-trial";
    let label = || name.parse().expect("a DNS label");
    Request {
        home: label(),
        workflow: Workflow {
            namespace: name.parse().expect("a DNS label"),
            name: name.to_owned(),
            uid: "00000000-0000-0000-0000-000000000000".to_owned(),
        },
        template: name.to_owned(),
        target: Target { cluster: label(), namespace: name.parse().expect("a DNS label") },
        service_account: String::new(),
        creates: Creates::Pod,
        pod: Some(PodJson::from(
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"landfall-trial"},"spec":{"containers":[]}}"#
                .to_owned(),
        )),
        attributes: Vec::new(),
    }
}
