//! Writes decision records down, one line of JSON each, on a thread of its own: no decision waits for a disk.
//!
//! The queue before it is bounded. A record that finds it full, or that can't be written, is lost; the loss is counted, and
//! told in the log at most every few seconds. At the end everything that is queued is written. Which records there are is
//! not here (`audit`), nor when a file is full (`rotation`).

use std::{
    fmt::Display,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::policy::{
    audit::Record,
    rotation::{Limits, Rotating},
};

/// Records that wait to be written. A disk may stand still for a second at ten thousand decisions a second, and what waits
/// takes some megabytes.
const QUEUE_MAX: usize = 8192;
/// Bytes that are written at once, if so many wait.
const BATCH_BYTES: usize = 64 << 10;
/// How often at most the log tells of losses.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How long the end waits for what is queued: a reader that has stopped reading must not hold up the end for ever.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// Where records go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sink {
    /// Nowhere.
    #[default]
    Off,
    /// To standard output.
    Stdout,
    /// To a file, which is made where there is none, and added to where there is one; or to a pipe or device.
    File {
        /// The newest file; older ones have a number at the end.
        path: PathBuf,
        /// How much is kept.
        limits: Limits,
    },
}

/// The thread and the queue before it.
#[derive(Debug)]
pub struct Recorder {
    /// Nothing once it was ended.
    sender: RwLock<Option<SyncSender<Arc<Record>>>>,
    writer: Mutex<Option<Writer>>,
    tally: Arc<Tally>,
}

#[derive(Debug)]
struct Writer {
    thread: JoinHandle<()>,
    /// It is closed when the thread has ended.
    ended: Receiver<()>,
}

/// What became of records.
#[derive(Debug, Default)]
struct Tally {
    queued: AtomicU64,
    written: AtomicU64,
    lost: AtomicU64,
    told: Mutex<Told>,
}

/// What the log was told of losses.
#[derive(Debug, Default)]
struct Told {
    lost: u64,
    at: Option<Instant>,
}

enum Output {
    Stdout,
    File(Rotating),
}

impl Recorder {
    /// Starts the thread; `None`: there is nowhere to write to.
    ///
    /// # Errors
    /// The file can't be opened, or the machine refuses the thread.
    pub fn start(sink: &Sink) -> anyhow::Result<Option<Recorder>> {
        let output = match sink {
            Sink::Off => return Ok(None),
            Sink::Stdout => Output::Stdout,
            Sink::File { path, limits } => {
                let opened = Rotating::open(path, *limits);
                Output::File(opened.with_context(|| format!("opening {} for decision records", path.display()))?)
            }
        };
        let (sender, records) = mpsc::sync_channel(QUEUE_MAX);
        let (alive, ended) = mpsc::sync_channel(1);
        let tally = Arc::new(Tally::default());
        let thread_tally = Arc::clone(&tally);
        let thread = thread::Builder::new()
            .name("policy-records".to_owned())
            .spawn(move || {
                write_all(output, &records, &thread_tally);
                drop(alive);
            })
            .context("starting the thread that writes decision records")?;
        let writer = Mutex::new(Some(Writer { thread, ended }));
        Ok(Some(Recorder { sender: RwLock::new(Some(sender)), writer, tally }))
    }

    /// Takes a record, without waiting for anything.
    pub fn take(&self, record: Arc<Record>) {
        let sender = self.sender.read().unwrap_or_else(PoisonError::into_inner);
        let sent = match sender.as_ref() {
            None => return self.tally.lose(1, &"it is over"),
            Some(sender) => sender.try_send(record),
        };
        match sent {
            Ok(()) => drop(self.tally.queued.fetch_add(1, Ordering::Relaxed)),
            Err(TrySendError::Full(_)) => self.tally.lose(1, &"they come faster than they can be written"),
            Err(TrySendError::Disconnected(_)) => self.tally.lose(1, &"the thread that writes them is gone"),
        }
    }

    /// How many were lost so far.
    pub fn lost(&self) -> u64 {
        self.tally.lost.load(Ordering::Relaxed)
    }

    /// Writes what is queued, and takes no more. The second call does nothing.
    pub fn end(&self) {
        drop(self.sender.write().unwrap_or_else(PoisonError::into_inner).take());
        let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        match writer.ended.recv_timeout(END_PATIENCE) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => drop(writer.thread.join()),
            Err(RecvTimeoutError::Timeout) => {
                let written = self.tally.written.load(Ordering::Relaxed);
                let left = self.tally.queued.load(Ordering::Relaxed).saturating_sub(written);
                self.tally.lose(left, &"writing them takes too long, and it is over");
            }
        }
        self.tally.conclude();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end();
    }
}

/// Writes until there is nobody left to send anything and the queue is empty.
fn write_all(mut output: Output, records: &Receiver<Arc<Record>>, tally: &Tally) {
    let mut lines = Vec::new();
    while let Ok(first) = records.recv() {
        let mut count = 0;
        let mut next = Some(first);
        while let Some(record) = next {
            count += 1;
            serde_json::to_writer(&mut lines, record.as_ref()).expect("a record is plain data, and memory takes it");
            lines.push(b'\n');
            next = if lines.len() < BATCH_BYTES { records.try_recv().ok() } else { None };
        }
        if let Err(error) = output.write(&lines) {
            tally.lose(count, &error);
        }
        // With the lost ones, so that what is neither still waits.
        tally.written.fetch_add(count, Ordering::Relaxed);
        lines.clear();
    }
    if let Output::File(file) = &mut output
        && let Err(error) = file.sync()
    {
        tracing::warn!(%error, "the last decision records may not be on the disk");
    }
}

impl Output {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Output::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Output::File(file) => file.append(lines),
        }
    }
}

impl Tally {
    fn lose(&self, count: u64, why: &dyn Display) {
        let lost = self.lost.fetch_add(count, Ordering::Relaxed) + count;
        // Whoever finds it locked is one of many that lose something now: another tells.
        let Ok(mut told) = self.told.try_lock() else { return };
        if told.at.is_some_and(|at| at.elapsed() < TELL_EVERY) {
            return;
        }
        *told = Told { lost, at: Some(Instant::now()) };
        tracing::warn!(lost, why = %why, "decision records are lost; decisions go on");
    }

    fn conclude(&self) {
        let lost = self.lost.load(Ordering::Relaxed);
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.lost < lost {
            tracing::warn!(lost, "decision records were lost in all");
        }
    }
}
