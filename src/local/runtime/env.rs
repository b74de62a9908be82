//! A container's environment, and `$(NAME)` in commands, as Kubernetes defines them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVarSource, Pod};
use kube::ResourceExt;

use crate::local::runtime::objects::{Objects, Unready};

/// The address of every pod: they share this machine's network.
pub const POD_IP: &str = "127.0.0.1";

/// What a container may be told about its pod.
pub struct Facts<'a> {
    /// The pod, as it is in the API server.
    pub pod: &'a Pod,
    /// The node that it runs on.
    pub node_name: &'a str,
}

/// The environment of a container over what every container here has (`base`), in the order in which it was given.
pub fn environment(
    container: &Container,
    facts: &Facts<'_>,
    objects: &Objects,
    base: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Unready> {
    let mut all = base.clone();
    for source in container.env_from.iter().flatten() {
        let entries = if let Some(it) = &source.config_map_ref {
            objects.config_map(&it.name, it.optional.unwrap_or_default())?
        } else if let Some(it) = &source.secret_ref {
            objects.secret(&it.name, it.optional.unwrap_or_default())?
        } else {
            None
        };
        let prefix = source.prefix.as_deref().unwrap_or_default();
        for (key, value) in entries.iter().flat_map(|entries| &entries.values) {
            all.insert(format!("{prefix}{key}"), String::from_utf8_lossy(value).into_owned());
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            Some(source) => from_source(source, facts, objects)?,
            // A variable may use those before it.
            None => Some(expand(variable.value.as_deref().unwrap_or_default(), &all)),
        };
        if let Some(value) = value {
            all.insert(variable.name.clone(), value);
        }
    }
    Ok(all)
}

/// The value of a variable from elsewhere; `None` if it isn't there and needn't be.
fn from_source(source: &EnvVarSource, facts: &Facts<'_>, objects: &Objects) -> Result<Option<String>, Unready> {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    if let Some(it) = &source.config_map_key_ref {
        let optional = it.optional.unwrap_or_default();
        let entries = objects.config_map(&it.name, optional)?;
        return Ok(match &entries {
            Some(entries) => text(entries.value(&it.key, optional)?),
            None => None,
        });
    }
    if let Some(it) = &source.secret_key_ref {
        let optional = it.optional.unwrap_or_default();
        let entries = objects.secret(&it.name, optional)?;
        return Ok(match &entries {
            Some(entries) => text(entries.value(&it.key, optional)?),
            None => None,
        });
    }
    match &source.field_ref {
        Some(it) => field(&it.field_path, facts).map(Some).map_err(Unready::Refused),
        None => {
            Err(Unready::Refused("only configMapKeyRef, secretKeyRef and fieldRef give environment here".to_owned()))
        }
    }
}

/// The field of a pod that the downward API gives under `path`.
pub fn field(path: &str, facts: &Facts<'_>) -> Result<String, String> {
    let pod = facts.pod;
    let spec = pod.spec.as_ref();
    let quoted = path.strip_suffix("']").and_then(|path| path.split_once("['"));
    Ok(match (path, quoted) {
        (_, Some(("metadata.labels", key))) => pod.labels().get(key).cloned().unwrap_or_default(),
        (_, Some(("metadata.annotations", key))) => pod.annotations().get(key).cloned().unwrap_or_default(),
        ("metadata.labels", _) => listed(pod.labels()),
        ("metadata.annotations", _) => listed(pod.annotations()),
        ("metadata.name", _) => pod.name_any(),
        ("metadata.namespace", _) => pod.namespace().unwrap_or_default(),
        ("metadata.uid", _) => pod.uid().unwrap_or_default(),
        ("spec.nodeName", _) => facts.node_name.to_owned(),
        ("spec.serviceAccountName", _) => {
            spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_else(|| "default".to_owned())
        }
        ("status.podIP" | "status.podIPs" | "status.hostIP" | "status.hostIPs", _) => POD_IP.to_owned(),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

fn listed(pairs: &BTreeMap<String, String>) -> String {
    pairs.iter().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join("\n")
}

/// Replaces `$(NAME)` by the variable; an unknown name stays as it is, and `$$` is one dollar sign.
pub fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match variables.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_expand_as_in_kubernetes() {
        let variables = BTreeMap::from([("A".to_owned(), "x".to_owned()), ("B".to_owned(), "$(A)".to_owned())]);
        let check = |text, expected| assert_eq!(expand(text, &variables), expected, "{text}");
        check("$(A)", "x");
        check("-$(A)-$(A)-", "-x-x-");
        check("$(B)", "$(A)");
        check("$$(A)", "$(A)");
        check("$$$(A)", "$x");
        check("$(C)", "$(C)");
        check("$A $( $", "$A $( $");
        check("$(", "$(");
        check("plain", "plain");
    }

    fn container(json: serde_json::Value) -> Container {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn variables_come_from_values_and_fields() {
        let pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a/b": "c"}, "annotations": {"k": "v"}},
            "spec": {"containers": []}
        }))
        .unwrap();
        let facts = Facts { pod: &pod, node_name: "node" };
        let base = BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]);
        let check = |env: serde_json::Value, expected: &[(&str, &str)]| {
            let container = container(serde_json::json!({"name": "main", "env": env}));
            let all = environment(&container, &facts, &Objects::default(), &base).unwrap();
            for (name, value) in expected {
                assert_eq!(all.get(*name).map(String::as_str), Some(*value), "{name}");
            }
        };
        check(
            serde_json::json!([{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(PATH)$(C)"}]),
            &[("A", "1"), ("B", "1/bin$(C)"), ("PATH", "/bin")],
        );
        let from = |path: &str| serde_json::json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}}]);
        check(from("metadata.name"), &[("A", "p")]);
        check(from("metadata.namespace"), &[("A", "n")]);
        check(from("metadata.uid"), &[("A", "u")]);
        check(from("metadata.labels['a/b']"), &[("A", "c")]);
        check(from("metadata.labels['other']"), &[("A", "")]);
        check(from("metadata.annotations['k']"), &[("A", "v")]);
        check(from("spec.nodeName"), &[("A", "node")]);
        check(from("status.podIP"), &[("A", "127.0.0.1")]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let pod = Pod::default();
        let facts = Facts { pod: &pod, node_name: "node" };
        let check = |source: serde_json::Value, expected: &str| {
            let container = container(serde_json::json!({"name": "main", "env": [{"name": "A", "valueFrom": source}]}));
            match environment(&container, &facts, &Objects::default(), &BTreeMap::new()) {
                Err(Unready::Waiting { message, .. } | Unready::Refused(message)) => assert_eq!(message, expected),
                Err(Unready::Unanswered(error)) => panic!("{error}"),
                Ok(all) => assert_eq!(format!("{all:?}"), expected),
            }
        };
        check(serde_json::json!({"configMapKeyRef": {"name": "c", "key": "k"}}), "configmap \"c\" not found");
        check(serde_json::json!({"secretKeyRef": {"name": "s", "key": "k"}}), "secret \"s\" not found");
        check(serde_json::json!({"secretKeyRef": {"name": "s", "key": "k", "optional": true}}), "{}");
        check(serde_json::json!({"fieldRef": {"fieldPath": "spec.nonsense"}}), "unsupported fieldPath: spec.nonsense");
    }
}
