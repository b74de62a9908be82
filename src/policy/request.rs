//! What policy is asked, and one check that comes before every module: namespace mode. The other one is in `consent`.
//!
//! Making a request from a workflow and a pod is the controller's business.
//!
//! A request is written as JSON without its pod, and read with or without one:
//!
//! ```json
//! {"home": "default", "workflow": {"namespace": "argo", "name": "w", "uid": "1"}, "template": "main",
//!  "target": {"cluster": "other", "namespace": "argo"}, "serviceAccount": "workflow", "creates": "pod",
//!  "pod": {"apiVersion": "v1", "kind": "Pod"}, "attributes": [["team", "a"]]}
//! ```

use std::{collections::HashSet, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

use crate::{
    api::ids::{ClusterName, Namespace, Target},
    policy::{
        consent::{self, Landing},
        decision::{CODE_NAMESPACE_MODE, Denial, MODULE_CORE},
    },
};

/// One question: may this be created there?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// The name of the home cluster.
    pub home: ClusterName,
    /// Who asks.
    pub workflow: Workflow,
    /// The template that the step uses.
    pub template: String,
    /// Where it is to be created.
    pub target: Target,
    /// The service account that it will run as, in the target's namespace: `default` where the pod names none.
    #[serde(default)]
    pub service_account: String,
    /// What is to be created.
    pub creates: Creates,
    /// The final pod. Only modules that ask for it are given it, and no record holds it: pods can carry secret values.
    #[serde(default, skip_serializing)]
    pub pod: Option<PodJson>,
    /// Further facts as unique names with values. Written as a list of pairs, because their order is a module's to see;
    /// read from a list of pairs or from a map.
    #[serde(default, deserialize_with = "attributes")]
    pub attributes: Vec<(String, String)>,
    /// What the host itself goes by at the target. No module is told and no record holds it: where it denies, the reason
    /// says all.
    #[serde(skip)]
    pub landing: Landing,
}

/// The workflow that asks, in the home cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    /// Its namespace: the tenant.
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// What is to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Creates {
    /// The pod of one step.
    Pod,
}

/// A pod as JSON. Cheap to copy; `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct PodJson(Arc<str>);

impl PodJson {
    /// The JSON.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for PodJson {
    fn from(json: String) -> PodJson {
        PodJson(json.into())
    }
}

/// From the pod as a structure, as it stands in a manifest. Its JSON is written anew, without line breaks.
impl<'de> Deserialize<'de> for PodJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PodJson, D::Error> {
        let pod = serde_json::Map::deserialize(deserializer)?;
        Ok(PodJson::from(serde_json::Value::Object(pod).to_string()))
    }
}

impl fmt::Debug for PodJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PodJson({} bytes)", self.0.len())
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "pod of template {:?} of workflow {}/{} in {}",
            self.template, self.workflow.namespace, self.workflow.name, self.target
        )
    }
}

impl Request {
    /// The same question without the pod and what only the host looks at, for records.
    pub fn without_pod(&self) -> Request {
        Request {
            home: self.home.clone(),
            workflow: self.workflow.clone(),
            template: self.template.clone(),
            target: self.target.clone(),
            service_account: self.service_account.clone(),
            creates: self.creates,
            pod: None,
            attributes: self.attributes.clone(),
            landing: Landing::Open,
        }
    }
}

/// Why the core denies `request`, before any module is asked: in namespace mode for the one namespace `managed`, it is for
/// another; or the target's owner does not consent.
pub fn refused_by_core(managed: Option<&Namespace>, request: &Request) -> Option<Denial> {
    outside_namespace_mode(managed, request).or_else(|| consent::refused(request))
}

/// Why `request` is outside of namespace mode, in which the controller manages the one namespace `managed`: pods may
/// only be in the namespace of exactly that name, whatever the cluster. No module can widen this. Without `managed` there is
/// no such mode.
fn outside_namespace_mode(managed: Option<&Namespace>, request: &Request) -> Option<Denial> {
    let managed = managed.filter(|managed| **managed != request.target.namespace)?;
    Some(Denial {
        module: MODULE_CORE.to_owned(),
        code: CODE_NAMESPACE_MODE.to_owned(),
        reason: format!(
            "the controller runs in namespace mode for {:?}: pods may not be in namespace {:?}, whatever the cluster",
            managed.as_str(),
            request.target.namespace.as_str()
        ),
    })
}

fn attributes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    let attributes = deserializer.deserialize_any(AttributesVisitor)?;
    let mut names = HashSet::new();
    match attributes.iter().find(|(name, _)| !names.insert(name.as_str())) {
        Some((name, _)) => Err(Error::custom(format!("attribute {name:?} is there twice"))),
        None => Ok(attributes),
    }
}

struct AttributesVisitor;

impl<'de> Visitor<'de> for AttributesVisitor {
    type Value = Vec<(String, String)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts, or a list of pairs of texts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
        let mut attributes = Vec::new();
        while let Some(pair) = pairs.next_element()? {
            attributes.push(pair);
        }
        Ok(attributes)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
        let mut attributes = Vec::new();
        while let Some(pair) = pairs.next_entry()? {
            attributes.push(pair);
        }
        Ok(attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::Request;

    const REST: &str = r#""home":"default","workflow":{"namespace":"argo","name":"w","uid":"1"},"template":"main","target":{"cluster":"other","namespace":"argo"}"#;

    #[test]
    fn is_read_as_it_is_written() {
        let check = |fields: &str, expected: Result<&str, &str>| {
            let read = serde_json::from_str::<Request>(&format!("{{{REST},{fields}}}"));
            match (read, expected) {
                (Ok(request), Ok(written)) => {
                    let text = serde_json::to_string(&request).unwrap();
                    assert_eq!(text, format!("{{{REST},{written}}}"));
                    assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request.without_pod());
                }
                (Err(error), Err(start)) => assert!(error.to_string().starts_with(start), "{error}"),
                (read, _) => panic!("{fields}: {read:?}"),
            }
        };
        let full = r#""serviceAccount":"a","creates":"pod","attributes":[["team","a"],["age","1"]]"#;
        check(full, Ok(full));
        check(r#""creates":"pod""#, Ok(r#""serviceAccount":"","creates":"pod","attributes":[]"#));
        check(
            r#""creates":"pod","pod":{"kind":"Pod"},"attributes":{"team":"a"}"#,
            Ok(r#""serviceAccount":"","creates":"pod","attributes":[["team","a"]]"#),
        );
        check(r#""creates":"pod","attributes":[["a","1"],["a","2"]]"#, Err("attribute \"a\" is there twice"));
        check(
            r#""creates":"pod","attributes":7"#,
            Err("invalid type: integer `7`, expected a map of texts, or a list"),
        );
        check(r#""creates":"pod","pod":"{}""#, Err("invalid type: string"));
        check(r#""creates":"pod","atributes":{}"#, Err("unknown field `atributes`"));
        check(r#""attributes":{}"#, Err("missing field `creates`"));
    }

    #[test]
    fn a_pod_is_read_and_never_written() {
        let text = format!(r#"{{{REST},"creates":"pod","pod":{{"kind": "Pod", "secret": "hunter2"}}}}"#);
        let request: Request = serde_json::from_str(&text).unwrap();
        assert_eq!(request.pod.as_ref().unwrap().as_str(), r#"{"kind":"Pod","secret":"hunter2"}"#);
        assert!(!format!("{request:?} {}", serde_json::to_string(&request).unwrap()).contains("hunter2"));
    }
}
