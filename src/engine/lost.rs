//! Nodes that run in a cluster that doesn't answer: they keep their last state, say since when, and are given up after a
//! time. All times are the controller's own, so clusters whose clocks differ make no difference.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{
        ids::Target,
        node::{NodePhase, NodeStatus},
    },
    engine::{nodes, observed::ClusterState, pass::Pass},
};

/// How long a cluster may be away before the nodes that run there say so. Restarts and broken connections are over sooner;
/// each of them would cost a write for every workflow.
const GRACE: SignedDuration = SignedDuration::from_secs(30);

/// Begins the message of a node that is given up. Programs may look for it.
pub const CODE: &str = "cluster-lost";

/// Takes into account that nothing is known of the pod of a node.
pub fn assess(pass: &mut Pass<'_>, id: &str) {
    let Some(node) = pass.nodes.get(id).filter(|node| may_have_pod(node)) else { return };
    let Some(key) = nodes::pod_of(pass.home(), pass.workflow, node) else { return };
    let Some(away) = away(pass, &key.target) else { return };
    let cluster = &key.target.cluster;
    let (phase, noted) = (node.phase, node.lost_since.as_ref().map(|time| time.0));
    if noted.is_none() && pass.now() < away.told_from {
        pass.look_again_at(away.told_from);
        return;
    }
    let since = noted.unwrap_or(away.since);
    let given_up_at = since.saturating_add(pass.observed.lost_after).unwrap_or(Timestamp::MAX);
    if given_up_at <= pass.now() {
        let message = format!(
            "{CODE}: cluster \"{cluster}\" {} since {since}, which is longer than clusterLostTimeout ({:#}); \
             should pod {} still run there, it is deleted once the cluster is back",
            away.what, pass.observed.lost_after, key.name
        );
        pass.nodes.mark(id, NodePhase::Error, Some(message));
        return;
    }
    pass.look_again_at(given_up_at);
    if noted.is_none() {
        let message = format!(
            "cluster \"{cluster}\" {} since {since}; the last known state is kept until {given_up_at}",
            away.what
        );
        pass.nodes.mark(id, phase, Some(message));
        if let Some(node) = pass.nodes.get_mut(id) {
            node.lost_since = Some(Time(since));
        }
    }
}

/// Whether the node has a pod, as far as anybody knew last.
fn may_have_pod(node: &NodeStatus) -> bool {
    match node.phase {
        NodePhase::Running => true,
        NodePhase::Pending => node.pod_requested == Some(true),
        NodePhase::Succeeded | NodePhase::Skipped | NodePhase::Failed | NodePhase::Error | NodePhase::Omitted => false,
    }
}

struct Away {
    what: &'static str,
    since: Timestamp,
    /// From when on the node says so.
    told_from: Timestamp,
}

/// Since when a cluster is away; `None`: it isn't, or it is home, without which nothing can be written anyway.
fn away(pass: &Pass<'_>, target: &Target) -> Option<Away> {
    if target.cluster == *pass.home() {
        return None;
    }
    match pass.observed.state_of(target) {
        Some(ClusterState::Ready) => None,
        Some(ClusterState::Unavailable { since, .. }) => {
            let since = *since;
            let told_from = since.saturating_add(GRACE).unwrap_or(Timestamp::MAX);
            Some(Away { what: "has not answered", since, told_from })
        }
        None => {
            let now = pass.now();
            Some(Away { what: "has not been configured any more", since: now, told_from: now })
        }
    }
}
