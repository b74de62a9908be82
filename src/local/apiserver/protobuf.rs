//! Bodies in Kubernetes' protobuf: kubectl 1.32 and later writes them for `create namespace` and its like, with no way
//! back to JSON. Only the kinds that kubectl makes so are read; answers are always JSON, which every client takes.
//!
//! The field numbers are those of the `generated.proto` files of `k8s.io/api` and `k8s.io/apimachinery`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::local::apiserver::deletion::seconds;

/// What an encoded object begins with.
const MAGIC: &[u8] = b"k8s\0";

/// A field of a message: its number, its JSON name, and what it holds.
type Field = (u64, &'static str, Content);

#[derive(Clone, Copy)]
enum Content {
    Text,
    Texts,
    Bool,
    Integer,
    Time,
    Message(&'static [Field]),
    Messages(&'static [Field]),
    TextMap,
    BytesMap,
}

use Content::{Bool, BytesMap, Integer, Message, Messages, Text, TextMap, Texts, Time};

const OWNER: &[Field] = &[
    (1, "kind", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "controller", Bool),
    (7, "blockOwnerDeletion", Bool),
];
const METADATA: Field = (
    1,
    "metadata",
    Message(&[
        (1, "name", Text),
        (2, "generateName", Text),
        (3, "namespace", Text),
        (5, "uid", Text),
        (6, "resourceVersion", Text),
        (8, "creationTimestamp", Time),
        (11, "labels", TextMap),
        (12, "annotations", TextMap),
        (13, "ownerReferences", Messages(OWNER)),
        (14, "finalizers", Texts),
    ]),
);
const REFERENCE: &[Field] = &[
    (1, "kind", Text),
    (2, "namespace", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "resourceVersion", Text),
    (7, "fieldPath", Text),
];
const RULE: &[Field] = &[
    (1, "verbs", Texts),
    (2, "apiGroups", Texts),
    (3, "resources", Texts),
    (4, "resourceNames", Texts),
    (5, "nonResourceURLs", Texts),
];
const SUBJECT: &[Field] = &[(1, "kind", Text), (2, "apiGroup", Text), (3, "name", Text), (4, "namespace", Text)];
const ROLE: &[Field] = &[METADATA, (2, "rules", Messages(RULE))];
const BINDING: &[Field] = &[
    METADATA,
    (2, "subjects", Messages(SUBJECT)),
    (3, "roleRef", Message(&[(1, "apiGroup", Text), (2, "kind", Text), (3, "name", Text)])),
];

/// The fields of a kind; `None` for kinds that aren't read.
fn fields(kind: &str) -> Option<&'static [Field]> {
    Some(match kind {
        "Namespace" => &[METADATA],
        "ConfigMap" => &[METADATA, (2, "data", TextMap), (3, "binaryData", BytesMap), (4, "immutable", Bool)],
        "Secret" => {
            &[METADATA, (2, "data", BytesMap), (3, "type", Text), (4, "stringData", TextMap), (5, "immutable", Bool)]
        }
        "ServiceAccount" => &[
            METADATA,
            (2, "secrets", Messages(REFERENCE)),
            (3, "imagePullSecrets", Messages(&[(1, "name", Text)])),
            (4, "automountServiceAccountToken", Bool),
        ],
        "Role" | "ClusterRole" => ROLE,
        "RoleBinding" | "ClusterRoleBinding" => BINDING,
        "Event" => &[
            METADATA,
            (2, "involvedObject", Message(REFERENCE)),
            (3, "reason", Text),
            (4, "message", Text),
            (5, "source", Message(&[(1, "component", Text), (2, "host", Text)])),
            (6, "firstTimestamp", Time),
            (7, "lastTimestamp", Time),
            (8, "count", Integer),
            (9, "type", Text),
        ],
        "DeleteOptions" => &[
            (1, "gracePeriodSeconds", Integer),
            (2, "preconditions", Message(&[(1, "uid", Text), (2, "resourceVersion", Text)])),
            (3, "orphanDependents", Bool),
            (4, "propagationPolicy", Text),
            (5, "dryRun", Texts),
        ],
        // What is asked doesn't matter where everything is allowed.
        "SelfSubjectAccessReview"
        | "SelfSubjectRulesReview"
        | "SubjectAccessReview"
        | "LocalSubjectAccessReview"
        | "TokenRequest" => &[],
        _ => return None,
    })
}

/// The object that a body holds; `None` if it is of a kind that isn't read, or not such a body at all.
pub fn decode(body: &[u8]) -> Option<Value> {
    let envelope = body.strip_prefix(MAGIC)?;
    let (mut kind, mut api_version, mut raw) = (String::new(), String::new(), &[][..]);
    each(envelope, |number, part| match (number, part) {
        (1, Part::Bytes(meta)) => each(meta, |number, part| {
            if let Part::Bytes(text) = part {
                let target = if number == 1 { &mut api_version } else { &mut kind };
                *target = String::from_utf8_lossy(text).into_owned();
            }
            Some(())
        }),
        (2, Part::Bytes(bytes)) => {
            raw = bytes;
            Some(())
        }
        (_, _) => Some(()),
    })?;
    let mut object = message(raw, fields(&kind)?)?;
    object.insert("kind".to_owned(), json!(kind));
    object.insert("apiVersion".to_owned(), json!(api_version));
    Some(Value::Object(object))
}

#[derive(Clone, Copy)]
enum Part<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Visits the fields of an encoded message; `None` if it is cut off or the visitor gives up.
fn each<'a>(mut bytes: &'a [u8], mut visit: impl FnMut(u64, Part<'a>) -> Option<()>) -> Option<()> {
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let part = match tag & 7 {
            0 => Part::Number(varint(&mut bytes)?),
            1 => Part::Bytes(take(&mut bytes, 8)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                Part::Bytes(take(&mut bytes, length)?)
            }
            5 => Part::Bytes(take(&mut bytes, 4)?),
            _ => return None,
        };
        visit(tag >> 3, part)?;
    }
    Some(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn message(bytes: &[u8], fields: &[Field]) -> Option<Map<String, Value>> {
    let mut object = Map::new();
    each(bytes, |number, part| {
        let Some((_, name, content)) = fields.iter().find(|(known, _, _)| *known == number) else { return Some(()) };
        let mut many = |item: Value| {
            match object.entry(*name).or_insert_with(|| json!([])) {
                Value::Array(items) => items.push(item),
                other => *other = json!([item]),
            }
            Some(())
        };
        let one = match (content, part) {
            // Go writes empty texts too; in JSON they would be left out.
            (Text, Part::Bytes([])) => return Some(()),
            (Text, Part::Bytes(text)) => json!(String::from_utf8_lossy(text)),
            (Bool, Part::Number(number)) => json!(number != 0),
            (Integer, Part::Number(number)) => json!(number.cast_signed()),
            (Time, Part::Bytes(time)) => match timestamp(time)? {
                Some(time) => json!(time),
                None => return Some(()),
            },
            (Message(fields), Part::Bytes(inner)) => Value::Object(message(inner, fields)?),
            (Texts, Part::Bytes(text)) => return many(json!(String::from_utf8_lossy(text))),
            (Messages(fields), Part::Bytes(inner)) => return many(Value::Object(message(inner, fields)?)),
            (TextMap | BytesMap, Part::Bytes(entry)) => {
                let (key, value) = map_entry(entry)?;
                let value = if matches!(content, BytesMap) {
                    STANDARD.encode(value)
                } else {
                    String::from_utf8_lossy(value).into_owned()
                };
                object.entry(*name).or_insert_with(|| json!({}))[key] = json!(value);
                return Some(());
            }
            (Text | Bool | Integer | Time | Message(_) | Texts | Messages(_) | TextMap | BytesMap, _) => return None,
        };
        object.insert((*name).to_owned(), one);
        Some(())
    })?;
    Some(object)
}

fn map_entry(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (mut key, mut value) = (String::new(), &[][..]);
    each(bytes, |number, part| {
        match (number, part) {
            (1, Part::Bytes(text)) => key = String::from_utf8_lossy(text).into_owned(),
            (2, Part::Bytes(bytes)) => value = bytes,
            (_, _) => (),
        }
        Some(())
    })?;
    Some((key, value))
}

/// A time of whole seconds; the inner `None` is the zero time, an empty message.
fn timestamp(bytes: &[u8]) -> Option<Option<String>> {
    let mut found = None;
    each(bytes, |number, part| {
        if let (1, Part::Number(number)) = (number, part) {
            found = Some(number.cast_signed());
        }
        Some(())
    })?;
    match found {
        None => Some(None),
        Some(found) => Some(Some(seconds(Timestamp::from_second(found).ok()?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of bytes, as protobuf writes it.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn encoded(kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [MAGIC, &field(1, &meta), &field(2, raw)].concat()
    }

    #[test]
    fn bodies_are_read() {
        let metadata = field(
            1,
            &[field(1, b"a"), field(2, b""), field(8, b""), field(11, &[field(1, b"x"), field(2, b"y")].concat())]
                .concat(),
        );
        let entry = [field(1, b"key"), field(2, b"value")].concat();
        let metadata_json = json!({"name": "a", "labels": {"x": "y"}});
        let cases = [
            (
                encoded("ConfigMap", &[metadata.clone(), field(2, &entry)].concat()),
                Some(
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata_json, "data": {"key": "value"}}),
                ),
            ),
            (
                encoded("Secret", &[metadata.clone(), field(2, &entry)].concat()),
                Some(
                    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata_json, "data": {"key": "dmFsdWU="}}),
                ),
            ),
            (
                encoded("DeleteOptions", &[1 << 3, 0]),
                Some(json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0})),
            ),
            (encoded("Pod", &metadata), None),
            (encoded("ConfigMap", &metadata[..4]), None),
            (b"{}".to_vec(), None),
            (b"k8s\0\xff\xff".to_vec(), None),
        ];
        for (body, expected) in cases {
            assert_eq!(decode(&body), expected, "{body:?}");
        }
    }
}
