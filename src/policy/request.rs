//! What policy is asked, and the one check that comes before every module: namespace mode.
//!
//! Making a request from a workflow and a pod is the controller's business.

use std::{fmt, sync::Arc};

use serde::Serialize;

use crate::{
    api::ids::{ClusterName, Namespace, Target},
    policy::decision::{CODE_NAMESPACE_MODE, Denial, MODULE_CORE},
};

/// One question: may this be created there?
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The name of the home cluster.
    pub home: ClusterName,
    /// Who asks.
    pub workflow: Workflow,
    /// The template that the step uses.
    pub template: String,
    /// Where it is to be created.
    pub target: Target,
    /// The service account that it will run as, in the target's namespace; empty where none is named.
    pub service_account: String,
    /// What is to be created.
    pub creates: Creates,
    /// The final pod. Only modules that ask for it are given it, and no record holds it: pods can carry secret values.
    #[serde(skip)]
    pub pod: Option<PodJson>,
    /// Further facts as unique names with values.
    pub attributes: Vec<(String, String)>,
}

/// The workflow that asks, in the home cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Workflow {
    /// Its namespace: the tenant.
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// What is to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
    /// The same question without the pod, for records.
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
        }
    }
}

/// Why `request` is outside of namespace mode, in which the controller manages the one namespace `managed`: pods may
/// only be in the namespace of exactly that name, whatever the cluster. No module can widen this.
pub fn outside_namespace_mode(managed: &Namespace, request: &Request) -> Option<Denial> {
    if &request.target.namespace == managed {
        return None;
    }
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
