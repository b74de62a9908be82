//! How far a workflow is. Its nodes are in [`crate::api::node`].

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::Volume, apimachinery::pkg::apis::meta::v1::Time};

use crate::api::{
    arguments::Outputs,
    artifact_repository::ArtifactRepositoryRefStatus,
    ids::Target,
    node::NodeStatus,
    object::{object, state},
    sync::SynchronizationStatus,
    template::Template,
    workflow::WorkflowSpec,
};

object! {
    /// How far a workflow is.
    pub struct WorkflowStatus {
        /// Where it is in its life.
        pub phase: WorkflowPhase,
        /// When its phase first was another than Pending.
        pub started_at: Option<Time>,
        /// When it ended. Tools that wait for the end look at this.
        pub finished_at: Option<Time>,
        /// How long it will take by the last run, in seconds.
        pub estimated_duration: Option<i64>,
        /// Nodes done and nodes in all: `1/3`.
        pub progress: Option<String>,
        /// Why it is as it is.
        pub message: Option<String>,
        /// `nodes` as base64 of gzip of JSON, if the object would be too large.
        pub compressed_nodes: Option<String>,
        /// The nodes by ID.
        pub nodes: BTreeMap<String, NodeStatus>,
        /// Says that `nodes` are kept elsewhere.
        pub offload_node_status_version: Option<String>,
        /// Templates of other resources that were used: `namespaced/RESOURCE/TEMPLATE`.
        pub stored_templates: BTreeMap<String, Template>,
        /// Claims that were made.
        pub persistent_volume_claims: Vec<Volume>,
        /// Outputs with a global name.
        pub outputs: Option<Outputs>,
        /// What else is true of it.
        pub conditions: Vec<Condition>,
        /// Resources requested, times the seconds they were used.
        pub resources_duration: BTreeMap<String, i64>,
        /// The spec that is run, if another resource was merged under it.
        #[serde(rename = "storedWorkflowTemplateSpec")]
        pub stored_workflow_spec: Option<Box<WorkflowSpec>>,
        /// Locks held and waited for.
        pub synchronization: Option<SynchronizationStatus>,
        /// The artifact repository that it uses.
        pub artifact_repository_ref: Option<ArtifactRepositoryRefStatus>,
        /// Which artifacts have been deleted.
        #[serde(rename = "artifactGCStatus")]
        pub artifact_gc_status: Option<ArtGcStatus>,
        /// Whether the results of each node are complete. Only old workflows have it; nodes say it themselves now.
        pub task_results_completion_status: BTreeMap<String, bool>,
        /// Ours: where pods were or may have been made, other than in its own namespace at home.
        pub targets: Vec<Target>,
    }

    /// Something that is true of a workflow.
    pub struct Condition {
        /// What: `Completed`, `PodRunning`, `SpecWarning`, `SpecError`, `MetricsError`, `ArtifactGCError`.
        pub r#type: Option<String>,
        /// `True`, `False` or `Unknown`.
        pub status: Option<String>,
        /// Why.
        pub message: Option<String>,
    }

    /// Which artifacts have been deleted.
    pub struct ArtGcStatus {
        /// Events that were acted on.
        pub strategies_processed: BTreeMap<String, bool>,
        /// Pods whose report was read.
        pub pods_recouped: BTreeMap<String, bool>,
        /// There is nothing to delete.
        pub not_specified: Option<bool>,
    }
}

state! {
    /// Where a workflow is in its life.
    pub enum WorkflowPhase {
        /// Nobody has looked at it yet.
        #[default]
        Unknown = "",
        /// It waits.
        Pending = "Pending",
        /// It runs.
        Running = "Running",
        /// It ended well.
        Succeeded = "Succeeded",
        /// Its work failed.
        Failed = "Failed",
        /// Something around its work failed.
        Error = "Error",
    }
}

impl WorkflowPhase {
    /// Whether the workflow has ended.
    pub fn is_completed(self) -> bool {
        match self {
            WorkflowPhase::Unknown | WorkflowPhase::Pending | WorkflowPhase::Running => false,
            WorkflowPhase::Succeeded | WorkflowPhase::Failed | WorkflowPhase::Error => true,
        }
    }
}
