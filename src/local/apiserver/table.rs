//! Tables, as `kubectl get` asks for them: the columns of each kind and what stands in them.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::local::apiserver::{
    resources::{Column, Resource},
    shape::metadata,
    store::text,
};

type Cell = fn(&Value) -> Value;

/// A column of a built-in kind: name, type, priority (0 is always shown, 1 with `-o wide`), cell.
type BuiltIn = (&'static str, &'static str, i64, Cell);

pub fn table(resource: &Resource, list: Value, objects: &[Value]) -> Value {
    let built_in = columns(resource);
    let mut definitions = vec![json!({
        "name": "Name", "type": "string", "format": "name", "priority": 0,
        "description": "Name must be unique within a namespace.",
    })];
    for (name, kind, priority, _) in built_in {
        definitions.push(json!({"name": name, "type": kind, "format": "", "description": "", "priority": priority}));
    }
    for column in &resource.columns {
        definitions.push(json!({
            "name": column.name, "type": column.kind, "format": column.format, "description": column.description,
            "priority": column.priority,
        }));
    }
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let mut cells = vec![json!(text(object, "/metadata/name"))];
            cells.extend(built_in.iter().map(|(_, _, _, cell)| cell(object)));
            cells.extend(resource.columns.iter().map(|column| custom(column, object)));
            json!({"cells": cells, "object": metadata(object)})
        })
        .collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list, "columnDefinitions": definitions, "rows": rows})
}

fn columns(resource: &Resource) -> &'static [BuiltIn] {
    const AGE: BuiltIn = ("Age", "string", 0, age);
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => &[
            ("Ready", "string", 0, ready),
            ("Status", "string", 0, pod_status),
            ("Restarts", "string", 0, restarts),
            AGE,
            ("IP", "string", 1, |pod| or_none(text(pod, "/status/podIP"))),
            ("Node", "string", 1, |pod| or_none(text(pod, "/spec/nodeName"))),
        ],
        ("", "namespaces") => &[("Status", "string", 0, |it| json!(text(it, "/status/phase"))), AGE],
        ("", "nodes") => &[
            ("Status", "string", 0, node_status),
            AGE,
            ("Version", "string", 0, |it| json!(text(it, "/status/nodeInfo/kubeletVersion"))),
        ],
        ("", "configmaps") => &[("Data", "string", 0, |it| json!(size(&it["data"]) + size(&it["binaryData"]))), AGE],
        ("", "secrets") => {
            &[("Type", "string", 0, |it| it["type"].clone()), ("Data", "string", 0, |it| json!(size(&it["data"]))), AGE]
        }
        ("", "serviceaccounts") => &[("Secrets", "string", 0, |it| json!(size(&it["secrets"]))), AGE],
        ("", "events") => &[
            ("Last Seen", "string", 0, last_seen),
            ("Type", "string", 0, |it| it["type"].clone()),
            ("Reason", "string", 0, |it| it["reason"].clone()),
            ("Object", "string", 0, involved),
            ("Message", "string", 0, |it| json!(text(it, "/message").trim())),
        ],
        ("", "persistentvolumeclaims") => &[
            ("Status", "string", 0, |it| json!(text(it, "/status/phase"))),
            ("Capacity", "string", 0, |it| json!(text(it, "/status/capacity/storage"))),
            AGE,
        ],
        ("", "services") => &[
            ("Type", "string", 0, |it| json!(text(it, "/spec/type"))),
            ("Cluster-IP", "string", 0, |it| or_none(text(it, "/spec/clusterIP"))),
            AGE,
        ],
        ("coordination.k8s.io", "leases") => {
            &[("Holder", "string", 0, |it| json!(text(it, "/spec/holderIdentity"))), AGE]
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => &[
            ("Role", "string", 0, |it| json!(format!("{}/{}", text(it, "/roleRef/kind"), text(it, "/roleRef/name")))),
            AGE,
        ],
        ("rbac.authorization.k8s.io", _) | ("apiextensions.k8s.io", _) => {
            &[("Created At", "string", 0, |it| json!(text(it, "/metadata/creationTimestamp")))]
        }
        (_, _) if resource.columns.is_empty() => &[AGE],
        (_, _) => &[],
    }
}

/// The cell of a column that a definition gives by a path.
fn custom(column: &Column, object: &Value) -> Value {
    let Some(value) = at_path(object, &column.path) else { return Value::Null };
    match (column.kind.as_str(), value) {
        ("date", Value::String(time)) => json!(since(time)),
        (_, Value::Array(_) | Value::Object(_)) => json!(value.to_string()),
        (_, value) => value.clone(),
    }
}

/// Follows a JSONPath of the simple sort: `.a.b[0].c`, where `\.` is a dot in a name.
fn at_path<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let mut value = object;
    for step in path.replace("\\.", "\u{0}").replace('[', ".").replace([']', '\'', '"'], "").split('.') {
        if step.is_empty() {
            continue;
        }
        let step = step.replace('\u{0}', ".");
        value = match value {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
            Value::Object(fields) => fields.get(&step)?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
    }
    Some(value)
}

fn size(value: &Value) -> usize {
    value.as_object().map(serde_json::Map::len).or_else(|| value.as_array().map(Vec::len)).unwrap_or_default()
}

fn or_none(text: &str) -> Value {
    json!(if text.is_empty() { "<none>" } else { text })
}

fn age(object: &Value) -> Value {
    json!(since(text(object, "/metadata/creationTimestamp")))
}

fn since(time: &str) -> String {
    let Ok(time) = time.parse::<Timestamp>() else { return "<unknown>".to_owned() };
    human(Timestamp::now().as_second() - time.as_second())
}

/// A duration as kubectl writes ages: two units where the larger is small.
fn human(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{small_unit}") }
    };
    match seconds {
        ..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ => two(days / 365, "y", days % 365, "d"),
    }
}

fn statuses<'a>(pod: &'a Value, list: &str) -> impl DoubleEndedIterator<Item = &'a Value> {
    pod["status"][list].as_array().into_iter().flatten()
}

fn ready(pod: &Value) -> Value {
    let total = pod.pointer("/spec/containers").and_then(Value::as_array).map_or(0, Vec::len);
    let ready = statuses(pod, "containerStatuses").filter(|status| status["ready"] == true).count();
    json!(format!("{ready}/{total}"))
}

fn restarts(pod: &Value) -> Value {
    let counts = statuses(pod, "containerStatuses").filter_map(|status| status["restartCount"].as_i64());
    json!(counts.sum::<i64>().to_string())
}

/// The one word that tells most about a pod.
fn pod_status(pod: &Value) -> Value {
    let mut word = text(pod, "/status/phase").to_owned();
    if !text(pod, "/status/reason").is_empty() {
        word = text(pod, "/status/reason").to_owned();
    }
    let init = statuses(pod, "initContainerStatuses")
        .position(|status| status.pointer("/state/terminated/exitCode") != Some(&json!(0)));
    let init_total = pod.pointer("/spec/initContainers").and_then(Value::as_array).map_or(0, Vec::len);
    if let Some(index) = init {
        let status = &pod["status"]["initContainerStatuses"][index];
        let reason = state_reason(status).filter(|reason| reason != "PodInitializing");
        word = reason.map_or_else(|| format!("Init:{index}/{init_total}"), |reason| format!("Init:{reason}"));
    } else {
        for status in statuses(pod, "containerStatuses").rev() {
            word = state_reason(status).unwrap_or(word);
        }
        let running = statuses(pod, "containerStatuses")
            .any(|status| status["ready"] == true && status.pointer("/state/running").is_some());
        if word == "Completed" && running {
            word = "Running".to_owned();
        }
    }
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        word = "Terminating".to_owned();
    }
    json!(word)
}

fn state_reason(status: &Value) -> Option<String> {
    let waiting = text(status, "/state/waiting/reason");
    if !waiting.is_empty() {
        return Some(waiting.to_owned());
    }
    let terminated = status.pointer("/state/terminated")?;
    let reason = text(terminated, "/reason");
    if !reason.is_empty() {
        return Some(reason.to_owned());
    }
    match terminated["signal"].as_i64() {
        Some(signal) if signal != 0 => Some(format!("Signal:{signal}")),
        Some(_) | None => Some(format!("ExitCode:{}", terminated["exitCode"])),
    }
}

fn node_status(node: &Value) -> Value {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let ready = conditions
        .filter(|condition| text(condition, "/type") == "Ready")
        .map(|condition| text(condition, "/status"))
        .next();
    json!(match ready {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    })
}

fn last_seen(event: &Value) -> Value {
    let times = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
    let time = times.iter().map(|pointer| text(event, pointer)).find(|time| !time.is_empty());
    json!(since(time.unwrap_or_default()))
}

fn involved(event: &Value) -> Value {
    json!(format!("{}/{}", text(event, "/involvedObject/kind").to_lowercase(), text(event, "/involvedObject/name")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let cases = [
            (-1, "0s"),
            (5, "5s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (700, "11m"),
            (10_860, "3h1m"),
            (90_000, "25h"),
            (172_800, "2d"),
            (864_000, "10d"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(human(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn paths_are_followed() {
        let object = json!({"a": {"b.c": [1, {"d": "x"}]}});
        assert_eq!(at_path(&object, ".a.b\\.c[1].d"), Some(&json!("x")));
        assert_eq!(at_path(&object, ".a.z"), None);
    }

    #[test]
    fn pods_have_one_word() {
        let cases = [
            (json!({"status": {"phase": "Pending"}}), "Pending"),
            (
                json!({"status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]}}),
                "ErrImagePull",
            ),
            (
                json!({"status": {"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}}),
                "Completed",
            ),
            (
                json!({"status": {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}}),
                "ExitCode:3",
            ),
            (json!({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running"}}), "Terminating"),
        ];
        for (pod, expected) in cases {
            assert_eq!(pod_status(&pod), json!(expected), "{pod}");
        }
    }
}
