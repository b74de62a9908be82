//! The newest view of every workflow that may need a pass, as the home cluster stores it. Synchronous, fed by the watch and
//! by our own writes, whichever is newer.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::DynamicObject;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    api::{
        contract::{FINALIZER_PODS_ELSEWHERE, LABEL_COMPLETED, LABEL_PHASE},
        status::{WorkflowPhase, WorkflowStatus},
        workflow::{Workflow, WorkflowSpec},
    },
    engine::retention,
};

/// A workflow's UID: what everything here is keyed by, because names repeat.
pub type Uid = Arc<str>;

/// One stored workflow.
#[derive(Debug)]
pub struct Stored {
    /// Its UID.
    pub uid: Uid,
    /// The typed form.
    pub workflow: Workflow,
    /// Why the spec can't be read; it is then empty in the typed form.
    pub unreadable_spec: Option<String>,
    /// Why the status can't be read; it is then empty in the typed form, and must never be written back.
    pub unreadable_status: Option<String>,
    /// All fields but `metadata` and `status`, as they are stored: writing back must lose none.
    pub rest: Map<String, Value>,
}

/// What an object of the watch is to us.
pub enum Kind {
    /// It wants passes.
    Live(Arc<Stored>),
    /// It has ended, and nothing of it is to be cleaned up.
    Ended(Ended),
    /// It has no UID, so it is nothing that an API server gave us.
    Nameless,
}

/// What is of interest of a workflow that has ended.
#[derive(Debug, PartialEq)]
pub struct Ended {
    /// Its UID.
    pub uid: Uid,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How it ended, as its label says.
    pub phase: WorkflowPhase,
    /// The version that was seen to have ended.
    pub version: Option<String>,
    /// When it is to be deleted; `None`: it is kept.
    pub delete_at: Option<Timestamp>,
}

/// The workflows.
#[derive(Default)]
pub struct Workflows {
    by_uid: Mutex<HashMap<Uid, Arc<Stored>>>,
    /// Those that have ended and are still stored, with their phase.
    ended: Mutex<HashMap<Uid, WorkflowPhase>>,
}

impl Workflows {
    /// The newest view of one.
    pub fn get(&self, uid: &str) -> Option<Arc<Stored>> {
        self.lock().get(uid).cloned()
    }

    /// All that are held.
    pub fn uids(&self) -> Vec<Uid> {
        self.lock().keys().cloned().collect()
    }

    /// Takes a view unless a newer one is held; whether it was news.
    pub fn put(&self, stored: Arc<Stored>) -> bool {
        let mut by_uid = self.lock();
        if let Some(held) = by_uid.get(&stored.uid)
            && !is_newer(version_of(&stored.workflow.metadata), version_of(&held.workflow.metadata))
        {
            return false;
        }
        by_uid.insert(stored.uid.clone(), stored);
        true
    }

    /// Forgets one.
    pub fn remove(&self, uid: &str) {
        self.lock().remove(uid);
        self.lock_ended().remove(uid);
    }

    /// Keeps of one only that it has ended, unless a newer view is held: whether it was news. The answer to our own write may
    /// come after the watch has told that the workflow is being deleted since.
    pub fn end(&self, ended: &Ended) -> bool {
        let mut by_uid = self.lock();
        if let Some(held) = by_uid.get(&ended.uid)
            && !is_newer(ended.version.as_deref(), version_of(&held.workflow.metadata))
        {
            return false;
        }
        by_uid.remove(&ended.uid);
        self.lock_ended().insert(ended.uid.clone(), ended.phase);
        true
    }

    /// Keeps of exactly these that they have ended.
    pub fn replace_ended(&self, ended: &[Ended]) {
        *self.lock_ended() = ended.iter().map(|one| (one.uid.clone(), one.phase)).collect();
    }

    /// How many are stored in each phase.
    pub fn phases(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for stored in self.lock().values() {
            *counts.entry(stored.workflow.status.phase.as_str().to_owned()).or_default() += 1;
        }
        for phase in self.lock_ended().values() {
            *counts.entry(phase.as_str().to_owned()).or_default() += 1;
        }
        counts
    }

    /// Whether one has ended and was still stored when last heard of.
    pub fn has_ended(&self, uid: &str) -> bool {
        self.lock_ended().contains_key(uid)
    }

    /// Takes a whole list in place of what is held, and returns the UIDs of those that are news and of those that are gone.
    /// It is taken as it is, also where it is older: only a list tells what exists.
    pub fn replace(&self, listed: Vec<Arc<Stored>>) -> (Vec<Uid>, Vec<Uid>) {
        let mut by_uid = self.lock();
        let present: HashSet<Uid> = listed.iter().map(|stored| stored.uid.clone()).collect();
        let gone: Vec<Uid> = by_uid.keys().filter(|uid| !present.contains(*uid)).cloned().collect();
        for uid in &gone {
            by_uid.remove(uid);
        }
        let mut news = Vec::new();
        for stored in listed {
            let version = &stored.workflow.metadata.resource_version;
            if by_uid.get(&stored.uid).is_none_or(|held| held.workflow.metadata.resource_version != *version) {
                news.push(stored.uid.clone());
                by_uid.insert(stored.uid.clone(), stored);
            }
        }
        (news, gone)
    }

    fn lock_ended(&self) -> MutexGuard<'_, HashMap<Uid, WorkflowPhase>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, Arc<Stored>>> {
        self.by_uid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sorts out an object of the watch.
pub fn sort(object: DynamicObject) -> Kind {
    let Some(uid) = object.metadata.uid.as_deref().map(Uid::from) else {
        return Kind::Nameless;
    };
    let metadata = &object.metadata;
    let completed = metadata.labels.as_ref().and_then(|labels| labels.get(LABEL_COMPLETED)).map(String::as_str);
    let ours_to_clean = metadata.deletion_timestamp.is_some() && has_finalizer(metadata);
    if completed == Some("true") && !ours_to_clean {
        return Kind::Ended(ended(uid, object));
    }
    Kind::Live(Arc::new(decode(uid, object)))
}

fn ended(uid: Uid, object: DynamicObject) -> Ended {
    let namespace = object.metadata.namespace.clone().unwrap_or_default();
    let name = object.metadata.name.clone().unwrap_or_default();
    let version = object.metadata.resource_version.clone();
    let label = object.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL_PHASE)).cloned();
    let phase = label.and_then(|phase| serde_json::from_value(Value::String(phase)).ok()).unwrap_or_default();
    // Most are kept, and there may be thousands of them with thousands of nodes each: those are not read.
    let has_limit = !object.data["spec"]["ttlStrategy"].is_null();
    let delete_at = has_limit.then(|| retention::delete_at(&decode(uid.clone(), object).workflow)).flatten();
    Ended { uid, namespace, name, phase, version, delete_at }
}

/// Whether the object bears our finalizer.
pub fn has_finalizer(metadata: &ObjectMeta) -> bool {
    metadata.finalizers.iter().flatten().any(|name| name == FINALIZER_PODS_ELSEWHERE)
}

/// An object of the API server, taken apart.
pub fn decode(uid: Uid, object: DynamicObject) -> Stored {
    let mut metadata = object.metadata;
    // Nobody here reads them, and they are often larger than all the rest.
    metadata.managed_fields = None;
    let mut rest = match object.data {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    };
    let status = rest.remove("status");
    let (spec, unreadable_spec): (WorkflowSpec, _) = read_part(rest.get("spec"), "spec");
    let (status, unreadable_status): (WorkflowStatus, _) = read_part(status.as_ref(), "status");
    Stored { uid, workflow: Workflow { metadata, spec, status }, unreadable_spec, unreadable_status, rest }
}

/// A part in its typed form, or the empty one and why.
fn read_part<T: DeserializeOwned + Default>(value: Option<&Value>, part: &str) -> (T, Option<String>) {
    let Some(value) = value else { return (T::default(), None) };
    match serde_path_to_error::deserialize(value) {
        Ok(typed) => (typed, None),
        Err(error) => (T::default(), Some(format!("{part}.{}: {}", error.path(), error.inner()))),
    }
}

/// The version, as it stands there.
pub fn version_of(metadata: &ObjectMeta) -> Option<&str> {
    metadata.resource_version.as_deref()
}

/// Whether the version `new` is later than `held`. Versions are numbers that grow; of a server where they aren't, the last to
/// come wins.
pub fn is_newer(new: Option<&str>, held: Option<&str>) -> bool {
    let number = |version: Option<&str>| version?.parse::<u64>().ok();
    match (number(new), number(held)) {
        (Some(new), Some(held)) => held < new,
        (Some(_), None) | (None, Some(_)) | (None, None) => new != held,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Kind, Workflows, sort};

    fn view(version: &str, deleted: bool) -> Kind {
        let mut metadata = json!({
            "uid": "u", "name": "n", "namespace": "argo", "resourceVersion": version,
            "labels": {"workflows.argoproj.io/completed": "true"}, "finalizers": ["landfall.dev/pods-elsewhere"],
        });
        if deleted {
            metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata});
        sort(serde_json::from_value(object).unwrap())
    }

    /// Takes views in the order in which they come; whether the workflow is then still to be cleaned up.
    fn check(views: &[(&str, bool)], is_live: bool) {
        let workflows = Workflows::default();
        for (version, deleted) in views {
            match view(version, *deleted) {
                Kind::Live(stored) => _ = workflows.put(stored),
                Kind::Ended(ended) => _ = workflows.end(&ended),
                Kind::Nameless => unreachable!(),
            }
        }
        assert_eq!(workflows.get("u").is_some(), is_live, "{views:?}");
    }

    #[test]
    fn an_end_that_is_told_late_does_not_hide_a_deletion() {
        check(&[("10", false)], false);
        check(&[("10", false), ("11", true)], true);
        check(&[("11", true), ("10", false)], true);
        check(&[("9", true), ("10", false)], false);
    }
}
