//! The record of each decision, for whoever listens. Writing records down is not here.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::broadcast;

use crate::policy::{decision::Decision, request::Request};

/// Records that a slow listener may lag behind before it loses the oldest: some seconds of a busy controller.
const RECORDS_KEPT: usize = 1024;

/// One decision. It holds no pod, because pods can carry secret values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its number, from 1 at the start of the process.
    pub id: u64,
    /// What was asked.
    pub request: Request,
    /// What was answered, by whom, in which generation.
    pub decision: Decision,
    /// The digest of the set of modules with their settings, as hex; empty where there was none.
    pub set_digest: String,
    /// How long it took, all modules together.
    pub nanoseconds: u64,
}

/// Where records go.
#[derive(Debug)]
pub struct Records {
    sender: broadcast::Sender<Record>,
}

impl Default for Records {
    fn default() -> Records {
        Records { sender: broadcast::Sender::new(RECORDS_KEPT) }
    }
}

impl Records {
    /// All records from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Record> {
        self.sender.subscribe()
    }

    /// Tells everyone who listens.
    pub fn tell(&self, id: u64, request: &Request, decision: &Decision, set_digest: &str, took: Duration) {
        if self.sender.receiver_count() == 0 {
            return;
        }
        let record = Record {
            id,
            request: request.without_pod(),
            decision: decision.clone(),
            set_digest: set_digest.to_owned(),
            nanoseconds: u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
        };
        // It fails only when the last listener just left.
        drop(self.sender.send(record));
    }
}
