//! The thread that asks shadows: what was decided is handed over once it is decided, and compared beside the decisions that
//! follow. Whatever a shadow does, no decision waits for it.
//!
//! The record of a decision waits for its shadows. Where they are slower than decisions come, some decisions are recorded
//! without them; how many is counted.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::policy::{
    audit::Records,
    decision::{Decision, Difference},
    host::Host,
    request::Request,
    state::Differences,
    store::{Chain, Said},
};

/// Decisions that wait for the thread. Each holds its pod, some KiB, and a burst of a large workflow has to fit.
const QUEUE_MAX: usize = 256;

/// The thread, and what it found.
pub struct Shadows {
    records: Arc<Records>,
    /// Nothing once it was ended.
    sender: RwLock<Option<SyncSender<Decided>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    tally: Arc<Tally>,
}

/// A decision, and all that it takes to ask its shadows the same.
pub struct Decided {
    /// What decided.
    pub chain: Arc<Chain>,
    /// What was asked.
    pub request: Request,
    /// What was answered.
    pub decision: Decision,
    /// What the modules said that count.
    pub said: Vec<Said>,
    /// How long the answer took.
    pub took: Duration,
}

#[derive(Default)]
struct Tally {
    /// What is queued is only recorded.
    ending: AtomicBool,
    skipped: AtomicU64,
    /// How often each shadow in force differed from what was decided.
    differences: Mutex<BTreeMap<String, BTreeMap<Difference, u64>>>,
}

impl Shadows {
    /// Starts the thread. It tells `records` of each decision that is handed over.
    ///
    /// # Errors
    ///
    /// The machine refuses the thread.
    pub fn start(host: Arc<Host>, records: Arc<Records>) -> io::Result<Shadows> {
        let (sender, queue) = mpsc::sync_channel(QUEUE_MAX);
        let tally = Arc::new(Tally::default());
        let (thread_records, thread_tally) = (Arc::clone(&records), Arc::clone(&tally));
        let thread = thread::Builder::new()
            .name("policy-shadows".to_owned())
            .spawn(move || compare_all(&host, &queue, &thread_records, &thread_tally))?;
        Ok(Shadows { records, sender: RwLock::new(Some(sender)), thread: Mutex::new(Some(thread)), tally })
    }

    /// Takes a decision, without waiting for anything.
    pub fn compare(&self, decided: Decided) {
        let sender = self.sender.read().unwrap_or_else(PoisonError::into_inner);
        let refused = match sender.as_ref() {
            None => Some(decided),
            Some(sender) => match sender.try_send(decided) {
                Ok(()) => None,
                Err(TrySendError::Full(decided) | TrySendError::Disconnected(decided)) => Some(decided),
            },
        };
        if let Some(decided) = refused {
            self.tally.skip(&self.records, decided);
        }
    }

    /// These are the shadows in force; the counts of others are dropped.
    pub fn keep(&self, names: &[&str]) {
        let mut differences = self.tally.differences();
        differences.retain(|name, _| names.contains(&name.as_str()));
        for name in names {
            differences.entry((*name).to_owned()).or_default();
        }
    }

    /// How often each shadow in force differed, since it is one.
    pub fn differences(&self) -> Vec<Differences> {
        let mut found = Vec::new();
        for (module, counts) in self.tally.differences().iter() {
            for (difference, count) in counts {
                found.push(Differences { module: module.clone(), difference: *difference, count: *count });
            }
        }
        found
    }

    /// How many decisions no shadow was asked about, because there were too many.
    pub fn skipped(&self) -> u64 {
        self.tally.skipped.load(Ordering::Relaxed)
    }

    /// Records what is queued, without asking more, and takes no more. The second call does nothing.
    pub fn end(&self) {
        self.tally.ending.store(true, Ordering::SeqCst);
        drop(self.sender.write().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // If it panicked, what was queued is lost, and there is nothing left to do about it.
            drop(thread.join());
        }
    }
}

impl Drop for Shadows {
    fn drop(&mut self) {
        self.end();
    }
}

impl Tally {
    fn differences(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<Difference, u64>>> {
        self.differences.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn skip(&self, records: &Records, decided: Decided) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
        decided.record(records);
    }

    fn count(&self, said: &Said, is_allowed: bool) {
        if let Some(difference) = said.difference(is_allowed)
            // A decision of a set that was replaced may come late.
            && let Some(counts) = self.differences().get_mut(said.module())
        {
            *counts.entry(difference).or_default() += 1;
        }
    }
}

impl Decided {
    fn record(self, records: &Records) {
        let Decided { chain, request, decision, said, took } = self;
        records.tell(&request, &decision, (&chain.digest, said), took);
    }
}

fn compare_all(host: &Host, queue: &Receiver<Decided>, records: &Records, tally: &Tally) {
    for mut decided in queue {
        if tally.ending.load(Ordering::SeqCst) {
            tally.skip(records, decided);
            continue;
        }
        for said in decided.chain.ask_shadows(host, &decided.request) {
            tally.count(&said, decided.decision.is_allowed());
            decided.said.push(said);
        }
        decided.record(records);
    }
}
