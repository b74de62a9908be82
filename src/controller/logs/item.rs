//! What the answer is made of: one JSON object a line. An empty line says nothing but that the connection lives. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::ids::{ClusterName, Namespace};

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Item {
    /// A line that a container printed.
    Line(Line),
    /// Something is missing, or will be; the rest goes on.
    Problem {
        /// For people.
        problem: String,
    },
    /// This is all. An answer without it was cut off.
    End {
        /// The phase of the workflow; empty if it is no more.
        end: String,
    },
}

/// A line that a container printed, or a piece of one that is very long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The name of the node that the pod is of.
    pub node: String,
    /// The pod.
    pub pod: String,
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its namespace in that cluster.
    pub namespace: Namespace,
    /// The container.
    pub container: String,
    /// The text, without its break.
    pub text: String,
    /// When it was printed, by the clock of the machine that ran it, if that machine tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::Item;

    #[test]
    fn items_are_told_apart_by_their_fields() {
        for text in [
            r#"{"node":"w.a","pod":"w-1","cluster":"other","namespace":"argo","container":"main","text":"hi","time":"2026-11-24T08:30:00.123456789Z"}"#,
            r#"{"node":"w.a","pod":"w-1","cluster":"other","namespace":"argo","container":"main","text":""}"#,
            r#"{"problem":"cluster \"other\" is away"}"#,
            r#"{"end":"Succeeded"}"#,
        ] {
            let item: Item = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&item).unwrap(), text);
        }
        assert!(serde_json::from_str::<Item>(r#"{"node":"w.a"}"#).is_err());
    }
}
