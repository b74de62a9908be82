//! The Workflow: metadata, spec, status, and the fields of the spec. The status is in [`crate::api::status`].

use std::collections::BTreeMap;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{
            Affinity, HostAlias, LocalObjectReference, PersistentVolumeClaim, PodDNSConfig, PodResourceClaim,
            PodSecurityContext, ResourceRequirements, Toleration, Volume,
        },
        policy::v1::PodDisruptionBudgetSpec,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::api::{
    arguments::Arguments,
    artifact_repository::ArtifactRepositoryRef,
    hooks::LifecycleHooks,
    metrics::Metrics,
    object::{choice, object, resource},
    retry::RetryStrategy,
    status::WorkflowStatus,
    sync::Synchronization,
    template::{ExecutorConfig, Metadata, Template},
    workflow_policy::{ExecutorPlugin, PodGc, TtlStrategy, VolumeClaimGc, WorkflowLevelArtifactGc, WorkflowMetadata},
    workflow_template::WorkflowTemplateRef,
};

/// One run: what is to be done, and how far it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Workflow {
    /// Name, namespace, labels and so on.
    pub metadata: ObjectMeta,
    /// What is to be done.
    #[serde(deserialize_with = "crate::api::object::given")]
    pub spec: WorkflowSpec,
    /// How far it is. There is no status subresource: it is written with the object.
    #[serde(deserialize_with = "crate::api::object::given")]
    pub status: WorkflowStatus,
}

resource!(Workflow, "workflows", NamespaceResourceScope, { spec, status });

object! {
    /// What a workflow is to do.
    pub struct WorkflowSpec {
        /// The templates that the workflow is made of.
        pub templates: Vec<Template>,
        /// The template that is run first.
        pub entrypoint: Option<String>,
        /// Arguments of the entrypoint; parameters are also readable as `workflow.parameters.NAME`.
        pub arguments: Arguments,
        /// Service account of all pods.
        pub service_account_name: Option<String>,
        /// Whether pods get a token of their service account.
        pub automount_service_account_token: Option<bool>,
        /// Settings of executor containers.
        pub executor: Option<ExecutorConfig>,
        /// Volumes that any container may mount.
        pub volumes: Vec<Volume>,
        /// Claims made at the start and named `WORKFLOW-NAME`.
        pub volume_claim_templates: Vec<PersistentVolumeClaim>,
        /// Most pods at once.
        pub parallelism: Option<i64>,
        /// Which artifact repository is the default one.
        pub artifact_repository_ref: Option<ArtifactRepositoryRef>,
        /// True stops new nodes from being started.
        pub suspend: Option<bool>,
        /// Node selector of all pods.
        pub node_selector: BTreeMap<String, String>,
        /// Affinity of all pods.
        pub affinity: Option<Affinity>,
        /// Tolerations of all pods.
        pub tolerations: Vec<Toleration>,
        /// Pull secrets of all pods.
        pub image_pull_secrets: Vec<LocalObjectReference>,
        /// Whether pods use the network of their host.
        pub host_network: Option<bool>,
        /// DNS policy of all pods.
        pub dns_policy: Option<String>,
        /// DNS settings of all pods.
        pub dns_config: Option<PodDNSConfig>,
        /// The template that is run at the end, whatever the outcome.
        pub on_exit: Option<String>,
        /// When the finished workflow is deleted.
        pub ttl_strategy: Option<TtlStrategy>,
        /// How long the workflow may run, from its start; 0 ends it.
        pub active_deadline_seconds: Option<i64>,
        /// Order among workflows that wait for the controller; more comes first.
        pub priority: Option<i32>,
        /// Scheduler of all pods.
        pub scheduler_name: Option<String>,
        /// When pods are deleted.
        #[serde(rename = "podGC")]
        pub pod_gc: Option<PodGc>,
        /// Priority class of all pods.
        pub pod_priority_class_name: Option<String>,
        /// Entries of `/etc/hosts` in all pods.
        pub host_aliases: Vec<HostAlias>,
        /// Security context of all pods.
        pub security_context: Option<PodSecurityContext>,
        /// Strategic-merge patch over every pod spec, as YAML or JSON text.
        pub pod_spec_patch: Option<String>,
        /// Disruption budget made for the pods of the workflow.
        pub pod_disruption_budget: Option<PodDisruptionBudgetSpec>,
        /// Metrics of the workflow.
        pub metrics: Option<Metrics>,
        /// Set from outside to end the workflow early.
        pub shutdown: Option<ShutdownStrategy>,
        /// The template resource whose spec this one is merged over.
        pub workflow_template_ref: Option<WorkflowTemplateRef>,
        /// Locks that the whole workflow holds.
        pub synchronization: Option<Synchronization>,
        /// When claims are deleted.
        #[serde(rename = "volumeClaimGC")]
        pub volume_claim_gc: Option<VolumeClaimGc>,
        /// Retry strategy of templates that have none.
        pub retry_strategy: Option<RetryStrategy>,
        /// Labels and annotations of all pods.
        pub pod_metadata: Option<Metadata>,
        /// A template that every template is merged over.
        pub template_defaults: Option<Box<Template>>,
        /// Whether container logs are saved as artifacts.
        pub archive_logs: Option<bool>,
        /// Templates run when the workflow gets into some state; `exit` is the one at its end.
        pub hooks: LifecycleHooks,
        /// Labels and annotations set on the workflow itself.
        pub workflow_metadata: Option<WorkflowMetadata>,
        /// When output artifacts are deleted.
        #[serde(rename = "artifactGC")]
        pub artifact_gc: Option<WorkflowLevelArtifactGc>,
        /// Executor plugins of this workflow.
        pub executor_plugins: Vec<ExecutorPlugin>,
        /// Resources at the level of the pod.
        pub pod_resources: Option<ResourceRequirements>,
        /// Resource claims of all pods.
        pub resource_claims: Vec<PodResourceClaim>,
    }
}

choice! {
    /// How a workflow is ended early.
    pub enum ShutdownStrategy {
        /// End everything at once; exit handlers do not run.
        Terminate = "Terminate",
        /// End what runs; exit handlers still run.
        Stop = "Stop",
    }
}
