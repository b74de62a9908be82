//! Workflows that are made by the clock.

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::ObjectReference,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::api::{
    object::{choice, object, resource},
    status::Condition,
    workflow::WorkflowSpec,
};

/// A schedule and what is run by it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CronWorkflow {
    /// Name, namespace, labels and so on.
    pub metadata: ObjectMeta,
    /// What is run, and when.
    #[serde(deserialize_with = "crate::api::object::given")]
    pub spec: CronWorkflowSpec,
    /// What has been run.
    #[serde(deserialize_with = "crate::api::object::given")]
    pub status: CronWorkflowStatus,
}

resource!(CronWorkflow, "cronworkflows", NamespaceResourceScope, { spec, status });

object! {
    /// What is run, and when.
    pub struct CronWorkflowSpec {
        /// The spec of each workflow.
        pub workflow_spec: WorkflowSpec,
        /// What happens if the last workflow still runs.
        pub concurrency_policy: Option<ConcurrencyPolicy>,
        /// True stops new workflows.
        pub suspend: Option<bool>,
        /// How late a workflow may still be made.
        pub starting_deadline_seconds: Option<i64>,
        /// How many that succeeded are kept.
        pub successful_jobs_history_limit: Option<i32>,
        /// How many that failed are kept.
        pub failed_jobs_history_limit: Option<i32>,
        /// The time zone of the schedules.
        pub timezone: Option<String>,
        /// Labels and annotations of each workflow.
        pub workflow_metadata: Option<ObjectMeta>,
        /// When to stop for good.
        pub stop_strategy: Option<StopStrategy>,
        /// The schedules, as of cron.
        pub schedules: Vec<String>,
        /// The condition under which a workflow is made.
        pub when: Option<String>,
    }

    /// When to stop for good.
    pub struct StopStrategy {
        /// An expression over the numbers of workflows that failed and succeeded.
        pub expression: String,
    }

    /// What has been run.
    pub struct CronWorkflowStatus {
        /// Workflows that run now.
        pub active: Vec<ObjectReference>,
        /// When the last workflow was made.
        pub last_scheduled_time: Option<Time>,
        /// What else is true of it.
        pub conditions: Vec<Condition>,
        /// How many workflows succeeded.
        pub succeeded: Option<i64>,
        /// How many workflows failed.
        pub failed: Option<i64>,
        /// `Active`, or `Stopped` for good.
        pub phase: Option<String>,
    }
}

choice! {
    /// What happens at its time if the last workflow still runs.
    pub enum ConcurrencyPolicy {
        /// Both run.
        Allow = "Allow",
        /// The new one is not made.
        Forbid = "Forbid",
        /// The old one is ended.
        Replace = "Replace",
    }
}
