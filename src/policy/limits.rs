//! The limits that a module runs under, and what is said when one is exceeded.
//!
//! [`Limits`] can be set in the configuration, between bounds that stand here; the rest is fixed. The stack is, because it
//! belongs to the engine, which all modules share.
//!
//! Time is the processor time of the deciding thread, not time on the wall: on a machine that is busy, a thread can wait
//! for its turn longer than a decision may take, and a denial is final. A ticker of one millisecond interrupts the module;
//! only then is the clock read.

use std::{
    fmt,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::time::{ClockId, clock_gettime};
use wasmtime::{Engine, ResourceLimiter, Store, Trap, UpdateDeadline};

use crate::policy::decision::{
    CODE_MEMORY_LIMIT, CODE_MODULE_FAILED, CODE_MODULE_TRAPPED, CODE_RESULT_LIMIT, CODE_STACK_LIMIT, CODE_TIME_LIMIT,
};

/// Processor time of one decision, unless configured otherwise: a thousand times what the built-in module takes.
pub const DECISION_TIME: Duration = Duration::from_millis(10);
/// What it may be configured to. The ticker looks once in a millisecond; and a step of a workflow waits for its decision.
pub const DECISION_MILLISECONDS: RangeInclusive<u64> = 1..=1000;

/// Processor time of `configure`, unless configured otherwise: once a load, and interpreters have to start in it.
pub const CONFIGURE_TIME: Duration = Duration::from_secs(2);
/// What it may be configured to. In less no interpreter starts; and a reload may take that long for each module.
pub const CONFIGURE_MILLISECONDS: RangeInclusive<u64> = 10..=10_000;

/// Memory of an instance, all its linear memories together, unless configured otherwise.
pub const MEMORY_BYTES: usize = 16 << 20;
/// The most that it may be configured to: times the decisions at one time, this has to fit into the controller's memory.
pub const MEMORY_BYTES_MAX: usize = 64 << 20;
/// What it may be configured to.
pub const MEMORY_MEBIBYTES: RangeInclusive<u64> = 1..=(MEMORY_BYTES_MAX >> 20) as u64;

/// Everything that one call gives back, unless configured otherwise.
pub const RESULT_BYTES: usize = 64 << 10;
/// What it may be configured to. All that is kept of a denial fits into the least; the host copies it for each decision.
pub const RESULT_KIBIBYTES: RangeInclusive<u64> = 8..=1024;

/// Table elements of an instance: function pointers, for which languages need some thousands.
pub const TABLE_ELEMENTS: usize = 100_000;
/// A module's file: Python's interpreter alone is 18 MB.
pub const MODULE_BYTES: u64 = 32 << 20;
/// Stack of a module's calls.
pub const STACK_BYTES: usize = 256 << 10;

/// How often a running module is interrupted.
const TICK: Duration = Duration::from_millis(1);
/// The ticker stops after so many ticks in which nothing ran: waking it costs more than a decision.
const IDLE_TICKS_MAX: u32 = 100;

/// The limits of one module that can be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Processor time of one decision.
    pub decision_time: Duration,
    /// Processor time of `configure`.
    pub configure_time: Duration,
    /// Memory, all linear memories of an instance together.
    pub memory_bytes: usize,
    /// Everything that one call gives back.
    pub result_bytes: usize,
}

/// Why a call of a module had no result. None of these is ever an allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// One of the host's codes.
    pub code: &'static str,
    /// What happened.
    pub message: String,
}

/// What the host keeps for an instance: what it may have, and how much memory it took.
#[derive(Debug)]
pub struct Account {
    limits: Limits,
    bytes: usize,
    exceeded: bool,
}

/// The module used up its time.
#[derive(Debug, thiserror::Error)]
#[error("the module used more than {} ms of processor time", .0.as_millis())]
struct OutOfTime(Duration);

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            decision_time: DECISION_TIME,
            configure_time: CONFIGURE_TIME,
            memory_bytes: MEMORY_BYTES,
            result_bytes: RESULT_BYTES,
        }
    }
}

/// All of them, in one unit each: part of what the digest of a set is made of.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limits { decision_time, configure_time, memory_bytes, result_bytes } = self;
        let [decision, configure] = [decision_time, configure_time].map(Duration::as_millis);
        write!(f, "{decision}ms {configure}ms {memory_bytes}B {result_bytes}B")
    }
}

impl Account {
    /// What the instance may have.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The memory that it took so far, all linear memories together. There is no giving back.
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }
}

impl ResourceLimiter for Account {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.bytes.saturating_add(desired.saturating_sub(current));
        if total > self.limits.memory_bytes {
            self.exceeded = true;
            return Ok(false);
        }
        self.bytes = total;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}

/// A store whose instance is under `limits`; the time still has to be set before each call.
pub fn store(engine: &Engine, limits: Limits) -> Store<Account> {
    let mut store = Store::new(engine, Account { limits, bytes: 0, exceeded: false });
    store.limiter(|account| account);
    store.set_hostcall_fuel(limits.result_bytes);
    store
}

/// Gives the calls that follow `limit` of this thread's processor time.
pub fn set_time(store: &mut Store<Account>, limit: Duration) {
    let start = thread_time();
    store.set_epoch_deadline(ticks(limit));
    store.epoch_deadline_callback(move |_| {
        // A system without that clock stops a module at the first look.
        let used = start.zip(thread_time()).map_or(limit, |(start, now)| now.saturating_sub(start));
        match limit.checked_sub(used) {
            Some(left) if !left.is_zero() => Ok(UpdateDeadline::Continue(ticks(left))),
            Some(_) | None => Err(OutOfTime(limit).into()),
        }
    });
}

/// What `error`, the end of a call in `store`, was.
pub fn failure(error: &wasmtime::Error, store: &Store<Account>) -> Failure {
    let stopped = |code, message: String| Failure { code, message };
    if let Some(out_of_time) = error.downcast_ref::<OutOfTime>() {
        return stopped(CODE_TIME_LIMIT, out_of_time.to_string());
    }
    // A module that is refused memory usually traps on its own: the trap says nothing, the refusal does.
    let Account { limits, exceeded, .. } = store.data();
    if *exceeded {
        let mebibytes = limits.memory_bytes >> 20;
        return stopped(CODE_MEMORY_LIMIT, format!("the module wanted more than {mebibytes} MiB of memory"));
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => {
            stopped(CODE_STACK_LIMIT, format!("the module's calls need more than {} KiB of stack", STACK_BYTES >> 10))
        }
        Some(trap) => {
            let trap = trap.to_string();
            let trap = trap.strip_prefix("wasm trap: ").unwrap_or(&trap);
            stopped(CODE_MODULE_TRAPPED, format!("the module trapped: {trap}"))
        }
        // The runtime has no public type for this.
        None if error.root_cause().to_string().contains("fuel") => {
            let kibibytes = limits.result_bytes >> 10;
            stopped(CODE_RESULT_LIMIT, format!("the module's answer is longer than {kibibytes} KiB"))
        }
        None => stopped(CODE_MODULE_FAILED, format!("the module failed: {error:#}")),
    }
}

/// Advances the engine's epoch while something runs, and sleeps while nothing does.
pub struct Ticker {
    state: Arc<TickerState>,
    thread: Option<JoinHandle<()>>,
}

/// While this lives, the ticker ticks.
pub struct Running<'a>(&'a TickerState);

#[derive(Default)]
struct TickerState {
    running: AtomicUsize,
    parked: AtomicBool,
    stopping: AtomicBool,
}

impl Ticker {
    /// Starts the thread.
    pub fn start(engine: Engine) -> std::io::Result<Ticker> {
        let state = Arc::new(TickerState::default());
        let shared = Arc::clone(&state);
        let thread = thread::Builder::new().name("policy-ticker".to_owned()).spawn(move || shared.tick(&engine))?;
        Ok(Ticker { state, thread: Some(thread) })
    }

    /// To be held during each call of a module.
    pub fn running(&self) -> Running<'_> {
        self.state.running.fetch_add(1, Ordering::SeqCst);
        if self.state.parked.load(Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Running(&self.state)
    }
}

impl TickerState {
    fn tick(&self, engine: &Engine) {
        let mut idle = 0;
        while !self.stopping.load(Ordering::SeqCst) {
            if self.running.load(Ordering::SeqCst) > 0 {
                idle = 0;
            } else {
                idle += 1;
            }
            if idle > IDLE_TICKS_MAX {
                // First say so, then look once more: whoever starts in between sees it and wakes this thread.
                self.parked.store(true, Ordering::SeqCst);
                if self.running.load(Ordering::SeqCst) == 0 && !self.stopping.load(Ordering::SeqCst) {
                    thread::park();
                }
                self.parked.store(false, Ordering::SeqCst);
                idle = 0;
            }
            thread::sleep(TICK);
            engine.increment_epoch();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.stopping.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread only sleeps and counts; were it to panic there would be nothing left to do about it.
            drop(thread.join());
        }
    }
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX).max(1)
}

/// The processor time of this thread so far.
fn thread_time() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).ok().map(Duration::from)
}
