//! The record of each decision: what was asked, what was answered, by which modules. Writing records down is not here
//! (`recorder`).
//!
//! No value of a pod can be in one. The pod isn't, and neither is a digest of it, by which a short value could be guessed.
//! Settings are there by their digest only. What a module says may quote all that it was given, and is told so far:
//!
//! | what a module says | where it is told |
//! |---|---|
//! | the reason of a denial | in the node's message, which those who may read the workflow can read |
//! | the same, of a module that was not given the pod | also in records, in the Event `PolicyDenied`, and by `local run` |
//! | the code of a denial | in all of these and in a metric; of a module that was given the pod, only if it stands in the module's own file (`codes`) |
//! | why `configure` refuses the settings | in the log, an Event, the condition `Refused` and `/readyz`: it may quote settings, which the operator wrote |
//! | notes | by `landfall policy explain`, which no controller calls |

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::policy::{
    decision::{Answer, Decision, Evaluation, Mode, Verdict},
    recorder::{Recorder, Sink},
    request::Request,
    store::Said,
};

/// Records that a slow listener may lag behind before it loses the oldest: some seconds of a busy controller.
const RECORDS_KEPT: usize = 1024;
/// Characters of the name of a run: enough that two runs never share one.
const RUN_CHARACTERS: usize = 8;

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// `RUN-NUMBER`: the run differs with each start of the process, numbers begin at 1 and leave none out. So a number that
    /// is missing is a record that was lost.
    pub id: String,
    /// When it was made.
    #[serde(with = "milliseconds")]
    pub time: Timestamp,
    /// The generation of the chain; 0 before there was one.
    pub generation: u64,
    /// The digest of the set of modules with their settings, as hex; empty where there was none.
    pub set_digest: String,
    /// What was asked, without the pod.
    pub request: Request,
    /// The answer: to allow or to deny, never that there was none.
    #[serde(flatten)]
    pub answer: Answer,
    /// The module that decided: the one that denied, or all of the chain, joined by `+`, that had no objection.
    pub module: String,
    /// What each module said that was asked, shadows last.
    pub modules: Vec<Evaluation>,
    /// How long it took until the answer: all modules together that count.
    pub nanoseconds: u64,
    /// Whether an earlier answer was given again. Never so far: each request is put to the modules.
    pub cached: bool,
    /// Whether it was acted on.
    pub mode: Mode,
}

/// Is shown every record, on the thread that decides: it must be quick and never wait.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Record) + Send + Sync>);

impl Observer {
    /// One that does this.
    pub fn new(look: impl Fn(&Record) + Send + Sync + 'static) -> Observer {
        Observer(Arc::new(look))
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// Where records go.
#[derive(Debug)]
pub struct Records {
    run: String,
    count: AtomicU64,
    listeners: broadcast::Sender<Arc<Record>>,
    observer: RwLock<Option<Observer>>,
    recorder: Option<Recorder>,
}

impl Records {
    /// They are written to `sink`.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn new(sink: &Sink) -> anyhow::Result<Records> {
        let mut run = uuid::Uuid::new_v4().simple().to_string();
        run.truncate(RUN_CHARACTERS);
        Ok(Records {
            run,
            count: AtomicU64::new(0),
            listeners: broadcast::Sender::new(RECORDS_KEPT),
            observer: RwLock::default(),
            recorder: Recorder::start(sink)?,
        })
    }

    /// All records from now on, unless the listener is too slow: then it is told how many it missed.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Record>> {
        self.listeners.subscribe()
    }

    /// Shows all records from now on to `observer`, in place of the one before.
    pub fn observe(&self, observer: Observer) {
        *self.observer.write().unwrap_or_else(PoisonError::into_inner) = Some(observer);
    }

    /// Records that should have been written down and were not.
    pub fn lost(&self) -> u64 {
        self.recorder.as_ref().map_or(0, Recorder::lost)
    }

    /// Writes down what is queued; what comes later counts as lost.
    pub fn end(&self) {
        self.recorder.iter().for_each(Recorder::end);
    }

    /// Tells everyone of a decision.
    pub fn tell(&self, request: &Request, decision: &Decision, (set_digest, said): (&str, Vec<Said>), took: Duration) {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let observer = self.observer.read().unwrap_or_else(PoisonError::into_inner).clone();
        if observer.is_none() && self.recorder.is_none() && self.listeners.receiver_count() == 0 {
            return;
        }
        let modules = said.into_iter().map(|said| said.evaluation(decision.is_allowed())).collect();
        let mut record = record(request, decision, modules, took);
        record.id = format!("{}-{number}", self.run);
        record.set_digest = set_digest.to_owned();
        if let Some(Observer(look)) = &observer {
            look(&record);
        }
        let record = Arc::new(record);
        if let Some(recorder) = &self.recorder {
            recorder.take(Arc::clone(&record));
        }
        // It fails only when nobody listens.
        drop(self.listeners.send(record));
    }
}

fn record(request: &Request, decision: &Decision, mut modules: Vec<Evaluation>, took: Duration) -> Record {
    let mut answer = match &decision.verdict {
        Verdict::Allow => Answer::Allow,
        Verdict::Deny { reason, code } => Answer::Deny { code: code.clone(), reason: reason.clone() },
    };
    for module in modules.iter_mut().filter(|module| module.pod_given) {
        leave_out_reason(&mut module.answer);
    }
    if decision.may_quote_pod {
        leave_out_reason(&mut answer);
    }
    Record {
        id: String::new(),
        time: now(),
        generation: decision.generation,
        set_digest: String::new(),
        request: request.without_pod(),
        answer,
        module: decision.module.clone(),
        modules,
        nanoseconds: u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
        cached: false,
        mode: Mode::Enforce,
    }
}

/// As precise as it is written, so that a record is read as it was.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

fn leave_out_reason(answer: &mut Answer) {
    let is_own = answer.is_in_own_words();
    match answer {
        Answer::Deny { reason, .. } | Answer::Failed { reason, .. } if is_own => reason.clear(),
        Answer::Allow | Answer::Deny { .. } | Answer::Failed { .. } => {}
    }
}

/// Times as RFC 3339 with three digits after the second.
mod milliseconds {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{time:.3}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        Timestamp::deserialize(deserializer)
    }
}
