//! The nodes of a workflow: names, IDs, and how they are made, marked and linked. IDs and names are Argo's
//! (v4.1.2, `pkg/apis/workflow/v1alpha1/workflow_types.go`, `NodeID`).

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{
        ids::{ClusterName, Namespace, Target},
        node::{NodeFlag, NodePhase, NodeStatus, NodeType},
        workflow::Workflow,
    },
    engine::observed::PodKey,
    pods::name::{self, fnv1a_32, fnv1a_128},
};

/// Argo's ID of a node: the workflow's name for the root, else that name and the decimal FNV-1a-32 of the node's name.
pub fn node_id(workflow_name: &str, node_name: &str) -> String {
    if workflow_name == node_name {
        return workflow_name.to_owned();
    }
    format!("{workflow_name}-{}", fnv1a_32(node_name.as_bytes()))
}

/// The ID that a node gets if [`node_id`] is taken by another: the same with the decimal FNV-1a-128 of its name.
pub fn long_node_id(workflow_name: &str, node_name: &str) -> String {
    format!("{workflow_name}-{}", fnv1a_128(node_name.as_bytes()))
}

/// The pod that a node stands for, if it is one with a pod: where it runs or is to run, and its name.
pub fn pod_of(home: &ClusterName, workflow: &Workflow, node: &NodeStatus) -> Option<PodKey> {
    if node.r#type != NodeType::Pod {
        return None;
    }
    let target = match &node.target {
        Some(target) => target.clone(),
        None => {
            let namespace = Namespace::try_from(workflow.metadata.namespace.clone()?).ok()?;
            Target { cluster: home.clone(), namespace }
        }
    };
    let name = match &node.pod_name {
        Some(name) => name.clone(),
        None => {
            let workflow_name = workflow.metadata.name.as_deref()?;
            name::at_home(workflow_name, node.template_name.as_deref().unwrap_or_default(), &node.name)
        }
    };
    Some(PodKey { target, name })
}

/// The nodes of one workflow during a pass.
pub struct Nodes {
    workflow_name: String,
    by_id: BTreeMap<String, NodeStatus>,
    now: Timestamp,
}

/// What a new node is made with, beside its name.
#[derive(Clone, Debug, Default)]
pub struct NewNode {
    /// Its type.
    pub node_type: NodeType,
    /// Its first phase.
    pub phase: NodePhase,
    /// ID of the steps or dag node that it belongs to.
    pub boundary_id: Option<String>,
    /// The template called.
    pub template_name: Option<String>,
    /// Where the caller's templates live, as `local/<workflow>`.
    pub template_scope: Option<String>,
    /// Flags; an empty object on groups and skipped nodes.
    pub flag: Option<NodeFlag>,
    /// Why it is as it is.
    pub message: Option<String>,
}

impl Nodes {
    /// The nodes that a status holds.
    pub fn new(workflow_name: &str, by_id: BTreeMap<String, NodeStatus>, now: Timestamp) -> Nodes {
        Nodes { workflow_name: workflow_name.to_owned(), by_id, now }
    }

    /// The nodes for the next status.
    pub fn into_map(self) -> BTreeMap<String, NodeStatus> {
        self.by_id
    }

    /// All nodes by ID.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &NodeStatus)> {
        self.by_id.iter()
    }

    /// The node with this ID.
    pub fn get(&self, id: &str) -> Option<&NodeStatus> {
        self.by_id.get(id)
    }

    /// The node with this ID, to be changed.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut NodeStatus> {
        self.by_id.get_mut(id)
    }

    /// The node with this name.
    pub fn by_name(&self, name: &str) -> Option<&NodeStatus> {
        self.by_id.get(&self.id_of(name)).filter(|node| node.name == name)
    }

    /// The ID that the node of this name has or would get. Two names may share a 32-bit hash: then the one that came
    /// later has the long ID.
    pub fn id_of(&self, name: &str) -> String {
        let id = node_id(&self.workflow_name, name);
        match self.by_id.get(&id) {
            Some(other) if other.name != name => long_node_id(&self.workflow_name, name),
            Some(_) | None => id,
        }
    }

    /// Makes a node and returns its ID. It is not linked to a parent yet.
    pub fn add(&mut self, name: &str, new: NewNode) -> String {
        let id = self.id_of(name);
        let started_at = Some(Time(self.now));
        let node = NodeStatus {
            id: id.clone(),
            name: name.to_owned(),
            display_name: self.display_name(name, new.boundary_id.as_deref()),
            r#type: new.node_type,
            phase: new.phase,
            boundary_id: new.boundary_id,
            template_name: new.template_name,
            template_scope: new.template_scope,
            node_flag: new.flag,
            message: new.message,
            finished_at: if new.phase.is_fulfilled() { started_at.clone() } else { None },
            started_at,
            ..NodeStatus::default()
        };
        self.by_id.insert(id.clone(), node);
        id
    }

    /// Gives a node a phase; a final one also gives it its end. A node that has ended stays as it is, unless it
    /// Succeeded in the same pass and something after that failed.
    pub fn mark(&mut self, id: &str, phase: NodePhase, message: Option<String>) {
        let now = self.now;
        let Some(node) = self.by_id.get_mut(id) else { return };
        node.phase = phase;
        if message.is_some() {
            node.message = message;
        }
        if phase.is_fulfilled() && node.finished_at.is_none() {
            node.finished_at = Some(Time(now));
        }
    }

    /// Links a child to its parent, once.
    pub fn link(&mut self, parent_id: &str, child_id: &str) {
        let Some(parent) = self.by_id.get_mut(parent_id) else { return };
        if !parent.children.iter().any(|id| id == child_id) {
            parent.children.push(child_id.to_owned());
        }
    }

    /// The IDs that whatever comes after this node hangs on: itself for a leaf, else its own outbound nodes, resolved.
    pub fn outbound(&self, id: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![id.to_owned()];
        // Outbound nodes come later than the node that names them, but a status written by hand may hold a circle.
        let mut steps_left = self.by_id.len() + 1;
        while let Some(id) = open.pop() {
            let Some(node) = self.by_id.get(&id) else { continue };
            let next: &[String] = match node.r#type {
                NodeType::Pod
                | NodeType::Container
                | NodeType::Skipped
                | NodeType::Suspend
                | NodeType::Http
                | NodeType::Plugin => &[],
                NodeType::TaskGroup => &node.children,
                NodeType::Retry => node.children.last().map(std::slice::from_ref).unwrap_or_default(),
                NodeType::Steps | NodeType::StepGroup | NodeType::Dag => &node.outbound_nodes,
            };
            let is_leaf = match node.r#type {
                NodeType::Steps | NodeType::StepGroup | NodeType::Dag => false,
                NodeType::Pod
                | NodeType::Container
                | NodeType::Skipped
                | NodeType::Suspend
                | NodeType::Http
                | NodeType::Plugin
                | NodeType::TaskGroup
                | NodeType::Retry => next.is_empty(),
            };
            if is_leaf {
                found.push(id);
            } else {
                open.extend(next.iter().rev().cloned());
            }
            steps_left = match steps_left.checked_sub(1) {
                Some(left) => left,
                None => break,
            };
        }
        found
    }

    /// The node's name without its boundary's and without a leading `[n].` or `.`; the whole name at the top.
    fn display_name(&self, name: &str, boundary_id: Option<&str>) -> String {
        let boundary = boundary_id.and_then(|id| self.by_id.get(id));
        let Some(rest) = boundary.and_then(|boundary| name.strip_prefix(&boundary.name)) else {
            return name.to_owned();
        };
        if let Some(plain) = rest.strip_prefix('.') {
            return plain.to_owned();
        }
        match rest.strip_prefix('[').and_then(|inside| inside.split_once("].")) {
            Some((index, plain)) if index.chars().all(|c| c.is_ascii_digit()) => plain.to_owned(),
            Some(_) | None => rest.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::*;

    /// Two node names whose 32-bit hashes are the same. Among this many names there are some by the birthday bound.
    fn colliding() -> (String, String) {
        let mut seen = HashMap::new();
        for number in 0..1_000_000_u64 {
            // Numbers in a row hardly ever collide under FNV, so their digits are stirred.
            let name = format!("wf.task-{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            if let Some(other) = seen.insert(fnv1a_32(name.as_bytes()), name.clone()) {
                return (other, name);
            }
        }
        panic!("no collision");
    }

    #[test]
    fn nodes_of_one_hash_are_kept_apart() {
        let (first, second) = colliding();
        assert_eq!(node_id("wf", &first), node_id("wf", &second));
        let mut nodes = Nodes::new("wf", BTreeMap::new(), Timestamp::UNIX_EPOCH);
        let first_id = nodes.add(&first, NewNode::default());
        let second_id = nodes.add(&second, NewNode::default());
        assert_eq!(first_id, node_id("wf", &first));
        assert_eq!(second_id, long_node_id("wf", &second));
        for (name, id) in [(&first, &first_id), (&second, &second_id)] {
            assert_eq!(nodes.by_name(name).map(|node| &node.id), Some(id));
            assert_eq!(nodes.id_of(name), *id);
        }
    }
}
