//! The limits that a module runs under, and what is said when one is exceeded.
//!
//! Time is the processor time of the deciding thread, not time on the wall: on a machine that is busy, a thread can wait
//! for its turn longer than a decision may take, and a denial is final. A ticker of one millisecond interrupts the module;
//! only then is the clock read.

use std::{
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

/// Processor time of one decision: a thousand times what the built-in module takes.
pub const DECISION_TIME: Duration = Duration::from_millis(10);
/// Processor time of `configure`: once a load, and interpreters have to start in it.
pub const CONFIGURE_TIME: Duration = Duration::from_secs(2);
/// Memory of an instance, all its linear memories together.
pub const MEMORY_BYTES: usize = 16 << 20;
/// Table elements of an instance: function pointers, for which languages need some thousands.
pub const TABLE_ELEMENTS: usize = 100_000;
/// Everything that one call gives back.
pub const RESULT_BYTES: usize = 64 << 10;
/// A module's file: Python's interpreter alone is 18 MB.
pub const MODULE_BYTES: u64 = 32 << 20;
/// Stack of a module's calls.
pub const STACK_BYTES: usize = 256 << 10;

/// How often a running module is interrupted.
const TICK: Duration = Duration::from_millis(1);
/// The ticker stops after so many ticks in which nothing ran: waking it costs more than a decision.
const IDLE_TICKS_MAX: u32 = 100;

/// Why a call of a module had no result. None of these is ever an allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// One of the host's codes.
    pub code: &'static str,
    /// What happened.
    pub message: String,
}

/// What the host keeps for an instance: how much memory it took.
#[derive(Debug, Default)]
pub struct Account {
    bytes: usize,
    exceeded: bool,
}

/// The module used up its time.
#[derive(Debug, thiserror::Error)]
#[error("the module used more than {} ms of processor time", .0.as_millis())]
struct OutOfTime(Duration);

impl ResourceLimiter for Account {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.bytes.saturating_add(desired.saturating_sub(current));
        if total > MEMORY_BYTES {
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

/// A store whose instance is under the limits; `time` still has to be set before each call.
pub fn store(engine: &Engine) -> Store<Account> {
    let mut store = Store::new(engine, Account::default());
    store.limiter(|account| account);
    store.set_hostcall_fuel(RESULT_BYTES);
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
    if store.data().exceeded {
        return stopped(CODE_MEMORY_LIMIT, format!("the module wanted more than {} MiB of memory", MEMORY_BYTES >> 20));
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
            stopped(CODE_RESULT_LIMIT, format!("the module's answer is longer than {} KiB", RESULT_BYTES >> 10))
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
