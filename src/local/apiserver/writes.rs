//! Creating and updating: what the server sets itself, what it keeps from the stored object, and compare-and-swap.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::local::apiserver::{
    collector::settle,
    decode::{FieldValidation, decode},
    defaults,
    deletion::{may_go, seconds},
    refusal::{Answer, Cause, Refusal},
    resources::{Id, Resource},
    store::{Inner, Key, Object, Store, text},
    validate,
};

/// Characters of generated names: Kubernetes leaves out vowels and what looks alike.
const SUFFIX_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// `generateName` is cut so that the whole name stays a label.
const GENERATE_NAME_MAX: usize = 58;

/// How a write is made.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    pub dry_run: bool,
    pub validation: FieldValidation,
}

pub struct Written {
    pub object: Arc<Object>,
    pub created: bool,
    pub warnings: Vec<String>,
}

/// Which part of an object an update may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Main,
    Status,
}

pub fn create(
    store: &Store,
    resource: &Resource,
    namespace: &str,
    body: Value,
    options: &WriteOptions,
) -> Answer<Written> {
    check_identity(resource, namespace, None, &body)?;
    let (mut value, warnings) = decode(resource, body, options.validation)?;
    if !text(&value, "/metadata/resourceVersion").is_empty() {
        return Err(Refusal::bad_request("resourceVersion should not be set on objects to be created"));
    }
    set_metadata(resource, namespace, &mut value);
    defaults::on_create(resource, &mut value);
    let key = Key::of(&value);
    refuse(resource, &key.name, &validate::object(resource, &value))?;
    let mut inner = store.lock();
    admit(&inner, resource, &value)?;
    if inner.get(&resource.id(), &key).is_some() {
        return Err(Refusal::already_exists(resource, &key.name));
    }
    if options.dry_run {
        let object = Arc::new(Object::new(resource, value, inner.version())?);
        return Ok(Written { object, created: true, warnings });
    }
    let object = inner.put(&resource.id(), value)?;
    settle(&mut inner);
    Ok(Written { object, created: true, warnings })
}

/// Writes what `change` makes of the stored object. It runs again if another write came between, unless the caller's
/// object says which version it was made from.
pub fn update(
    store: &Store,
    resource: &Resource,
    key: &Key,
    part: Part,
    options: &WriteOptions,
    change: impl Fn(&Value) -> Answer<Value>,
) -> Answer<Written> {
    let id = resource.id();
    loop {
        let Some(current) = store.lock().get(&id, key) else { return Err(Refusal::not_found(resource, &key.name)) };
        let old = current.value();
        let body = change(&old)?;
        check_identity(resource, &key.namespace, Some(&key.name), &body)?;
        let (mut new, warnings) = decode(resource, body, options.validation)?;
        check_version(resource, &current, &new)?;
        refuse(resource, &key.name, &validate::deletion(&old, &new))?;
        keep_metadata(&old, &mut new);
        keep_part(resource, part, &old, &mut new);
        defaults::on_update(resource, &old, &mut new);
        count_generation(resource, &old, &mut new);
        new["metadata"]["resourceVersion"] = json!(current.version.to_string());
        if new == old {
            return Ok(Written { object: current, created: false, warnings });
        }
        let mut causes = validate::object(resource, &new);
        causes.extend(validate::change(resource, &old, &new));
        refuse(resource, &key.name, &causes)?;
        let mut inner = store.lock();
        if inner.get(&id, key).is_none_or(|now| now.version != current.version) {
            continue;
        }
        if options.dry_run {
            let object = Arc::new(Object::new(resource, new, current.version)?);
            return Ok(Written { object, created: false, warnings });
        }
        let object = if may_go(&new) && !resource.is_namespaces() && !resource.is_definitions() {
            // The last finalizer has gone, and the object with it; the writer is answered what it wrote.
            inner.remove(&id, key);
            Arc::new(Object::new(resource, new, inner.version())?)
        } else {
            inner.put(&id, new)?
        };
        settle(&mut inner);
        return Ok(Written { object, created: false, warnings });
    }
}

fn refuse(resource: &Resource, name: &str, causes: &[Cause]) -> Answer<()> {
    if causes.is_empty() { Ok(()) } else { Err(Refusal::invalid(resource, name, causes)) }
}

/// The body must be of the kind, namespace and name that the path says.
fn check_identity(resource: &Resource, namespace: &str, name: Option<&str>, body: &Value) -> Answer<()> {
    if !body.is_object() {
        return Err(Refusal::bad_request("the object provided is unrecognized (must be of type object)"));
    }
    let (kind, api_version) = (text(body, "/kind"), text(body, "/apiVersion"));
    if kind.is_empty() {
        return Err(Refusal::bad_request("Object 'Kind' is missing in the object provided"));
    }
    if kind != resource.kind || api_version != resource.api_version() {
        let (expected, expected_version) = (&resource.kind, resource.api_version());
        return Err(Refusal::bad_request(format!(
            "{kind} in version {api_version:?} cannot be handled as a {expected}: the API version in the data \
             ({api_version}) does not match the expected API version ({expected_version})"
        )));
    }
    let given = text(body, "/metadata/namespace");
    if resource.namespaced && !given.is_empty() && given != namespace {
        return Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let given = text(body, "/metadata/name");
    if let Some(name) = name
        && given != name
    {
        let message = format!("the name of the object ({given}) does not match the name on the URL ({name})");
        return Err(Refusal::bad_request(message));
    }
    Ok(())
}

fn set_metadata(resource: &Resource, namespace: &str, value: &mut Value) {
    if !value["metadata"].is_object() {
        value["metadata"] = json!({});
    }
    let name = text(value, "/metadata/name").to_owned();
    let prefix = text(value, "/metadata/generateName").to_owned();
    let Some(metadata) = value["metadata"].as_object_mut() else { return };
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink", "resourceVersion"] {
        metadata.remove(field);
    }
    drop_blank(metadata);
    if name.is_empty() && !prefix.is_empty() {
        metadata.insert("name".to_owned(), json!(generate_name(&prefix)));
    }
    if resource.namespaced {
        metadata.insert("namespace".to_owned(), json!(namespace));
    } else {
        metadata.remove("namespace");
    }
    metadata.insert("uid".to_owned(), json!(uuid::Uuid::new_v4().to_string()));
    metadata.insert("creationTimestamp".to_owned(), json!(seconds(Timestamp::now())));
    if resource.generation {
        metadata.insert("generation".to_owned(), json!(1));
    }
}

fn generate_name(prefix: &str) -> String {
    let end = prefix.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= GENERATE_NAME_MAX).last();
    let random = uuid::Uuid::new_v4();
    let suffix = random.as_bytes().iter().take(SUFFIX_LENGTH);
    let suffix: String =
        suffix.map(|byte| char::from(SUFFIX_ALPHABET[usize::from(*byte) % SUFFIX_ALPHABET.len()])).collect();
    format!("{}{suffix}", &prefix[..end.unwrap_or_default()])
}

/// What admission asks of the rest of the cluster: an active namespace, the pod's service account.
fn admit(inner: &Inner, resource: &Resource, value: &Value) -> Answer<()> {
    let (namespace, name) = (text(value, "/metadata/namespace"), text(value, "/metadata/name"));
    if !resource.namespaced {
        return Ok(());
    }
    let namespaces = Id::new("", "namespaces");
    let Some(home) = inner.get(&namespaces, &Key::new("", namespace)) else {
        let resource = inner.resource(&namespaces).ok_or_else(Refusal::no_such_path)?;
        return Err(Refusal::not_found(&resource, namespace));
    };
    if home.terminating {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        return Err(Refusal::forbidden(resource, name, &why));
    }
    if resource.is_pods() {
        let account = text(value, "/spec/serviceAccountName");
        if inner.get(&Id::new("", "serviceaccounts"), &Key::new(namespace, account)).is_none() {
            let why =
                format!("error looking up service account {namespace}/{account}: serviceaccount {account:?} not found");
            return Err(Refusal::forbidden(resource, name, &why));
        }
    }
    Ok(())
}

fn check_version(resource: &Resource, current: &Object, new: &Value) -> Answer<()> {
    let name = &current.key.name;
    let uid = text(new, "/metadata/uid");
    if !uid.is_empty() && uid != current.uid {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", current.uid);
        return Err(Refusal::conflict(resource, name, &why));
    }
    let version = text(new, "/metadata/resourceVersion");
    if version.is_empty() || version == "0" {
        if resource.unconditional_update {
            return Ok(());
        }
        return Err(Refusal::unversioned(resource, name));
    }
    if version != current.version.to_string() {
        return Err(Refusal::modified(resource, name));
    }
    Ok(())
}

/// Fields of the metadata that only the server writes.
fn keep_metadata(old: &Value, new: &mut Value) {
    let Some(metadata) = new["metadata"].as_object_mut() else { return };
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
    ] {
        match old["metadata"].get(field) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
    metadata.remove("selfLink");
    drop_blank(metadata);
}

/// Go leaves out what is empty.
fn drop_blank(metadata: &mut serde_json::Map<String, Value>) {
    for field in ["labels", "annotations", "finalizers", "ownerReferences", "managedFields"] {
        let blank = |value: &Value| {
            value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
        };
        if metadata.get(field).is_some_and(blank) {
            metadata.remove(field);
        }
    }
}

/// The main resource doesn't write a status that has a subresource, and the subresource writes nothing else.
fn keep_part(resource: &Resource, part: Part, old: &Value, new: &mut Value) {
    let keep = |new: &mut Value, field: &str| match (old.get(field), new.as_object_mut()) {
        (Some(value), _) => new[field] = value.clone(),
        (None, Some(fields)) => drop(fields.remove(field)),
        (None, None) => (),
    };
    match part {
        Part::Main if resource.status => keep(new, "status"),
        Part::Main => (),
        Part::Status => {
            let status = new.get("status").cloned();
            let metadata = new["metadata"].clone();
            *new = old.clone();
            match (status, new.as_object_mut()) {
                (Some(status), _) => new["status"] = status,
                (None, Some(fields)) => drop(fields.remove("status")),
                (None, None) => (),
            }
            if resource.is_pods() {
                // A kubelet may change labels and annotations along with the status, but not who owns the pod.
                new["metadata"] = metadata;
                match (old.pointer("/metadata/ownerReferences"), new["metadata"].as_object_mut()) {
                    (Some(owners), Some(metadata)) => {
                        drop(metadata.insert("ownerReferences".to_owned(), owners.clone()))
                    }
                    (None, Some(metadata)) => drop(metadata.remove("ownerReferences")),
                    (_, None) => (),
                }
            }
        }
    }
}

fn count_generation(resource: &Resource, old: &Value, new: &mut Value) {
    if !resource.generation {
        return;
    }
    let changed = |field: &String| {
        field != "metadata" && !(resource.status && field == "status") && old.get(field) != new.get(field)
    };
    let fields = old.as_object().into_iter().chain(new.as_object()).flat_map(|fields| fields.keys());
    if fields.into_iter().any(changed) {
        let generation = old.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default();
        new["metadata"]["generation"] = json!(generation + 1);
    }
}
