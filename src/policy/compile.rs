//! Compiling components beside the decisions that go on: on threads of its own, and no function twice.
//!
//! A module is compiled once so that it can be configured, and once more for each snapshot of its memory, in which only
//! data differs. A new version of a module has most functions of the old one, and modules in one language share those of
//! its libraries. What became of each function is therefore kept with the module, up to a limit, and the next module finds it.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::Context;
use rayon::{ThreadPool, ThreadPoolBuilder};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use wasmtime::{CacheStore, Config, Engine, component::Component};

/// Compiled functions that are kept of one module while it is loaded: a few times what Python's interpreter needs.
const BYTES_MAX: usize = 256 << 20;
/// The same once it is loaded, for the next change of its settings. An interpreter's functions are more than that: it is
/// compiled again when its settings change, which takes seconds, and until then takes no memory for it.
const BYTES_KEPT_MAX: usize = 16 << 20;

/// Compiles for one engine.
pub struct Compiler {
    threads: ThreadPool,
    /// What the component that is compiled now may use: an engine has one store for all it ever compiles.
    current: Arc<Current>,
    /// One component is compiled at a time; each takes all threads.
    turn: Mutex<()>,
    compilations: AtomicU64,
}

/// The compiled functions of one module.
#[derive(Default)]
pub struct Functions(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Modules that have a function in common share it.
    code: HashMap<Vec<u8>, Arc<[u8]>>,
    bytes: usize,
    /// They were too many to be kept.
    is_trimmed: bool,
}

/// What the engine is given: it looks up functions in those of the module whose turn it is.
#[derive(Default)]
struct Current(Mutex<Option<Turn>>);

#[derive(Clone)]
struct Turn {
    functions: Arc<Functions>,
    relatives: Arc<[Arc<Functions>]>,
}

impl Compiler {
    /// A compiler for the engine that `config` will be for.
    ///
    /// # Errors
    ///
    /// The machine refuses the threads.
    pub fn new(config: &mut Config) -> anyhow::Result<Compiler> {
        let current = Arc::new(Current::default());
        config.enable_incremental_compilation(Arc::<Current>::clone(&current))?;
        let threads = ThreadPoolBuilder::new()
            .num_threads(threads())
            .thread_name(|_| "policy-compile".to_owned())
            .start_handler(|_| yield_to_decisions())
            .build()
            .context("starting threads that compile")?;
        Ok(Compiler { threads, current, turn: Mutex::default(), compilations: AtomicU64::new(0) })
    }

    /// Compiles a component, whose functions may be among `functions` or those of its `relatives`, and are among
    /// `functions` afterwards.
    ///
    /// # Errors
    ///
    /// The component is invalid.
    pub fn compile(
        &self,
        engine: &Engine,
        bytes: &[u8],
        functions: &Arc<Functions>,
        relatives: &[Arc<Functions>],
    ) -> wasmtime::Result<Component> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.compilations.fetch_add(1, Ordering::Relaxed);
        self.current.set(Some(Turn { functions: Arc::clone(functions), relatives: relatives.into() }));
        let compiled = self.threads.install(|| Component::new(engine, bytes));
        self.current.set(None);
        compiled
    }

    /// How many components were compiled so far.
    pub fn compilations(&self) -> u64 {
        self.compilations.load(Ordering::Relaxed)
    }
}

/// As many as processors: where one decides, it does not wait for them.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Gives this thread the least share of a processor that others want. Where that is not allowed, it takes its full share.
fn yield_to_decisions() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy) {
        tracing::debug!(%error, "modules are compiled at the priority of decisions");
    }
}

impl Functions {
    /// Forgets them if they are many, once the module is loaded.
    pub fn trim(&self) {
        let mut known = self.known();
        if known.bytes > BYTES_KEPT_MAX {
            *known = Known { is_trimmed: true, ..Known::default() };
        }
    }

    /// They are too many to be kept, so that another compilation takes as long as the first.
    pub fn are_many(&self) -> bool {
        let known = self.known();
        known.is_trimmed || known.bytes > BYTES_KEPT_MAX
    }

    fn get(&self, key: &[u8]) -> Option<Arc<[u8]>> {
        self.known().code.get(key).cloned()
    }

    fn insert(&self, key: &[u8], code: Arc<[u8]>) -> bool {
        let mut known = self.known();
        let bytes = known.bytes.saturating_add(key.len()).saturating_add(code.len());
        if bytes > BYTES_MAX {
            return false;
        }
        known.bytes = bytes;
        known.code.insert(key.to_owned(), code);
        true
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn set(&self, turn: Option<Turn>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = turn;
    }

    fn turn(&self) -> Option<Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl CacheStore for Current {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let Turn { functions, relatives } = self.turn()?;
        if let Some(code) = functions.get(key) {
            return Some(Cow::Owned(code.to_vec()));
        }
        let code = relatives.iter().find_map(|relative| relative.get(key))?;
        let copy = code.to_vec();
        functions.insert(key, code);
        Some(Cow::Owned(copy))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        self.turn().is_some_and(|turn| turn.functions.insert(key, value.into()))
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wasmtime::CacheStore;

    use super::{Current, Functions, Turn};

    #[test]
    fn functions_of_a_relative_are_found_and_kept() {
        let [own, relative] = [(); 2].map(|()| Arc::new(Functions::default()));
        relative.insert(b"key", Arc::from(b"code".as_slice()));
        let current = Current::default();
        assert!(current.get(b"key").is_none());
        current.set(Some(Turn { functions: Arc::clone(&own), relatives: [relative].into() }));
        assert_eq!(current.get(b"key").as_deref(), Some(b"code".as_slice()));
        assert_eq!(own.get(b"key").as_deref(), Some(b"code".as_slice()));
        assert!(current.get(b"another").is_none());
    }
}
