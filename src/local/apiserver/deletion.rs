//! Deleting one object: preconditions, grace of running pods, finalizers, and what to do with dependents.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::local::apiserver::{
    refusal::{Answer, Refusal},
    resources::Resource,
    store::{Inner, Key, Object, Place, text},
};

pub const FINALIZER_FOREGROUND: &str = "foregroundDeletion";
/// Grace of a pod that doesn't say.
const GRACE_SECONDS_DEFAULT: i64 = 30;

/// What happens to the objects that an object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    pub uid: Option<String>,
    pub version: Option<String>,
    pub grace_seconds: Option<i64>,
    pub propagation: Option<Propagation>,
    pub dry_run: bool,
}

pub enum Deleted {
    /// The object is no more; this is its last state.
    Gone(Arc<Object>),
    /// Something must happen first: a finalizer, a pod's grace, a namespace's content.
    Terminating(Arc<Object>),
}

impl DeleteOptions {
    /// From the body of a request, a DeleteOptions object, and what the query says.
    pub fn parse(body: &Value, query: impl Fn(&str) -> Option<String>) -> Answer<DeleteOptions> {
        let policy = body["propagationPolicy"].as_str().map(str::to_owned).or_else(|| query("propagationPolicy"));
        let propagation = match policy.as_deref() {
            None | Some("") => None,
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => {
                let message = format!(
                    "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: {other:?}: supported \
                     values: \"Background\", \"Foreground\", \"Orphan\""
                );
                return Err(Refusal::unprocessable(message));
            }
        };
        let orphan = (body["orphanDependents"] == true).then_some(Propagation::Orphan);
        let grace_seconds = body["gracePeriodSeconds"].as_i64();
        let dry_run = body["dryRun"].as_array().is_some_and(|modes| !modes.is_empty()) || query("dryRun").is_some();
        Ok(DeleteOptions {
            uid: body.pointer("/preconditions/uid").and_then(Value::as_str).map(str::to_owned),
            version: body.pointer("/preconditions/resourceVersion").and_then(Value::as_str).map(str::to_owned),
            grace_seconds: grace_seconds.or_else(|| query("gracePeriodSeconds")?.parse().ok()),
            propagation: propagation.or(orphan),
            dry_run,
        })
    }
}

/// Deletes what can go at once and marks the rest. The collector sees to dependents and contents afterwards.
pub fn delete(inner: &mut Inner, resource: &Resource, key: &Key, options: &DeleteOptions) -> Answer<Deleted> {
    let id = resource.id();
    let Some(object) = inner.get(&id, key) else { return Err(Refusal::not_found(resource, &key.name)) };
    check_preconditions(resource, &object, options)?;
    if options.dry_run {
        return Ok(Deleted::Gone(object));
    }
    let dependents = inner.dependents(&object.uid);
    if options.propagation == Some(Propagation::Orphan) {
        orphan(inner, &object.uid, &dependents)?;
    }
    let mut value = object.value();
    let mut finalizers: Vec<Value> =
        value.pointer("/metadata/finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
    let foreground = options.propagation == Some(Propagation::Foreground) && !dependents.is_empty();
    if foreground && !finalizers.iter().any(|finalizer| finalizer == FINALIZER_FOREGROUND) {
        finalizers.push(json!(FINALIZER_FOREGROUND));
        value["metadata"]["finalizers"] = json!(finalizers);
    }
    let grace = grace_seconds(resource, &value, options);
    let holds_content = resource.is_namespaces() || resource.is_definitions();
    if finalizers.is_empty() && grace == 0 && !holds_content {
        return inner.remove(&id, key).map(Deleted::Gone).ok_or_else(|| Refusal::not_found(resource, &key.name));
    }
    mark(resource, &mut value, grace);
    if value == object.value() {
        return Ok(Deleted::Terminating(object));
    }
    inner.put(&id, value).map(Deleted::Terminating)
}

fn check_preconditions(resource: &Resource, object: &Object, options: &DeleteOptions) -> Answer<()> {
    if let Some(uid) = &options.uid
        && *uid != object.uid
    {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted \
             and then recreated",
            object.uid
        );
        return Err(Refusal::conflict(resource, &object.key.name, &why));
    }
    if let Some(version) = &options.version
        && *version != object.version.to_string()
    {
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). The \
             object might have been modified",
            object.version
        );
        return Err(Refusal::conflict(resource, &object.key.name, &why));
    }
    Ok(())
}

/// Only a pod that a node may be running has grace: its kubelet ends it and deletes it with grace 0.
fn grace_seconds(resource: &Resource, value: &Value, options: &DeleteOptions) -> i64 {
    let finished = matches!(text(value, "/status/phase"), "Succeeded" | "Failed");
    if !resource.is_pods() || finished || text(value, "/spec/nodeName").is_empty() {
        return 0;
    }
    let of_pod =
        value.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(GRACE_SECONDS_DEFAULT);
    let asked = options.grace_seconds.unwrap_or(of_pod).max(0);
    // A second delete can shorten the grace, never lengthen it.
    let left = value.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    left.map_or(asked, |left| asked.min(left))
}

fn mark(resource: &Resource, value: &mut Value, grace: i64) {
    let marked = value.pointer("/metadata/deletionTimestamp").is_some();
    let before = value.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    if marked && before == Some(grace) {
        return;
    }
    let at = Timestamp::now().saturating_add(SignedDuration::from_secs(grace)).unwrap_or(Timestamp::MAX);
    value["metadata"]["deletionTimestamp"] = json!(seconds(at));
    value["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    if resource.generation && !marked {
        let generation = value.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default();
        value["metadata"]["generation"] = json!(generation + 1);
    }
    if resource.is_namespaces() {
        value["status"]["phase"] = json!("Terminating");
    }
}

/// Takes the owner off its dependents, so that they outlive it.
fn orphan(inner: &mut Inner, uid: &str, dependents: &[Place]) -> Answer<()> {
    for place in dependents {
        let Some(dependent) = inner.get(&place.id, &place.key) else { continue };
        let mut value = dependent.value();
        drop_owners(&mut value, |owner| text(owner, "/uid") == uid);
        inner.put(&place.id, value)?;
    }
    Ok(())
}

/// Removes the owner references that `unwanted` names.
pub fn drop_owners(value: &mut Value, unwanted: impl Fn(&Value) -> bool) {
    let Some(Value::Object(metadata)) = value.get_mut("metadata") else { return };
    if let Some(Value::Array(owners)) = metadata.get_mut("ownerReferences") {
        owners.retain(|owner| !unwanted(owner));
        if owners.is_empty() {
            metadata.remove("ownerReferences");
        }
    }
}

/// Whether nothing keeps a marked object any more.
pub fn may_go(value: &Value) -> bool {
    let finalizers =
        value.pointer("/metadata/finalizers").and_then(Value::as_array).is_some_and(|them| !them.is_empty());
    let grace = value.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or_default();
    value.pointer("/metadata/deletionTimestamp").is_some() && !finalizers && grace == 0
}

/// A time as `metav1.Time` writes it.
pub fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
