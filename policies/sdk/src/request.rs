//! What a module is asked.

use std::sync::OnceLock;

use serde_json::Value;

use crate::{
    decision::{CODE_UNREADABLE_POD, Denial},
    pod::Pod,
};

/// What stands before a label's key in the name of the attribute that has its value.
const TARGET_LABEL: &str = "target-label:";
/// What stands before an annotation's key in the name of the attribute that has its value.
const TARGET_ANNOTATION: &str = "target-annotation:";

/// One question: may this be created there? The namespaces and clusters in it are well-formed DNS labels, never empty.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The name of the home cluster, the one in which workflows are watched.
    pub home: String,
    /// Who asks.
    pub workflow: Workflow,
    /// The template that the step uses.
    pub template: String,
    /// Where it is to be created.
    pub target: Target,
    /// The service account that it will run as, in the target's namespace: `default` where the pod names none.
    pub service_account: String,
    /// What is to be created.
    pub creates: Creates,
    /// Further facts as unique names with values. Ignore those that you don't know.
    pub attributes: Vec<(String, String)>,
    pod: Option<String>,
    value: OnceLock<Result<Value, Denial>>,
    typed: OnceLock<Result<Pod, Denial>>,
}

/// The workflow that asks, in the home cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workflow {
    /// Its namespace: the tenant. Most rules begin with it.
    pub namespace: String,
    /// Its name. Whoever may create workflows chooses it freely.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// A namespace of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The cluster's name, as in the controller's configuration.
    pub cluster: String,
    /// The namespace in that cluster.
    pub namespace: String,
}

/// What is to be created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Creates {
    /// The pod of one step.
    #[default]
    Pod,
}

impl Request {
    /// A request for tests: from a workflow of `namespace` to `target`, written `cluster/namespace`. Home is `default`, and
    /// so is the service account.
    ///
    /// # Panics
    ///
    /// `target` has no `/`.
    pub fn new(namespace: &str, target: &str) -> Request {
        let (cluster, target) = target.split_once('/').expect("a target is written cluster/namespace");
        Request {
            home: "default".to_owned(),
            workflow: Workflow { namespace: namespace.to_owned(), name: "main".to_owned(), uid: "0".to_owned() },
            template: "main".to_owned(),
            target: Target { cluster: cluster.to_owned(), namespace: target.to_owned() },
            service_account: "default".to_owned(),
            ..Request::default()
        }
    }

    /// The same with a pod, or as much of one as matters.
    #[must_use]
    pub fn with_pod(self, pod: &Value) -> Request {
        self.with_pod_json(pod.to_string())
    }

    /// The same with a pod as JSON.
    #[must_use]
    pub fn with_pod_json(mut self, pod: String) -> Request {
        self.pod = Some(pod);
        self.value = OnceLock::new();
        self.typed = OnceLock::new();
        self
    }

    /// The same with one more attribute.
    #[must_use]
    pub fn with_attribute(mut self, name: &str, value: &str) -> Request {
        self.attributes.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same where the target's namespace bears this label.
    #[must_use]
    pub fn with_target_label(self, key: &str, value: &str) -> Request {
        self.with_attribute(&format!("{TARGET_LABEL}{key}"), value)
    }

    /// The same where the target's namespace bears this annotation.
    #[must_use]
    pub fn with_target_annotation(self, key: &str, value: &str) -> Request {
        self.with_attribute(&format!("{TARGET_ANNOTATION}{key}"), value)
    }

    /// The target is in the home cluster.
    pub fn is_home(&self) -> bool {
        self.target.cluster == self.home
    }

    /// The value of a further fact.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a label of the target's namespace. Only those whose key begins with `policy.landfall.dev/` are told.
    pub fn target_label(&self, key: &str) -> Option<&str> {
        self.target_fact(TARGET_LABEL, key)
    }

    /// The value of an annotation of the target's namespace. Only those whose key begins with `policy.landfall.dev/` are
    /// told.
    pub fn target_annotation(&self, key: &str) -> Option<&str> {
        self.target_fact(TARGET_ANNOTATION, key)
    }

    fn target_fact(&self, prefix: &str, key: &str) -> Option<&str> {
        let is_it = |name: &str| name.strip_prefix(prefix) == Some(key);
        self.attributes.iter().find(|(name, _)| is_it(name)).map(|(_, value)| value.as_str())
    }

    /// The final pod: the parts of it that policies look at. It is read once, at the first call.
    ///
    /// # Errors
    ///
    /// The pod can't be read, with the field; or it was not given, because [`NEEDS_POD`](crate::Policy::NEEDS_POD) does
    /// not say so. Pass it on with `?`: what can't be read is denied.
    pub fn pod(&self) -> Result<&Pod, Denial> {
        self.typed.get_or_init(|| Pod::read(self.pod_json()?)).as_ref().map_err(Clone::clone)
    }

    /// The final pod as it is sent to the API server, for what [`pod`](Request::pod) doesn't show. It can hold passwords:
    /// don't quote its values in reasons.
    ///
    /// # Errors
    ///
    /// As [`pod`](Request::pod).
    pub fn pod_value(&self) -> Result<&Value, Denial> {
        let read = || {
            serde_json::from_str(self.pod_json()?)
                .map_err(|error| Denial::new(CODE_UNREADABLE_POD, format!("the pod can't be read: {error}")))
        };
        self.value.get_or_init(read).as_ref().map_err(Clone::clone)
    }

    fn pod_json(&self) -> Result<&str, Denial> {
        let missing = || Denial::new(CODE_UNREADABLE_POD, "the module was not given the pod: does it ask for it?");
        self.pod.as_deref().ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Request;

    #[test]
    fn a_pod_that_is_not_there_or_not_readable_is_a_denial() {
        let request = Request::new("argo", "other/argo");
        assert_eq!(request.pod().unwrap_err().code, "unreadable-pod");
        assert_eq!(request.pod_value().unwrap_err().code, "unreadable-pod");
        let request = request.with_pod(&json!({"spec": {"containers": [{"image": 1}]}}));
        let reason = request.pod().unwrap_err().reason;
        assert_eq!(
            reason,
            "the pod can't be read: spec.containers[0].image: invalid type: integer `1`, expected a string"
        );
        assert_eq!(request.pod_value().unwrap()["spec"]["containers"][0]["image"], 1);
    }

    #[test]
    fn attributes_are_found_by_name() {
        let request = Request::new("argo", "other/argo").with_attribute("team", "a");
        assert_eq!((request.attribute("team"), request.attribute("x")), (Some("a"), None));
        assert!(!request.is_home());
    }

    #[test]
    fn labels_and_annotations_of_the_target_are_told_apart() {
        let key = "policy.landfall.dev/tier";
        let request = Request::new("argo", "other/argo").with_target_label(key, "gold").with_attribute(key, "own");
        assert_eq!((request.target_label(key), request.target_annotation(key)), (Some("gold"), None));
        let request = request.with_target_annotation(key, "any text");
        assert_eq!((request.target_annotation(key), request.attribute(key)), (Some("any text"), Some("own")));
        assert_eq!(request.attribute("target-label:policy.landfall.dev/tier"), Some("gold"));
    }
}
