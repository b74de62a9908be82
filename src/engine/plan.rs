//! What one pass decided: the next status, the effects, and when to look again. Values only; `controller/apply.rs` carries them out.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::api::{
    ids::{DEFAULT_SERVICE_ACCOUNT, Target},
    status::WorkflowStatus,
};

/// The outcome of one pass. A second pass over the same input yields an equal status and the same actions.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The workflow's next status; equal to the present one if there is nothing to write.
    pub status: WorkflowStatus,
    /// Labels that the Workflow must bear, beside those it has.
    pub labels: BTreeMap<String, String>,
    /// Annotations that the Workflow must bear, beside those it has.
    pub annotations: BTreeMap<String, String>,
    /// Whether the Workflow must bear [`crate::api::contract::FINALIZER_PODS_ELSEWHERE`]; written together with the status.
    pub finalizer: bool,
    /// Effects, to be carried out after the status is written, in this order.
    pub actions: Vec<Action>,
    /// When to make the next pass if nothing happens before; `None`: only events matter.
    pub wake_at: Option<Timestamp>,
}

/// One effect on the world, complete: carrying it out chooses nothing. Displays as one line.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create this pod, once policy allows it.
    CreatePod(CreatePod),
    /// Delete a pod of ours. Only the one with this UID.
    DeletePod {
        /// Where it is.
        target: Target,
        /// Its name.
        name: String,
        /// Its UID, the precondition of the delete.
        uid: String,
    },
}

/// A pod to be created, with what policy is asked about it.
#[derive(Clone, Debug, PartialEq)]
pub struct CreatePod {
    /// The node it is for: the key of `status.nodes`.
    pub node_id: String,
    /// That node's name.
    pub node_name: String,
    /// The template's name; empty for an inline one.
    pub template: String,
    /// Where it is to run.
    pub target: Target,
    /// The final pod, with name, labels and annotations; `metadata.namespace` equals the target's.
    pub pod: Box<Pod>,
}

impl CreatePod {
    /// The pod's name.
    pub fn pod_name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    /// The service account that the pod will run under, as the API server fills it in.
    pub fn service_account(&self) -> &str {
        self.pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or(DEFAULT_SERVICE_ACCOUNT)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::CreatePod(create) => {
                write!(f, "create pod {} in {} for {}", create.pod_name(), create.target, create.node_name)
            }
            Action::DeletePod { target, name, uid } => write!(f, "delete pod {name} ({uid}) in {target}"),
        }
    }
}
