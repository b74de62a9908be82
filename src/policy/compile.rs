//! Compiling components beside the decisions that go on: on threads of its own, and no function twice.
//!
//! A module is compiled once so that it can be configured, and once more for each snapshot of its memory, in which only
//! data differs. What became of each function is therefore kept with the module, up to a limit.

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
use wasmtime::{CacheStore, Config, Engine, component::Component};

/// Compiled functions that are kept of one module while it is loaded: a few times what Python's interpreter needs.
const BYTES_MAX: usize = 256 << 20;
/// The same once it is loaded, for the next change of its settings. An interpreter's functions are more than that: it is
/// compiled again when its settings change, which takes seconds, and until then takes no memory for it.
const BYTES_KEPT_MAX: usize = 16 << 20;

/// Compiles for one engine.
pub struct Compiler {
    threads: ThreadPool,
    /// The functions of the component that is compiled now: an engine has one store for all it ever compiles.
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
    code: HashMap<Vec<u8>, Vec<u8>>,
    bytes: usize,
    /// They were too many to be kept.
    is_trimmed: bool,
}

/// What the engine is given: it looks up functions in those of the module whose turn it is.
#[derive(Default)]
struct Current(Mutex<Option<Arc<Functions>>>);

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
            .build()
            .context("starting threads that compile")?;
        Ok(Compiler { threads, current, turn: Mutex::default(), compilations: AtomicU64::new(0) })
    }

    /// Compiles a component, whose functions may be among `functions`, and are so afterwards.
    ///
    /// # Errors
    ///
    /// The component is invalid.
    pub fn compile(&self, engine: &Engine, bytes: &[u8], functions: &Arc<Functions>) -> wasmtime::Result<Component> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.compilations.fetch_add(1, Ordering::Relaxed);
        self.current.set(Some(Arc::clone(functions)));
        let compiled = self.threads.install(|| Component::new(engine, bytes));
        self.current.set(None);
        compiled
    }

    /// How many components were compiled so far.
    pub fn compilations(&self) -> u64 {
        self.compilations.load(Ordering::Relaxed)
    }
}

/// As many as processors, but for one that goes on deciding.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get).saturating_sub(1).max(1)
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

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn set(&self, functions: Option<Arc<Functions>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = functions;
    }

    fn functions(&self) -> Option<Arc<Functions>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl CacheStore for Current {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let functions = self.functions()?;
        let known = functions.known();
        known.code.get(key).cloned().map(Cow::Owned)
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        let Some(functions) = self.functions() else { return false };
        let mut known = functions.known();
        let bytes = known.bytes.saturating_add(key.len()).saturating_add(value.len());
        if bytes > BYTES_MAX {
            return false;
        }
        known.bytes = bytes;
        known.code.insert(key.to_owned(), value);
        true
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}
