//! Everything that the engine may know of the world in one pass. Gathered before the pass; what is not in here is unknown.

use std::{collections::BTreeMap, fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use crate::api::ids::{ClusterName, Target};

/// What is known of the world.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The name of the cluster that the workflow lives in, as rules and templates call it.
    pub home: Option<ClusterName>,
    /// The UID of that cluster's namespace `kube-system`, by which pods say whose they are.
    pub home_uid: String,
    /// The pods that the workflow's unfinished nodes stand for. A key that is missing means: not known, so decide nothing from it.
    pub pods: BTreeMap<PodKey, PodState>,
    /// By node ID: policy's denials of pods that a plan of this pass wanted to create.
    pub denials: BTreeMap<String, Denial>,
    /// By node ID: what the target's API answered when it refused the pod for good.
    pub refusals: BTreeMap<String, String>,
    /// Why no pod may be created anywhere now, as while no policy is in force. Nodes then wait with that text.
    pub on_hold: Option<String>,
    /// By node ID: why the pod that a plan of this pass wanted to create can't be asked about now. That node then waits with
    /// that text.
    pub holds: BTreeMap<String, String>,
    /// Every cluster known by name, home included.
    pub clusters: BTreeMap<ClusterName, ClusterState>,
    /// The targets that are not as the rest of their cluster, as where a right is missing in one namespace.
    pub targets: BTreeMap<Target, ClusterState>,
    /// How long a cluster may be away before the nodes that run there are given up.
    pub lost_after: SignedDuration,
}

impl Observed {
    /// Whether pods can be created in a target now; `None`: its cluster is not known.
    pub fn state_of(&self, target: &Target) -> Option<&ClusterState> {
        self.targets.get(target).or_else(|| self.clusters.get(&target.cluster))
    }
}

/// Where a pod is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodKey {
    /// Cluster and namespace.
    pub target: Target,
    /// The pod's name.
    pub name: String,
}

/// What is known of one pod.
#[derive(Clone, Debug, PartialEq)]
pub enum PodState {
    /// It exists, owned by this workflow and made for this node.
    Present(Arc<Pod>),
    /// A live GET said that there is none.
    Gone,
    /// A pod of that name exists but belongs to another; the text names both owners.
    Foreign(String),
}

/// Whether pods can be created in a cluster now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// It answers.
    Ready,
    /// It is configured, but can't be used now. Nodes that need it stay Pending with the reason.
    Unavailable {
        /// Why.
        reason: String,
        /// Since when without a break, by the controller's clock; the reason may have changed meanwhile.
        since: Timestamp,
    },
}

/// Policy's no to one pod. It is final for the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The module that denied, or `core` where no module was asked.
    pub module: String,
    /// The generation of the chain in force.
    pub generation: u64,
    /// Machine-readable.
    pub code: String,
    /// For people.
    pub reason: String,
    /// The reason may quote the pod: it is for the node's message only.
    pub may_quote_pod: bool,
}

impl Denial {
    /// How the message of every node begins that was denied.
    pub const START: &str = "denied by policy module ";

    /// What may be told to those who can't read the workflow.
    pub fn in_public(&self) -> String {
        if self.may_quote_pod {
            let reason = "why is told in the node's message only, because the module was given the pod".to_owned();
            return Denial { reason, ..self.clone() }.to_string();
        }
        self.to_string()
    }
}

/// As a node's message says it.
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Denial { module, generation, code, reason, may_quote_pod: _ } = self;
        write!(f, "{}\"{module}\" (generation {generation}): {code}: {reason}", Denial::START)
    }
}
