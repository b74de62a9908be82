//! A node: one entry of `status.nodes`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::{
    arguments::{Inputs, Outputs},
    ids::Target,
    memoize::MemoizationStatus,
    object::{object, state},
    sync::NodeSynchronizationStatus,
    template::TemplateRef,
};

object! {
    /// How far one call of a template is.
    pub struct NodeStatus {
        as_is {
            /// Its key in `status.nodes`.
            pub id: String,
            /// Its full name: `WORKFLOW[0].STEP(1:item)`.
            pub name: String,
            /// Its name within its boundary.
            pub display_name: String,
            /// What it is for.
            pub r#type: NodeType,
            /// Where it is in its life.
            pub phase: NodePhase,
        }
        /// The template of this workflow that was called.
        pub template_name: Option<String>,
        /// The template of another resource that was called.
        pub template_ref: Option<TemplateRef>,
        /// The resource of the caller: `local/WORKFLOW`.
        pub template_scope: Option<String>,
        /// The ID of the steps or dag node that it belongs to.
        #[serde(rename = "boundaryID")]
        pub boundary_id: Option<String>,
        /// Why it is as it is.
        pub message: Option<String>,
        /// When it began.
        pub started_at: Option<Time>,
        /// When it ended.
        pub finished_at: Option<Time>,
        /// How long it will take by the last run, in seconds.
        pub estimated_duration: Option<i64>,
        /// Work done and work in all: `1/1`.
        pub progress: Option<String>,
        /// Resources requested, times the seconds they were used.
        pub resources_duration: BTreeMap<String, i64>,
        /// The address of its pod, while it is a daemon.
        #[serde(rename = "podIP")]
        pub pod_ip: Option<String>,
        /// Whether it is a daemon that is up.
        pub daemoned: Option<bool>,
        /// How it came to be.
        pub node_flag: Option<NodeFlag>,
        /// What it was given.
        pub inputs: Option<Inputs>,
        /// What it yielded.
        pub outputs: Option<Outputs>,
        /// IDs of the nodes after it.
        pub children: Vec<String>,
        /// IDs of its last nodes, after which its successors come.
        pub outbound_nodes: Vec<String>,
        /// The machine that its pod ran on.
        pub host_node_name: Option<String>,
        /// Whether its outputs were remembered.
        pub memoization_status: Option<MemoizationStatus>,
        /// The lock that it waits for.
        pub synchronization_status: Option<NodeSynchronizationStatus>,
        /// Whether all that its pod reports has been read; not given if its pod reports nothing.
        pub task_result_synced: Option<bool>,
        /// How often its pod was made again because it never started.
        pub failed_pod_restarts: Option<i32>,
        /// The pod that is being made again.
        #[serde(rename = "restartingPodUID")]
        pub restarting_pod_uid: Option<String>,
        /// Ours: where its pod runs. It stands here before the pod is made.
        pub target: Option<Target>,
        /// Ours: that its pod in another cluster has been asked for, so that there may be one although nothing tells of it.
        pub pod_requested: Option<bool>,
        /// Ours: since when nothing is known of its pod, because its cluster doesn't answer.
        pub lost_since: Option<Time>,
        /// Ours: the name of its pod. It stands here before the pod is made.
        pub pod_name: Option<String>,
    }

    /// How a node came to be.
    pub struct NodeFlag {
        /// By a hook.
        pub hooked: Option<bool>,
        /// As a try of a Retry node.
        pub retried: Option<bool>,
    }
}

state! {
    /// What a node is for.
    pub enum NodeType {
        /// One pod.
        #[default]
        Pod = "Pod",
        /// One container of a container set.
        Container = "Container",
        /// A steps template.
        Steps = "Steps",
        /// One group of steps.
        StepGroup = "StepGroup",
        /// A dag template.
        Dag = "DAG",
        /// A task with a loop.
        TaskGroup = "TaskGroup",
        /// The tries of a template with a retry strategy.
        Retry = "Retry",
        /// A call that was not made.
        Skipped = "Skipped",
        /// A suspend template.
        Suspend = "Suspend",
        /// An HTTP template.
        Http = "HTTP",
        /// A plugin template.
        Plugin = "Plugin",
    }

    /// Where a node is in its life.
    pub enum NodePhase {
        /// It waits.
        #[default]
        Pending = "Pending",
        /// It runs.
        Running = "Running",
        /// It ended well.
        Succeeded = "Succeeded",
        /// Its condition was false.
        Skipped = "Skipped",
        /// Its work failed.
        Failed = "Failed",
        /// Something around its work failed.
        Error = "Error",
        /// What it depends on did not come about.
        Omitted = "Omitted",
    }
}

impl NodePhase {
    /// Whether it is final, be it that the node ran or that it never will.
    pub fn is_fulfilled(self) -> bool {
        match self {
            NodePhase::Pending | NodePhase::Running => false,
            NodePhase::Succeeded | NodePhase::Skipped | NodePhase::Failed | NodePhase::Error | NodePhase::Omitted => {
                true
            }
        }
    }

    /// Whether the node ran to its end.
    pub fn is_completed(self) -> bool {
        match self {
            NodePhase::Pending | NodePhase::Running | NodePhase::Skipped | NodePhase::Omitted => false,
            NodePhase::Succeeded | NodePhase::Failed | NodePhase::Error => true,
        }
    }

    /// Whether the node ended badly.
    pub fn is_failed_or_error(self) -> bool {
        match self {
            NodePhase::Failed | NodePhase::Error => true,
            NodePhase::Pending
            | NodePhase::Running
            | NodePhase::Succeeded
            | NodePhase::Skipped
            | NodePhase::Omitted => false,
        }
    }
}

impl NodeStatus {
    /// Whether what comes after it may go on: its phase is final and its results are in, or it is a daemon that is up.
    pub fn is_fulfilled(&self) -> bool {
        let synced = self.task_result_synced != Some(false);
        (self.phase.is_fulfilled() && synced) || (self.daemoned == Some(true) && self.phase != NodePhase::Pending)
    }
}
