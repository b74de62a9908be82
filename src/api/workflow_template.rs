//! Specs that workflows run by reference: WorkflowTemplate and ClusterWorkflowTemplate.

use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::api::{
    object::{object, resource},
    workflow::WorkflowSpec,
};

/// A spec in a namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WorkflowTemplate {
    /// Name, namespace, labels and so on.
    pub metadata: ObjectMeta,
    /// The spec.
    #[serde(deserialize_with = "crate::api::object::given")]
    pub spec: WorkflowSpec,
}

resource!(WorkflowTemplate, "workflowtemplates", NamespaceResourceScope, { spec });

/// A spec for the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ClusterWorkflowTemplate {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// The spec.
    #[serde(deserialize_with = "crate::api::object::given")]
    pub spec: WorkflowSpec,
}

resource!(ClusterWorkflowTemplate, "clusterworkflowtemplates", ClusterResourceScope, { spec });

object! {
    /// Names a WorkflowTemplate or ClusterWorkflowTemplate.
    pub struct WorkflowTemplateRef {
        /// The resource.
        pub name: Option<String>,
        /// Whether it is a ClusterWorkflowTemplate.
        pub cluster_scope: Option<bool>,
    }
}
