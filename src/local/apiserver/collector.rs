//! What follows from a change: dependents of a gone owner are deleted, terminating namespaces and definitions emptied,
//! new namespaces furnished, resources of new definitions served.
//!
//! Kubernetes does this in controllers some moments later. Here it happens before the lock is let go: the fastest
//! collector there can be, which is also the one that surprises a controller most.

use serde_json::{Value, json};

use crate::local::apiserver::{
    deletion::{DeleteOptions, Deleted, FINALIZER_FOREGROUND, Propagation, delete, drop_owners, may_go, seconds},
    resources::{Id, from_definition},
    store::{Change, Inner, Key, Object, Place, text},
};

/// Follows up all pending changes, and those that this makes in turn.
pub fn settle(inner: &mut Inner) {
    while let Some(change) = inner.pending.pop_front() {
        match change {
            Change::Written(place) => written(inner, &place),
            Change::Removed { id, object } => removed(inner, &id, &object),
        }
    }
}

fn written(inner: &mut Inner, place: &Place) {
    let Some(object) = inner.get(&place.id, &place.key) else { return };
    let Some(resource) = inner.resource(&place.id) else { return };
    if resource.is_namespaces() && !object.terminating {
        furnish(inner, &place.key.name);
    }
    if resource.is_definitions()
        && let Some(resource) = from_definition(&object.value())
    {
        inner.install(resource);
    }
    if !object.owners.is_empty() {
        collect(inner, place);
    }
    if !object.terminating {
        return;
    }
    if resource.is_namespaces() {
        empty(inner, Some(&place.key.name), None);
        finish_if_empty(inner, place);
    } else if resource.is_definitions() {
        empty(inner, None, from_definition(&object.value()).map(|resource| resource.id()));
        finish_if_empty(inner, place);
    } else {
        foreground(inner, place, &object);
    }
}

fn removed(inner: &mut Inner, id: &Id, object: &Object) {
    for dependent in inner.dependents(&object.uid) {
        collect(inner, &dependent);
    }
    for owner in &object.owners {
        if let Some(place) = inner.place(owner).cloned()
            && inner.get(&place.id, &place.key).is_some_and(|owner| owner.terminating)
        {
            inner.pending.push_back(Change::Written(place));
        }
    }
    if !object.key.namespace.is_empty() {
        let namespace = Place { id: Id::new("", "namespaces"), key: Key::new("", &object.key.namespace) };
        finish_if_empty(inner, &namespace);
    }
    if *id == Id::new("apiextensions.k8s.io", "customresourcedefinitions") {
        if let Some(resource) = from_definition(&object.value()) {
            inner.uninstall(&resource.id());
        }
    } else {
        let name = format!("{}.{}", id.plural, id.group);
        let definition =
            Place { id: Id::new("apiextensions.k8s.io", "customresourcedefinitions"), key: Key::new("", &name) };
        finish_if_empty(inner, &definition);
    }
}

/// A namespace has a service account that pods use unless they say otherwise.
fn furnish(inner: &mut Inner, namespace: &str) {
    let id = Id::new("", "serviceaccounts");
    if inner.get(&id, &Key::new(namespace, "default")).is_some() {
        return;
    }
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {
            "name": "default", "namespace": namespace, "uid": uuid::Uuid::new_v4().to_string(),
            "creationTimestamp": seconds(jiff::Timestamp::now()),
        },
    });
    if let Err(refusal) = inner.put(&id, account) {
        tracing::warn!(namespace, error = refusal.message, "no default service account");
    }
}

/// Deletes an object whose owners are all gone; takes gone owners off one that has others.
fn collect(inner: &mut Inner, place: &Place) {
    let Some(object) = inner.get(&place.id, &place.key) else { return };
    let near = |owner: &Place| owner.key.namespace.is_empty() || owner.key.namespace == place.key.namespace;
    if object.owners.iter().all(|owner| inner.place(owner).is_some_and(near)) {
        // The common case, decided without reading the whole object.
        return;
    }
    let mut value = object.value();
    let owners = value.pointer("/metadata/ownerReferences").and_then(Value::as_array).cloned().unwrap_or_default();
    let gone: Vec<&Value> = owners.iter().filter(|owner| !is_alive(inner, &place.key.namespace, owner)).collect();
    if gone.is_empty() {
        return;
    }
    if gone.len() < owners.len() {
        drop_owners(&mut value, |owner| gone.contains(&owner));
        if let Err(refusal) = inner.put(&place.id, value) {
            tracing::warn!(name = place.key.name, error = refusal.message, "gone owners could not be taken off");
        }
    } else if !object.terminating {
        remove(inner, place, Propagation::Background);
    }
}

/// An owner is looked for by UID, in the dependent's own namespace or cluster-wide: one in another namespace counts as gone.
fn is_alive(inner: &Inner, namespace: &str, owner: &Value) -> bool {
    let (group, _) = text(owner, "/apiVersion").split_once('/').unwrap_or_default();
    let kind = text(owner, "/kind");
    if !inner.resources().iter().any(|resource| resource.group == group && resource.kind == kind) {
        // Kubernetes can't look for a kind it doesn't know, and leaves the dependent alone.
        return true;
    }
    let Some(place) = inner.place(text(owner, "/uid")) else { return false };
    let reachable = namespace.is_empty() || place.key.namespace.is_empty() || place.key.namespace == namespace;
    reachable && place.key.name == text(owner, "/name")
}

/// An owner deleted in the foreground goes after its dependents.
fn foreground(inner: &mut Inner, place: &Place, owner: &Object) {
    let mut value = owner.value();
    let waits = |value: &Value| {
        let finalizers = value.pointer("/metadata/finalizers").and_then(Value::as_array);
        finalizers.is_some_and(|them| them.iter().any(|finalizer| finalizer == FINALIZER_FOREGROUND))
    };
    if !waits(&value) {
        return;
    }
    for dependent in inner.dependents(&owner.uid) {
        let Some(object) = inner.get(&dependent.id, &dependent.key) else { continue };
        if !object.terminating {
            let deep = if inner.dependents(&object.uid).is_empty() {
                Propagation::Background
            } else {
                Propagation::Foreground
            };
            remove(inner, &dependent, deep);
        }
    }
    let blocks = |dependent: &Place| {
        let Some(object) = inner.get(&dependent.id, &dependent.key) else { return false };
        let value = object.value();
        let owners = value.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        owners.into_iter().flatten().any(|it| text(it, "/uid") == owner.uid && it["blockOwnerDeletion"] == true)
    };
    if inner.dependents(&owner.uid).iter().any(blocks) {
        return;
    }
    if let Some(Value::Array(finalizers)) = value.pointer_mut("/metadata/finalizers") {
        finalizers.retain(|finalizer| finalizer != FINALIZER_FOREGROUND);
    }
    if may_go(&value) {
        inner.remove(&place.id, &place.key);
    } else if let Err(refusal) = inner.put(&place.id, value) {
        tracing::warn!(
            name = place.key.name,
            error = refusal.message,
            "the foreground finalizer could not be taken off"
        );
    }
}

/// Deletes everything in a namespace, or everything of one resource.
fn empty(inner: &mut Inner, namespace: Option<&str>, only: Option<Id>) {
    for resource in inner.resources() {
        let id = resource.id();
        if only.as_ref().is_some_and(|only| *only != id) || (namespace.is_some() && !resource.namespaced) {
            continue;
        }
        for key in inner.keys(&id, namespace) {
            if inner.get(&id, &key).is_some_and(|object| !object.terminating) {
                remove(inner, &Place { id: id.clone(), key }, Propagation::Background);
            }
        }
    }
}

/// Removes a terminating namespace or definition once it holds nothing.
fn finish_if_empty(inner: &mut Inner, place: &Place) {
    let Some(object) = inner.get(&place.id, &place.key) else { return };
    if !object.terminating {
        return;
    }
    let value = object.value();
    let is_empty = match from_definition(&value) {
        Some(resource) => inner.keys(&resource.id(), None).is_empty(),
        None => inner.is_empty(&place.key.name),
    };
    if is_empty && may_go(&value) {
        inner.remove(&place.id, &place.key);
    }
}

fn remove(inner: &mut Inner, place: &Place, propagation: Propagation) {
    let Some(resource) = inner.resource(&place.id) else { return };
    let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
    match delete(inner, &resource, &place.key, &options) {
        Ok(Deleted::Gone(_) | Deleted::Terminating(_)) => (),
        Err(refusal) => tracing::warn!(name = place.key.name, error = refusal.message, "could not be collected"),
    }
}
