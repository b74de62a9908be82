//! The wasmtime side: one engine for all modules; loading a module with its settings; asking it.
//!
//! Loading takes a tenth of a second and happens at start and reload. Asking takes some microseconds: a fresh instance
//! starts from the memory that `configure` left behind, answers one request and is dropped. Which modules, in which
//! order, is not here (`store`), nor when to load (`reload`).

use std::{
    num::NonZeroUsize,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
    component::{Component, Linker},
};

use crate::policy::{
    compile::{Compiler, Functions},
    config::MODULES_MAX,
    limits::{self, Account, Limits, MEMORY_BYTES_MAX, STACK_BYTES, TABLE_ELEMENTS, Ticker},
};

/// Decisions at one time, at most: more threads than this only take the processor from each other.
const DECISIONS_AT_ONCE_MAX: usize = 16;
/// Shadows that are asked at one time.
const SHADOWS_AT_ONCE: usize = 1;
/// Instances that exist at one time, in all modules: one for each turn, one for shadows, and one for each module of a set
/// that is being configured and tried. The rest is for tools, which ask without a turn. No instance is ever kept idle, so the pool can't
/// run out, however many sets are in use while one replaces another. Address space only.
const INSTANCES_MAX: u32 = 64;
/// Core modules of one component. Python's has 38; one with more is refused when it is loaded, not in a decision.
const CORE_INSTANCES_PER_COMPONENT_MAX: u32 = 64;
/// Linear memories of one component. JavaScript's has 3, those of its adapters among them.
const MEMORIES_PER_COMPONENT_MAX: u32 = 8;
/// Tables of one component. JavaScript's has 3.
const TABLES_PER_COMPONENT_MAX: u32 = 8;
const _: () = assert!(
    DECISIONS_AT_ONCE_MAX + SHADOWS_AT_ONCE + MODULES_MAX <= INSTANCES_MAX as usize,
    "the pool is never exhausted"
);
/// An instance's memory up to here stays mapped between decisions, where the kernel can say which pages were written.
const RESIDENT_BYTES: usize = 4 << 20;
/// The same where the kernel can't, so that all of it is wiped each time.
const RESIDENT_BYTES_BLIND: usize = 128 << 10;
/// The same for tables.
const RESIDENT_TABLE_BYTES: usize = 64 << 10;
/// Memories of at most this size are mapped from an image: all are.
const IMAGE_BYTES_MAX: u64 = 64 << 20;

/// What a store of a metering host begins with: more than runs in any limit of time.
const FUEL: u64 = u64::MAX;

/// One engine, its ticker, and the turns at which decisions run.
pub struct Host {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<Account>,
    pub(crate) ticker: Ticker,
    compiler: Compiler,
    turns: Turns,
    /// Instructions are counted.
    metering: bool,
}

/// What running something took. Both are the same on every machine, as long as this program is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Instructions, about; 0 unless the host is [metering](Host::metering).
    pub fuel: u64,
    /// Memory, all linear memories together.
    pub memory_bytes: u64,
}

/// So many may run at once; who comes later waits. A full pool is no reason to deny.
struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A turn, until it is dropped.
pub struct Turn<'a>(&'a Turns);

impl Host {
    /// Sets up the engine.
    ///
    /// # Errors
    ///
    /// The machine refuses the address space or the thread.
    pub fn new() -> anyhow::Result<Arc<Host>> {
        let mut config = engine_config();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
        Host::with(config, false)
    }

    /// A host for tools that measure: it counts the instructions that modules execute, and takes modules that have more
    /// memories than one. It is slower than that of the controller.
    ///
    /// # Errors
    ///
    /// The machine refuses the thread.
    pub fn metering() -> anyhow::Result<Arc<Host>> {
        let mut config = engine_config();
        config.consume_fuel(true);
        Host::with(config, true)
    }

    fn with(mut config: Config, metering: bool) -> anyhow::Result<Arc<Host>> {
        let compiler = Compiler::new(&mut config)?;
        let engine = Engine::new(&config).map_err(anyhow::Error::from)?;
        let linker = Linker::new(&engine);
        let ticker = Ticker::start(engine.clone())?;
        let turns = Turns { free: Mutex::new(Host::decisions_at_once()), freed: Condvar::new() };
        Ok(Arc::new(Host { engine, linker, ticker, compiler, turns, metering }))
    }

    /// How many decisions run at the same time.
    pub fn decisions_at_once() -> usize {
        thread::available_parallelism().map_or(2, NonZeroUsize::get).clamp(2, DECISIONS_AT_ONCE_MAX)
    }

    /// Waits for a turn to decide.
    pub fn turn(&self) -> Turn<'_> {
        let mut free = self.turns.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self.turns.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Turn(&self.turns)
    }

    /// A store for one instance, which is to keep within `limits`; the time still has to be set before each call.
    pub(crate) fn store(&self, limits: Limits) -> Store<Account> {
        let mut store = limits::store(&self.engine, limits);
        if self.metering {
            // Fuel only counts here. It is time that limits.
            store.set_fuel(FUEL).expect("this engine counts instructions");
        }
        store
    }

    /// What ran in `store` so far, and the memory that it took.
    pub(crate) fn cost(&self, store: &Store<Account>) -> Cost {
        let left = if self.metering { store.get_fuel().unwrap_or(FUEL) } else { FUEL };
        Cost { fuel: FUEL - left, memory_bytes: store.data().memory_bytes() as u64 }
    }

    /// Compiles a component; `functions` are those of its module that were compiled before, and `relatives` those of other
    /// modules that may be the same.
    pub(crate) fn compile(
        &self,
        bytes: &[u8],
        functions: &Arc<Functions>,
        relatives: &[Arc<Functions>],
    ) -> wasmtime::Result<Component> {
        self.compiler.compile(&self.engine, bytes, functions, relatives)
    }

    /// How many components were compiled so far: reloads that change nothing compile nothing.
    pub fn compilations(&self) -> u64 {
        self.compiler.compilations()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

fn pool() -> PoolingAllocationConfig {
    let scan = PoolingAllocationConfig::is_pagemap_scan_available();
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES_MAX)
        .total_core_instances(INSTANCES_MAX * CORE_INSTANCES_PER_COMPONENT_MAX)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT_MAX)
        .total_memories(INSTANCES_MAX * MEMORIES_PER_COMPONENT_MAX)
        .max_memories_per_component(MEMORIES_PER_COMPONENT_MAX)
        .total_tables(INSTANCES_MAX * TABLES_PER_COMPONENT_MAX)
        .max_tables_per_component(TABLES_PER_COMPONENT_MAX)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(MEMORY_BYTES_MAX)
        .linear_memory_keep_resident(if scan { RESIDENT_BYTES } else { RESIDENT_BYTES_BLIND })
        .table_keep_resident(RESIDENT_TABLE_BYTES)
        .pagemap_scan(Enabled::Auto);
    pool
}

fn engine_config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .memory_init_cow(true)
        .memory_guaranteed_dense_image_size(IMAGE_BYTES_MAX)
        // Bit patterns of NaN differ between machines; decisions may not.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .max_wasm_stack(STACK_BYTES)
        // A trap is dropped with its instance: nobody reads a backtrace, and taking one costs.
        .wasm_backtrace_max_frames(None);
    config
}
