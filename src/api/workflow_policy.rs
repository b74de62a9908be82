//! What happens around a workflow: when it, its pods, claims and artifacts are deleted, what is written on it.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::Container,
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};

use crate::api::{
    object::{choice, object},
    template::Metadata,
};

object! {
    /// How long a finished workflow is kept.
    pub struct TtlStrategy {
        /// Seconds after it ended, however.
        pub seconds_after_completion: Option<i32>,
        /// Seconds after it succeeded.
        pub seconds_after_success: Option<i32>,
        /// Seconds after it failed.
        pub seconds_after_failure: Option<i32>,
    }

    /// When pods are deleted.
    pub struct PodGc {
        /// At which event; never if not given.
        pub strategy: Option<PodGcStrategy>,
        /// Only pods with these labels.
        pub label_selector: Option<LabelSelector>,
        /// How long after the event: `30s`, or a number of seconds.
        pub delete_delay_duration: Option<String>,
    }

    /// When the claims of `volumeClaimTemplates` are deleted.
    pub struct VolumeClaimGc {
        /// At which event; `OnWorkflowSuccess` if not given.
        pub strategy: Option<VolumeClaimGcStrategy>,
    }

    /// When artifacts are deleted, for all artifacts of a workflow.
    pub struct WorkflowLevelArtifactGc {
        /// At which event.
        pub strategy: Option<ArtifactGcStrategy>,
        /// Labels and annotations of the pod that deletes.
        pub pod_metadata: Option<Metadata>,
        /// Service account of the pod that deletes.
        pub service_account_name: Option<String>,
        /// Whether a failure to delete lets the workflow go.
        pub force_finalizer_removal: Option<bool>,
        /// Patch over the pod that deletes.
        pub pod_spec_patch: Option<String>,
    }

    /// When one artifact is deleted.
    pub struct ArtifactGc {
        /// At which event.
        pub strategy: Option<ArtifactGcStrategy>,
        /// Labels and annotations of the pod that deletes.
        pub pod_metadata: Option<Metadata>,
        /// Service account of the pod that deletes.
        pub service_account_name: Option<String>,
    }

    /// Labels and annotations that the workflow itself gets.
    pub struct WorkflowMetadata {
        /// Labels as they are.
        pub labels: BTreeMap<String, String>,
        /// Annotations as they are.
        pub annotations: BTreeMap<String, String>,
        /// Labels whose value is computed.
        pub labels_from: BTreeMap<String, LabelValueFrom>,
    }

    /// How the value of a label is computed.
    pub struct LabelValueFrom {
        /// An expression over the variables of the workflow.
        pub expression: String,
    }

    /// A plugin that the agent of a workflow runs beside itself.
    pub struct ExecutorPlugin {
        /// Its name.
        pub metadata: Option<ObjectMeta>,
        /// The container it runs in.
        pub spec: Option<ExecutorPluginSpec>,
    }

    /// What an executor plugin is made of.
    pub struct ExecutorPluginSpec {
        /// Its sidecar.
        pub sidecar: Option<ExecutorPluginSidecar>,
    }

    /// The sidecar of an executor plugin.
    pub struct ExecutorPluginSidecar {
        /// Whether it gets a token of the service account.
        pub automount_service_account_token: Option<bool>,
        /// The container.
        pub container: Option<Container>,
    }
}

choice! {
    /// The event at which pods are deleted.
    pub enum PodGcStrategy {
        /// The pod ended.
        OnPodCompletion = "OnPodCompletion",
        /// The pod succeeded.
        OnPodSuccess = "OnPodSuccess",
        /// The workflow ended.
        OnWorkflowCompletion = "OnWorkflowCompletion",
        /// The workflow succeeded.
        OnWorkflowSuccess = "OnWorkflowSuccess",
    }

    /// The event at which claims are deleted.
    pub enum VolumeClaimGcStrategy {
        /// The workflow ended.
        OnWorkflowCompletion = "OnWorkflowCompletion",
        /// The workflow succeeded.
        OnWorkflowSuccess = "OnWorkflowSuccess",
    }

    /// The event at which artifacts are deleted.
    pub enum ArtifactGcStrategy {
        /// The workflow ended.
        OnWorkflowCompletion = "OnWorkflowCompletion",
        /// The workflow is deleted.
        OnWorkflowDeletion = "OnWorkflowDeletion",
        /// None.
        Never = "Never",
    }
}
