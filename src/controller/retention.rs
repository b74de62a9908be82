//! Deleting workflows that have ended, once the engine's [`retention`] says that it is time. What is deleted is decided by
//! a live GET at that time, and the delete holds only for what that GET showed. Pods elsewhere go with the workflow, as
//! with every other deletion: see [`crate::controller::deletion`].

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, Preconditions};
use tokio::{sync::Notify, time::Instant};

use crate::{
    clusters::call::CallError,
    controller::{
        Controller, status,
        workflows::{Ended, Uid},
    },
    engine::retention,
};

/// Pause before a delete that failed is tried again.
const RETRY_PAUSE: SignedDuration = SignedDuration::from_secs(30);

/// Which workflows are to be deleted when.
#[derive(Default)]
pub struct Retention {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    due: BTreeSet<(Timestamp, Uid)>,
    by_uid: HashMap<Uid, Entry>,
}

#[derive(Clone)]
struct Entry {
    at: Timestamp,
    namespace: String,
    name: String,
}

impl Retention {
    /// Takes over what is known of a workflow that has ended.
    pub fn note(&self, ended: &Ended) {
        let mut state = self.lock();
        state.forget(&ended.uid);
        if let Some(at) = ended.delete_at {
            let entry = Entry { at, namespace: ended.namespace.clone(), name: ended.name.clone() };
            state.set(&ended.uid, entry);
            self.changed.notify_one();
        }
    }

    /// Forgets a workflow that is no more, or goes on.
    pub fn forget(&self, uid: &str) {
        self.lock().forget(uid);
    }

    fn first(&self) -> Option<(Timestamp, Uid)> {
        self.lock().due.first().cloned()
    }

    fn take(&self, uid: &str) -> Option<Entry> {
        self.lock().forget(uid)
    }

    fn again(&self, uid: &Uid, entry: Entry) {
        self.lock().set(uid, entry);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set(&mut self, uid: &Uid, entry: Entry) {
        self.due.insert((entry.at, uid.clone()));
        self.by_uid.insert(uid.clone(), entry);
    }

    fn forget(&mut self, uid: &str) -> Option<Entry> {
        let (uid, entry) = self.by_uid.remove_entry(uid)?;
        self.due.remove(&(entry.at, uid));
        Some(entry)
    }
}

/// Deletes each workflow when its time has come, until dropped.
pub async fn keep(controller: &Controller, clock: fn() -> Timestamp) {
    loop {
        let retention = &controller.retention;
        let Some((at, uid)) = retention.first() else {
            retention.changed.notified().await;
            continue;
        };
        let pause: Duration = at.duration_since(clock()).try_into().unwrap_or_default();
        if !pause.is_zero() {
            tokio::select! {
                () = tokio::time::sleep_until(Instant::now() + pause) => {}
                () = retention.changed.notified() => {}
            }
            continue;
        }
        let Some(entry) = retention.take(&uid) else { continue };
        if let Err(error) = delete(controller, &uid, &entry, clock()).await {
            let workflow = format!("{}/{}", entry.namespace, entry.name);
            tracing::warn!(workflow, %error, "the workflow can't be deleted yet, though its time has come");
            let at = clock().saturating_add(RETRY_PAUSE).unwrap_or(Timestamp::MAX);
            retention.again(&uid, Entry { at, ..entry });
        }
    }
}

/// Deletes it if it is still so that its time has come.
async fn delete(controller: &Controller, uid: &Uid, entry: &Entry, now: Timestamp) -> Result<(), CallError> {
    let home = controller.clusters.home();
    let Some(stored) = status::read_named(home, uid, &entry.namespace, &entry.name).await? else { return Ok(()) };
    let is_due = retention::delete_at(&stored.workflow).is_some_and(|at| at <= now);
    let metadata = &stored.workflow.metadata;
    if !is_due || metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let preconditions =
        Preconditions { uid: metadata.uid.clone(), resource_version: metadata.resource_version.clone() };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
    match home.call(status::api(home.client(), Some(&entry.namespace)).delete(&entry.name, &params)).await {
        Ok(_) => {
            tracing::info!(workflow = controller.name_of(&stored), "workflow is deleted, as its ttlStrategy says");
            Ok(())
        }
        Err(CallError::Refused(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}
