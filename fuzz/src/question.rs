//! Arbitrary requests, each one that the controller could make: the names in it are well formed, and attributes unique.

use std::{collections::HashSet, fmt::Display, str::FromStr};

use arbitrary::Arbitrary;
use landfall::{
    api::ids::Target,
    policy::{
        consent::Landing,
        request::{Creates, PodJson, Request, Workflow},
    },
};

use crate::pod::{Pod, Text};

/// Clusters and namespaces, some of which the rules of the targets name, and some of which only begin like those.
const LABELS: &[&str] =
    &["default", "other", "argo", "team-a", "team-b", "prod", "ci", "net", "team", "team-a-1", "x", "0", "hq"];
/// As long as a DNS label may be.
const LABEL_BYTES_MAX: usize = 63;

/// What a request is made from.
#[derive(Debug, Arbitrary)]
pub struct Question {
    /// Which of several chains is asked.
    pub chain: u8,
    home: Option<Label>,
    namespace: Label,
    cluster: Label,
    target: Label,
    workflow: Text,
    uid: Text,
    template: Text,
    service_account: Text,
    attributes: Vec<(Text, Text)>,
    pod: Option<Pod>,
}

/// The name of a cluster or namespace.
#[derive(Debug, Arbitrary)]
pub enum Label {
    /// One of a few.
    Known(u8),
    /// Whatever can be made of this.
    Any(String),
}

impl Question {
    /// The request.
    pub fn request(&self) -> Request {
        let mut names = HashSet::new();
        let attributes = self.attributes.iter().map(|(name, value)| (name.text(), value.text()));
        Request {
            home: self.home.as_ref().map_or_else(|| LABELS[0].to_owned(), Label::text).checked(),
            workflow: Workflow {
                namespace: self.namespace.text().checked(),
                name: self.workflow.text(),
                uid: self.uid.text(),
            },
            template: self.template.text(),
            target: Target { cluster: self.cluster.text().checked(), namespace: self.target.text().checked() },
            service_account: self.service_account.text(),
            creates: Creates::Pod,
            pod: self.pod.as_ref().map(|pod| PodJson::from(pod.json().to_string())),
            attributes: attributes.filter(|(name, _)| names.insert(name.clone())).collect(),
            landing: Landing::Open,
        }
    }
}

impl Label {
    fn text(&self) -> String {
        match self {
            Label::Known(number) => LABELS[usize::from(*number) % LABELS.len()].to_owned(),
            Label::Any(text) => {
                let fits = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
                let text: String = text.chars().filter(fits).take(LABEL_BYTES_MAX).collect();
                let text = text.trim_matches('-');
                if text.is_empty() { LABELS[0].to_owned() } else { text.to_owned() }
            }
        }
    }
}

/// A text that is a name.
trait Checked {
    fn checked<T: FromStr<Err: Display>>(&self) -> T;
}

impl Checked for String {
    fn checked<T: FromStr<Err: Display>>(&self) -> T {
        self.parse().unwrap_or_else(|error| panic!("{error}"))
    }
}
