//! A template: exactly one kind of work, with its inputs and outputs and how its pod is made.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::{
    api::core::v1::{
        Affinity, Container, HostAlias, PodResourceClaim, PodSecurityContext, ResourceRequirements, Toleration, Volume,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use serde_json::{Map, Value};

use crate::api::{
    arguments::{Inputs, Outputs},
    artifact_location::ArtifactLocation,
    container::{ContainerSetTemplate, ScriptTemplate, UserContainer},
    dag::DagTemplate,
    leaf::{Data, Http, ResourceTemplate, SuspendTemplate},
    memoize::Memoize,
    metrics::Metrics,
    object::object,
    retry::RetryStrategy,
    steps::ParallelSteps,
    sync::Synchronization,
};

object! {
    /// One kind of work. At most one of the kinds (see [`TemplateType`]) is given.
    pub struct Template {
        /// Its name within the workflow; empty if it is written inline.
        pub name: String,
        /// Parameters and artifacts it takes.
        pub inputs: Inputs,
        /// Parameters and artifacts it yields.
        pub outputs: Outputs,
        /// Ours: the cluster that its pod runs in; home if not given. May hold tags.
        pub cluster_name: Option<String>,
        /// Ours: the namespace that its pod runs in; the workflow's own if not given. May hold tags.
        pub namespace: Option<String>,
        /// Ours: the service account of its pod, as in the design for many clusters; wins over `serviceAccountName`.
        pub service_account: Option<String>,
        /// Node selector of its pod, instead of the workflow's.
        pub node_selector: BTreeMap<String, String>,
        /// Affinity of its pod, instead of the workflow's.
        pub affinity: Option<Affinity>,
        /// Labels and annotations of its pod.
        pub metadata: Metadata,
        /// Whether to go on as soon as the pod is ready, and to end the pod with the boundary.
        pub daemon: Option<bool>,
        /// Groups of parallel steps, run in order.
        pub steps: Vec<ParallelSteps>,
        /// One container.
        pub container: Option<Container>,
        /// Several containers in one pod.
        pub container_set: Option<ContainerSetTemplate>,
        /// One container with a script to run.
        pub script: Option<ScriptTemplate>,
        /// One operation on an object of Kubernetes.
        pub resource: Option<ResourceTemplate>,
        /// A graph of tasks.
        pub dag: Option<DagTemplate>,
        /// Wait to be resumed, or for some time.
        pub suspend: Option<SuspendTemplate>,
        /// List artifacts and transform the list.
        pub data: Option<Data>,
        /// One HTTP request.
        pub http: Option<Http>,
        /// One call of an executor plugin: the plugin's name and what it is given.
        pub plugin: Option<Map<String, Value>>,
        /// Volumes of its pod, beside the workflow's.
        pub volumes: Vec<Volume>,
        /// Containers that run before.
        pub init_containers: Vec<UserContainer>,
        /// Containers that run beside, and are ended with the main one.
        pub sidecars: Vec<UserContainer>,
        /// Where it archives, instead of the artifact repository.
        pub archive_location: Option<ArtifactLocation>,
        /// How long its pod may run: seconds, or a tag.
        pub active_deadline_seconds: Option<IntOrString>,
        /// Whether and how it is tried again.
        pub retry_strategy: Option<RetryStrategy>,
        /// Most children at once.
        pub parallelism: Option<i64>,
        /// Whether it fails as soon as one of its children has failed.
        pub fail_fast: Option<bool>,
        /// Tolerations of its pod, instead of the workflow's.
        pub tolerations: Vec<Toleration>,
        /// Scheduler of its pod.
        pub scheduler_name: Option<String>,
        /// Priority class of its pod.
        pub priority_class_name: Option<String>,
        /// Service account of its pod.
        pub service_account_name: Option<String>,
        /// Whether its pod gets a token of the service account.
        pub automount_service_account_token: Option<bool>,
        /// Settings of its executor container.
        pub executor: Option<ExecutorConfig>,
        /// Entries of `/etc/hosts`, beside the workflow's.
        pub host_aliases: Vec<HostAlias>,
        /// Security context of its pod, instead of the workflow's.
        pub security_context: Option<PodSecurityContext>,
        /// Patch over its pod spec, after the workflow's.
        pub pod_spec_patch: Option<String>,
        /// Metrics of its nodes.
        pub metrics: Option<Metrics>,
        /// Locks that its node holds.
        pub synchronization: Option<Synchronization>,
        /// Where its outputs are remembered.
        pub memoize: Option<Memoize>,
        /// How long its node may take, pending included: `30s`.
        pub timeout: Option<String>,
        /// Annotations of the template itself.
        pub annotations: BTreeMap<String, String>,
        /// How long its node may be pending: `30s`.
        pub pending_timeout: Option<String>,
        /// Resources at the level of the pod, instead of the workflow's.
        pub pod_resources: Option<ResourceRequirements>,
        /// Resource claims of its pod, instead of the workflow's.
        pub resource_claims: Vec<PodResourceClaim>,
    }

    /// Labels and annotations.
    pub struct Metadata {
        /// Annotations.
        pub annotations: BTreeMap<String, String>,
        /// Labels.
        pub labels: BTreeMap<String, String>,
    }

    /// Settings of an executor container.
    pub struct ExecutorConfig {
        /// Its service account.
        pub service_account_name: Option<String>,
    }

    /// A template of another resource.
    pub struct TemplateRef {
        /// The resource.
        pub name: Option<String>,
        /// The template in it.
        pub template: Option<String>,
        /// Whether the resource is a ClusterWorkflowTemplate.
        pub cluster_scope: Option<bool>,
    }
}

/// The kinds of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TemplateType {
    /// `container`
    Container,
    /// `containerSet`
    ContainerSet,
    /// `steps`
    Steps,
    /// `dag`
    Dag,
    /// `script`
    Script,
    /// `resource`
    Resource,
    /// `data`
    Data,
    /// `suspend`
    Suspend,
    /// `http`
    Http,
    /// `plugin`
    Plugin,
}

impl Template {
    /// All kinds that are given; a sound template has one.
    pub fn template_types(&self) -> Vec<TemplateType> {
        let given = [
            (self.container.is_some(), TemplateType::Container),
            (self.container_set.is_some(), TemplateType::ContainerSet),
            (!self.steps.is_empty(), TemplateType::Steps),
            (self.dag.is_some(), TemplateType::Dag),
            (self.script.is_some(), TemplateType::Script),
            (self.resource.is_some(), TemplateType::Resource),
            (self.data.is_some(), TemplateType::Data),
            (self.suspend.is_some(), TemplateType::Suspend),
            (self.http.is_some(), TemplateType::Http),
            (self.plugin.is_some(), TemplateType::Plugin),
        ];
        given.into_iter().filter_map(|(given, kind)| given.then_some(kind)).collect()
    }

    /// The kind, if there is one; the first in the order of [`TemplateType`] if there are several.
    pub fn template_type(&self) -> Option<TemplateType> {
        self.template_types().first().copied()
    }
}

impl fmt::Display for TemplateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TemplateType::Container => "container",
            TemplateType::ContainerSet => "containerSet",
            TemplateType::Steps => "steps",
            TemplateType::Dag => "dag",
            TemplateType::Script => "script",
            TemplateType::Resource => "resource",
            TemplateType::Data => "data",
            TemplateType::Suspend => "suspend",
            TemplateType::Http => "http",
            TemplateType::Plugin => "plugin",
        })
    }
}
