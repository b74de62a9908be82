//! What an executor reports of its pod. The resource is named like the node's ID.

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::api::{arguments::Outputs, node::NodePhase, object::resource};

/// What one pod yielded. The fields stand at the top, without a spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WorkflowTaskResult {
    /// Name, namespace, labels and so on.
    pub metadata: ObjectMeta,
    /// The outcome, if the executor decides it.
    pub phase: Option<NodePhase>,
    /// Why.
    pub message: Option<String>,
    /// Parameters, artifacts and the result.
    pub outputs: Option<Outputs>,
    /// Work done and work in all: `1/2`.
    pub progress: Option<String>,
}

resource!(WorkflowTaskResult, "workflowtaskresults", NamespaceResourceScope, { phase, message, outputs, progress });
