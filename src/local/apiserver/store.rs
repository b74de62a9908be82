//! All objects of one server, their history, and who owns whom. It knows nothing of HTTP, and of kinds only what `Resource` says.
//!
//! Objects are kept as the JSON text that is sent, with the few fields beside it that selecting and collecting need:
//! a list or a watch then costs no encoding, and ten thousand objects stay small.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::local::apiserver::{
    refusal::{Answer, Refusal},
    resources::{Id, Resource},
    selectors::{Selector, selectable},
};

/// Changes kept of one resource; a watcher that is further behind must list again. A few thousand small objects fit in
/// the bytes below; the count bounds what is kept beside their text.
pub const HISTORY_EVENTS_MAX: usize = 2048;
/// Bytes of objects that the history of one resource may hold: big workflows that change often must not fill a laptop's
/// memory, where several clusters live in one process. Four of the largest objects fit.
pub const HISTORY_BYTES_MAX: usize = 6 * 1024 * 1024;
/// Kubernetes' Events kept in each of their two groups. A real server drops them after an hour; here the oldest go when
/// there are more than anybody reads, else a server that runs for days would only grow.
pub const EVENT_OBJECTS_MAX: usize = 500;
/// The largest object: etcd's default limit for a request.
pub const OBJECT_BYTES_MAX: usize = 1_572_864;
/// Where counting starts. Versions below it were never served, so a watch from "1" is too old, as on a server that has lived a while.
const FIRST_VERSION: u64 = 100;

pub struct Store {
    inner: Mutex<Inner>,
}

/// The state behind the lock. Nothing in here waits, so the lock is always held briefly.
pub struct Inner {
    version: u64,
    collections: BTreeMap<Id, Collection>,
    places: HashMap<String, Place>,
    dependents: HashMap<String, BTreeSet<Place>>,
    /// What the collector has yet to look at.
    pub pending: VecDeque<Change>,
}

struct Collection {
    resource: Arc<Resource>,
    objects: BTreeMap<Key, Arc<Object>>,
    history: VecDeque<Event>,
    history_bytes: usize,
    /// Changes up to this version are no longer (or never were) in the history.
    floor: u64,
    changed: watch::Sender<u64>,
}

/// An object's name within its resource; the namespace is empty for cluster-wide ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub id: Id,
    pub key: Key,
}

/// One version of an object.
#[derive(Debug)]
pub struct Object {
    pub key: Key,
    pub uid: String,
    pub version: u64,
    pub labels: BTreeMap<String, String>,
    pub fields: Vec<(&'static str, String)>,
    pub owners: Vec<String>,
    /// Whether it bears a deletion timestamp.
    pub terminating: bool,
    pub json: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Added,
    Modified,
    Deleted,
}

#[derive(Debug, Clone)]
pub struct Event {
    pub version: u64,
    pub kind: EventKind,
    /// The object after the change; for a deletion its last state, with the deletion's version.
    pub object: Arc<Object>,
    pub previous: Option<Arc<Object>>,
}

/// A change that may concern owners, dependents or a terminating namespace.
pub enum Change {
    Written(Place),
    Removed { id: Id, object: Arc<Object> },
}

/// Which objects a list or watch is about.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub namespace: Option<String>,
    pub selector: Selector,
}

pub struct Listed {
    pub objects: Vec<Arc<Object>>,
    pub version: u64,
    /// The last key of this page, if more follow.
    pub last: Option<Key>,
    pub remaining: usize,
}

impl Key {
    pub fn new(namespace: &str, name: &str) -> Key {
        Key { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub fn of(value: &Value) -> Key {
        Key::new(text(value, "/metadata/namespace"), text(value, "/metadata/name"))
    }
}

/// The text at a pointer; empty if there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

impl Object {
    pub fn new(resource: &Resource, mut value: Value, version: u64) -> Answer<Object> {
        value["metadata"]["resourceVersion"] = json!(version.to_string());
        let json = serde_json::to_vec(&value).map_err(|error| Refusal::internal(error.to_string()))?;
        if OBJECT_BYTES_MAX < json.len() {
            return Err(Refusal::too_large("etcdserver: request is too large"));
        }
        let labels = value.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
        let owners = value.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
        Ok(Object {
            key: Key::of(&value),
            uid: text(&value, "/metadata/uid").to_owned(),
            version,
            labels: labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect(),
            fields: selectable(resource)
                .iter()
                .map(|(name, pointer)| (*name, text(&value, pointer).to_owned()))
                .collect(),
            owners: owners.map(|owner| text(owner, "/uid").to_owned()).collect(),
            terminating: value.pointer("/metadata/deletionTimestamp").is_some(),
            json: Bytes::from(json),
        })
    }

    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.json).expect("the text was written from a value")
    }
}

impl Default for Store {
    fn default() -> Store {
        let inner = Inner {
            version: FIRST_VERSION,
            collections: BTreeMap::new(),
            places: HashMap::new(),
            dependents: HashMap::new(),
            pending: VecDeque::new(),
        };
        Store { inner: Mutex::new(inner) }
    }
}

impl Store {
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Makes a resource available, or changes how it is served.
    pub fn install(&mut self, resource: Resource) {
        let (resource, floor) = (Arc::new(resource), self.version);
        if let Some(collection) = self.collections.get_mut(&resource.id()) {
            collection.resource = resource;
            return;
        }
        let collection = Collection {
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            history_bytes: 0,
            floor,
            changed: watch::Sender::new(floor),
            resource,
        };
        self.collections.insert(collection.resource.id(), collection);
    }

    /// Takes an empty resource away; its watches end.
    pub fn uninstall(&mut self, id: &Id) {
        self.collections.remove(id);
    }

    pub fn resources(&self) -> Vec<Arc<Resource>> {
        self.collections.values().map(|collection| collection.resource.clone()).collect()
    }

    pub fn resource(&self, id: &Id) -> Option<Arc<Resource>> {
        self.collections.get(id).map(|collection| collection.resource.clone())
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, id: &Id, key: &Key) -> Option<Arc<Object>> {
        self.collections.get(id)?.objects.get(key).cloned()
    }

    /// Where the live object with this UID stands.
    pub fn place(&self, uid: &str) -> Option<&Place> {
        self.places.get(uid)
    }

    /// Objects that name this UID as an owner.
    pub fn dependents(&self, uid: &str) -> Vec<Place> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    pub fn keys(&self, id: &Id, namespace: Option<&str>) -> Vec<Key> {
        let Some(collection) = self.collections.get(id) else { return Vec::new() };
        collection.range(namespace, None).map(|(key, _)| key.clone()).collect()
    }

    /// Whether the namespace still holds anything.
    pub fn is_empty(&self, namespace: &str) -> bool {
        self.collections.values().all(|collection| collection.range(Some(namespace), None).next().is_none())
    }

    /// A receiver that is told of each change to the resource.
    pub fn subscribe(&self, id: &Id) -> Option<watch::Receiver<u64>> {
        self.collections.get(id).map(|collection| collection.changed.subscribe())
    }

    /// Creates or replaces the object that the value's metadata names.
    pub fn put(&mut self, id: &Id, value: Value) -> Answer<Arc<Object>> {
        let object = self.insert(id, value)?;
        if let Some(oldest) = self.collections.get(id).and_then(Collection::surplus) {
            self.remove(id, &oldest);
        }
        Ok(object)
    }

    fn insert(&mut self, id: &Id, value: Value) -> Answer<Arc<Object>> {
        let version = self.version + 1;
        let Some(collection) = self.collections.get_mut(id) else { return Err(Refusal::no_such_path()) };
        let object = Arc::new(Object::new(&collection.resource, value, version)?);
        self.version = version;
        let previous = collection.objects.insert(object.key.clone(), object.clone());
        let kind = if previous.is_some() { EventKind::Modified } else { EventKind::Added };
        collection.record(Event { version, kind, object: object.clone(), previous: previous.clone() });
        let place = Place { id: id.clone(), key: object.key.clone() };
        if let Some(previous) = previous {
            self.unlink(&previous, &place);
        }
        for owner in &object.owners {
            self.dependents.entry(owner.clone()).or_default().insert(place.clone());
        }
        self.places.insert(object.uid.clone(), place.clone());
        self.pending.push_back(Change::Written(place));
        Ok(object)
    }

    /// Removes an object; the answer is its last state.
    pub fn remove(&mut self, id: &Id, key: &Key) -> Option<Arc<Object>> {
        let collection = self.collections.get_mut(id)?;
        let previous = collection.objects.remove(key)?;
        self.version += 1;
        let version = self.version;
        let last = Object::new(&collection.resource, previous.value(), version);
        let object = last.map_or_else(|_| previous.clone(), Arc::new);
        collection.record(Event {
            version,
            kind: EventKind::Deleted,
            object: object.clone(),
            previous: Some(previous.clone()),
        });
        self.unlink(&previous, &Place { id: id.clone(), key: key.clone() });
        self.places.remove(&previous.uid);
        self.pending.push_back(Change::Removed { id: id.clone(), object: object.clone() });
        Some(object)
    }

    fn unlink(&mut self, object: &Object, place: &Place) {
        for owner in &object.owners {
            if let Some(places) = self.dependents.get_mut(owner) {
                places.remove(place);
                if places.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
    }

    /// Objects in the order of their keys, after `after`, at most `limit`, as they were at version `at`.
    pub fn list(
        &self,
        id: &Id,
        query: &Query,
        at: Option<u64>,
        after: Option<&Key>,
        limit: Option<usize>,
    ) -> Answer<Listed> {
        let Some(collection) = self.collections.get(id) else { return Err(Refusal::no_such_path()) };
        let version = at.unwrap_or(self.version);
        let then = collection.as_of(version)?;
        let mut objects: Vec<Arc<Object>> = Vec::new();
        let mut remaining = 0;
        let mut visit = |object: &Arc<Object>| {
            if !query.selector.matches(object) {
                return;
            }
            if limit.is_some_and(|limit| limit <= objects.len()) {
                remaining += 1
            } else {
                objects.push(object.clone())
            }
        };
        if then.is_empty() {
            collection.range(query.namespace.as_deref(), after).for_each(|(_, object)| visit(object));
        } else {
            let now = collection.range(query.namespace.as_deref(), after).map(|(key, object)| (key, Some(object)));
            let mut merged: BTreeMap<&Key, Option<&Arc<Object>>> = now.collect();
            let inside = |key: &Key| {
                query.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
                    && after.is_none_or(|after| after < key)
            };
            merged.extend(then.iter().filter(|(key, _)| inside(key)).map(|(key, object)| (*key, *object)));
            merged.into_values().flatten().for_each(visit);
        }
        let last = if remaining == 0 { None } else { objects.last().map(|object| object.key.clone()) };
        Ok(Listed { objects, version, last, remaining })
    }

    /// Changes after a version, at most `limit`; a refusal if the history doesn't reach back that far.
    pub fn events_after(&self, id: &Id, version: u64, limit: usize) -> Answer<Vec<Event>> {
        let Some(collection) = self.collections.get(id) else { return Err(Refusal::no_such_path()) };
        if version < collection.floor {
            return Err(Refusal::too_old(version, collection.floor));
        }
        let from = collection.history.partition_point(|event| event.version <= version);
        Ok(collection.history.iter().skip(from).take(limit).cloned().collect())
    }
}

impl Collection {
    fn record(&mut self, event: Event) {
        let version = event.version;
        self.history_bytes += event.object.json.len();
        self.history.push_back(event);
        while HISTORY_EVENTS_MAX < self.history.len() || HISTORY_BYTES_MAX < self.history_bytes {
            let Some(oldest) = self.history.pop_front() else { break };
            self.history_bytes -= oldest.object.json.len();
            self.floor = oldest.version;
        }
        self.changed.send_replace(version);
    }

    /// The Event that was written longest ago, if there are too many.
    fn surplus(&self) -> Option<Key> {
        if !self.resource.is_events() || self.objects.len() <= EVENT_OBJECTS_MAX {
            return None;
        }
        self.objects.values().min_by_key(|object| object.version).map(|object| object.key.clone())
    }

    fn range(&self, namespace: Option<&str>, after: Option<&Key>) -> impl Iterator<Item = (&Key, &Arc<Object>)> {
        let first = namespace.map(|namespace| Key::new(namespace, ""));
        let from = match (after, first) {
            (Some(after), Some(first)) if *after < first => Bound::Included(first),
            (Some(after), _) => Bound::Excluded(after.clone()),
            (None, Some(first)) => Bound::Included(first),
            (None, None) => Bound::Unbounded,
        };
        let namespace = namespace.map(str::to_owned);
        let objects = self.objects.range((from, Bound::Unbounded));
        objects.take_while(move |(key, _)| namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace))
    }

    /// What was different at an earlier version: the objects that changed since, as they were (`None`: not there).
    fn as_of(&self, version: u64) -> Answer<HashMap<&Key, Option<&Arc<Object>>>> {
        if version < self.floor {
            return Err(Refusal::continue_too_old());
        }
        let mut then = HashMap::new();
        for event in self.history.iter().rev().take_while(|event| version < event.version) {
            then.insert(&event.object.key, event.previous.as_ref());
        }
        Ok(then)
    }
}
