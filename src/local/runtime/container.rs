//! One container over all its runs: start, signals, exit, and starting again as the pod's restart policy says.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use nix::sys::signal::Signal;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use crate::local::{
    logs::Logs,
    runtime::{
        machine::Machine,
        process::{End, Process},
        spec::Spec,
        status::Ended,
    },
};

/// Bytes of a termination message, as the kubelet limits it.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Bytes and lines of the log that stand in for a missing termination message, as with the kubelet.
const MESSAGE_LOG_BYTES: usize = 2048;
const MESSAGE_LOG_LINES: usize = 80;
/// Pause before the second restart, as with the kubelet; it doubles each time. The first restart is at once.
const BACKOFF_FIRST: Duration = Duration::from_secs(10);
/// The longest pause between restarts, as with the kubelet.
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// A run that lasted this long starts the pauses anew, as with the kubelet.
const BACKOFF_RESET: Duration = Duration::from_secs(600);
/// Code of a container whose command could not be started, as containerd gives it.
const EXIT_NOT_STARTED: i32 = 128;
/// A signal that ends a command adds its number to this, as a shell does.
const EXIT_SIGNALLED: i32 = 128;

/// When a container is started again after it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Whatever happened.
    Always,
    /// If it ended with another code than 0.
    OnFailure,
    /// Not.
    Never,
}

/// What the pod wants of its containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// To run.
    Run,
    /// To end: SIGTERM, and SIGKILL after the grace.
    End {
        /// Time to end in peace.
        grace: Duration,
    },
    /// To end at once.
    Kill,
}

/// What happens to a container.
#[derive(Debug)]
pub enum Event {
    /// A run has begun.
    Started {
        /// Names the run.
        id: String,
        /// When it began.
        since: Timestamp,
    },
    /// A run has ended.
    Ended {
        /// How.
        ended: Ended,
        /// Whether another follows, and after what pause.
        again: Option<Duration>,
    },
}

/// A container that is ready to run.
pub struct Container {
    /// Its place in the pod, told with each event.
    pub place: Place,
    /// What to run.
    pub spec: Spec,
    /// The name that its log goes by.
    pub name: String,
    /// The pod's UID.
    pub pod_uid: String,
    /// Whether it is started again.
    pub restart: Restart,
    /// The file on the machine that is its termination log.
    pub termination_log: PathBuf,
    /// Whether the end of the log stands in for a missing termination message of a failed run.
    pub message_from_log: bool,
}

/// Where a container stands in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Among the init containers.
    Init(usize),
    /// Among the containers.
    Main(usize),
}

impl Container {
    /// Runs it until it has ended for good; all its events have been sent when this returns.
    pub async fn run(
        self,
        machine: Arc<Machine>,
        logs: Logs,
        mut order: watch::Receiver<Order>,
        events: mpsc::UnboundedSender<(Place, Event)>,
    ) {
        let mut pause = Duration::ZERO;
        loop {
            let began = Instant::now();
            let (ended, process) = self.run_once(&machine, &logs, &mut order, &events).await;
            let goes_on = *order.borrow() == Order::Run && self.restarts_after(ended.code);
            if began.elapsed() > BACKOFF_RESET {
                pause = Duration::ZERO;
            }
            if !goes_on {
                logs.close(&self.pod_uid, &self.name);
            }
            // The pod's task may be gone already; then nobody wants to know.
            let _ = events.send((self.place, Event::Ended { ended, again: goes_on.then_some(pause) }));
            if let Some(process) = process {
                process.cleared().await;
            }
            if !goes_on || interrupted(&mut order, Instant::now() + pause).await {
                return;
            }
            pause = (pause * 2).clamp(BACKOFF_FIRST, BACKOFF_MAX);
        }
    }

    fn restarts_after(&self, code: i32) -> bool {
        match self.restart {
            Restart::Always => true,
            Restart::OnFailure => code != 0,
            Restart::Never => false,
        }
    }

    async fn run_once(
        &self,
        machine: &Machine,
        logs: &Logs,
        order: &mut watch::Receiver<Order>,
        events: &mpsc::UnboundedSender<(Place, Event)>,
    ) -> (Ended, Option<Process>) {
        let (log, uid, name) = (logs.clone(), self.pod_uid.clone(), self.name.clone());
        let asked = Timestamp::now();
        // An earlier run's message must not be taken for this one's. What fails here shows when the file is mounted.
        let _ = fs::write(&self.termination_log, "");
        let started = machine.start(&self.spec, move |bytes| log.append(&uid, &name, bytes)).await;
        let mut process = match started {
            Ok(process) => process,
            Err(message) => return (self.not_started(message, asked, logs), None),
        };
        let (id, since) = (format!("landfall://{}", uuid::Uuid::new_v4().simple()), Timestamp::now());
        let _ = events.send((self.place, Event::Started { id: id.clone(), since }));
        let end = obey(&mut process, order).await;
        let finished = Timestamp::now();
        process.printed().await;
        let code = match end {
            End::Exited(code) => code,
            End::Signalled(signal) => EXIT_SIGNALLED + signal,
            End::Lost => EXIT_SIGNALLED + Signal::SIGKILL as i32,
        };
        let reason = match end {
            End::Exited(0) => "Completed",
            End::Exited(_) | End::Signalled(_) => "Error",
            End::Lost => "ContainerStatusUnknown",
        };
        let message = self.message(code, logs);
        (Ended { id, code, reason: reason.to_owned(), message, started: since, finished }, Some(process))
    }

    fn not_started(&self, mut message: String, asked: Timestamp, logs: &Logs) -> Ended {
        // A sandbox that fails early can tell why only where the command would have printed.
        let printed = logs.read(&self.pod_uid, &self.name).map(|printed| printed.bytes).unwrap_or_default();
        if let Some(line) = String::from_utf8_lossy(&printed).lines().next_back() {
            message = format!("{message}: {line}");
        }
        Ended {
            id: String::new(),
            code: EXIT_NOT_STARTED,
            reason: "StartError".to_owned(),
            message: Some(message),
            started: asked,
            finished: Timestamp::now(),
        }
    }

    /// What the command left in its termination log, or the end of what it printed.
    fn message(&self, code: i32, logs: &Logs) -> Option<String> {
        let bytes = fs::read(&self.termination_log).unwrap_or_default();
        if !bytes.is_empty() {
            return Some(String::from_utf8_lossy(&bytes[..bytes.len().min(MESSAGE_BYTES_MAX)]).into_owned());
        }
        if code == 0 || !self.message_from_log {
            return None;
        }
        let printed = logs.read(&self.pod_uid, &self.name)?;
        Some(last_lines(&printed.bytes)).filter(|text| !text.is_empty())
    }
}

fn last_lines(printed: &[u8]) -> String {
    let text = String::from_utf8_lossy(&printed[printed.len().saturating_sub(MESSAGE_LOG_BYTES)..]).into_owned();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    lines[lines.len().saturating_sub(MESSAGE_LOG_LINES)..].concat()
}

/// Waits for the end of the command and meanwhile passes on what the pod wants.
async fn obey(process: &mut Process, order: &mut watch::Receiver<Order>) -> End {
    let mut kill_at = None;
    // An order that came while the command was started counts as well.
    order.mark_changed();
    loop {
        let killing = async move {
            match kill_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            end = process.ended() => return end,
            () = killing => {
                kill_at = None;
                process.signal(Signal::SIGKILL).await;
            }
            changed = order.changed() => {
                // A pod that is gone without a word wants nothing left of its containers.
                let wanted = if changed.is_ok() { *order.borrow_and_update() } else { Order::Kill };
                match wanted {
                    Order::Run => {}
                    Order::End { grace } => {
                        kill_at = Some(Instant::now() + grace);
                        process.signal(Signal::SIGTERM).await;
                    }
                    Order::Kill => process.signal(Signal::SIGKILL).await,
                }
                if changed.is_err() {
                    return process.ended().await;
                }
            }
        }
    }
}

/// Waits until then; true if the pod no longer wants its containers to run.
async fn interrupted(order: &mut watch::Receiver<Order>, until: Instant) -> bool {
    tokio::select! {
        () = sleep_until(until) => false,
        _ = order.wait_for(|order| *order != Order::Run) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_short() {
        assert_eq!(last_lines(b"a\nb\n"), "a\nb\n");
        assert_eq!(last_lines("x\n".repeat(100).as_bytes()), "x\n".repeat(80));
        assert_eq!(last_lines("x".repeat(5000).as_bytes()).len(), MESSAGE_LOG_BYTES);
    }
}
