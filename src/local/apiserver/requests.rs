//! Reading a request: its path, its query, what it accepts. Nothing here looks at stored objects.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use serde_json::Value;

use crate::local::{
    apiserver::{
        caller::Caller,
        decode::FieldValidation,
        protobuf,
        refusal::{Answer, Refusal},
        writes::WriteOptions,
    },
    reading,
};

/// The largest body that is read, as Kubernetes limits it.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

pub struct Request {
    pub method: Method,
    /// The path's segments, decoded.
    pub path: Vec<String>,
    pub query: BTreeMap<String, String>,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Who asks.
    pub caller: Caller,
}

/// What an answer is wanted as: clients that print, or that only look at metadata, say so in `Accept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Object,
    Metadata,
    Table,
}

/// What a path below `/api/v1` or `/apis/GROUP/VERSION` names.
#[derive(Debug, PartialEq, Eq)]
pub struct Target<'a> {
    pub group: &'a str,
    pub version: &'a str,
    pub namespace: Option<&'a str>,
    pub plural: &'a str,
    pub name: Option<&'a str>,
    pub subresource: Option<&'a str>,
}

impl Request {
    /// The listener says who asks; without it the call comes from this process.
    pub fn new(mut parts: http::request::Parts, body: Bytes) -> Request {
        let caller = parts.extensions.remove::<Caller>().unwrap_or_else(Caller::administrator);
        let path = parts.uri.path().split('/').filter(|segment| !segment.is_empty());
        Request {
            method: parts.method,
            path: path.map(|segment| decoded(segment, false)).collect(),
            query: parts.uri.query().map(parse_query).unwrap_or_default(),
            headers: parts.headers,
            body,
            caller,
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.text(name), Some("true" | "1"))
    }

    pub fn number(&self, name: &str) -> Answer<Option<u64>> {
        reading::number(name, self.text(name)).map_err(Refusal::bad_request)
    }

    pub fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn shape(&self) -> Shape {
        for media in self.header(header::ACCEPT).split(',') {
            if media.contains("as=Table") {
                return Shape::Table;
            }
            if media.contains("as=PartialObjectMetadata") {
                return Shape::Metadata;
            }
            if media.trim() == "application/json" {
                break;
            }
        }
        Shape::Object
    }

    /// The body as JSON; YAML is read too, since apply patches may be YAML.
    pub fn json(&self) -> Answer<Value> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        let wrong = |why: String| Refusal::bad_request(format!("the object provided is unrecognized: {why}"));
        match self.header(header::CONTENT_TYPE) {
            media if media.contains("protobuf") => protobuf::decode(&self.body)
                .ok_or_else(|| Refusal::unsupported_media_type("application/json, application/yaml")),
            media if media.contains("cbor") => {
                Err(Refusal::unsupported_media_type("application/json, application/yaml"))
            }
            media if media.contains("yaml") => {
                serde_saphyr::from_slice(&self.body).map_err(|error| wrong(error.to_string()))
            }
            _ => serde_json::from_slice(&self.body).map_err(|error| wrong(error.to_string())),
        }
    }

    pub fn write_options(&self) -> Answer<WriteOptions> {
        let dry_run = match self.text("dryRun") {
            None => false,
            Some("All") => true,
            Some(other) => {
                let message = format!("dryRun: Unsupported value: {other:?}: supported values: \"All\"");
                return Err(Refusal::bad_request(message));
            }
        };
        let validation = match self.text("fieldValidation") {
            Some("Strict") => FieldValidation::Strict,
            Some("Ignore") => FieldValidation::Ignore,
            Some(_) | None => FieldValidation::Warn,
        };
        Ok(WriteOptions { dry_run, validation })
    }
}

/// Splits the path of a request for objects; `None` if it isn't one.
pub fn target(path: &[String]) -> Option<Target<'_>> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let (group, version, rest) = match path.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let core = group.is_empty();
    let (namespace, rest) = match rest {
        ["namespaces", _, "status" | "finalize"] if core => (None, rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        rest => (None, rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, None, None),
        [plural, name] => (*plural, Some(*name), None),
        [plural, name, subresource] => (*plural, Some(*name), Some(*subresource)),
        _ => return None,
    };
    Some(Target { group, version, namespace, plural, name, subresource })
}

fn parse_query(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name, true), decoded(value, true))
        })
        .collect()
}

/// Undoes percent-encoding; in a query `+` stands for a space.
fn decoded(text: &str, query: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, escaped) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) if query => {
                bytes.push(b' ');
                rest = tail;
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_targets() {
        let cases = [
            ("api/v1/pods", Some((None, "pods", None, None))),
            ("api/v1/namespaces", Some((None, "namespaces", None, None))),
            ("api/v1/namespaces/a", Some((None, "namespaces", Some("a"), None))),
            ("api/v1/namespaces/a/status", Some((None, "namespaces", Some("a"), Some("status")))),
            ("api/v1/namespaces/a/pods", Some((Some("a"), "pods", None, None))),
            ("api/v1/namespaces/a/pods/p/log", Some((Some("a"), "pods", Some("p"), Some("log")))),
            ("apis/argoproj.io/v1alpha1/namespaces/a/workflows/w", Some((Some("a"), "workflows", Some("w"), None))),
            ("apis/argoproj.io/v1alpha1", None),
            ("version", None),
        ];
        for (path, expected) in cases {
            let path: Vec<String> = path.split('/').map(str::to_owned).collect();
            let found = target(&path).map(|target| (target.namespace, target.plural, target.name, target.subresource));
            assert_eq!(found, expected, "{path:?}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let query = parse_query("labelSelector=a%3Db%2Cc+in+(d)&watch=1&empty");
        assert_eq!(query["labelSelector"], "a=b,c in (d)");
        assert_eq!(query["watch"], "1");
        assert_eq!(query["empty"], "");
        assert_eq!(decoded("100%", false), "100%");
    }
}
