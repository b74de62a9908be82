//! Every pod that a workflow would make, without making one: the engine decides as in the controller, and each pod that it
//! creates is observed as one that succeeded and left no outputs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    api::{
        ids::ClusterName,
        node::{NodePhase, NodeType},
        workflow::Workflow,
    },
    cli::{local::names::NAMESPACE, policy::asking::Question},
    controller::authorize,
    engine::{
        self, nodes,
        observed::{ClusterState, Observed, PodKey, PodState},
        plan::Action,
    },
};

/// Letters in place of those that the API server makes up for a `generateName`.
const SUFFIX: &str = "xxxxx";
/// Stands for UIDs that are not known: of a workflow that was never created, and of a cluster that is not asked.
const UID: &str = "00000000-0000-0000-0000-000000000000";
/// A workflow that goes on after so many passes, or that makes so many pods, is not followed any further.
const PASSES_MAX: usize = 2_000;
const PODS_MAX: usize = 5_000;

/// How the workflow went.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Course {
    /// Its namespace and name.
    pub workflow: String,
    /// How it ended; nothing where it was not followed to its end.
    pub phase: Option<String>,
    /// Why it ended so.
    pub message: Option<String>,
    /// Steps for which no pod could be made, with the reason.
    pub without_pod: Vec<(String, String)>,
    /// What was taken for granted.
    pub assumed: Vec<String>,
}

/// Follows the workflow to its end.
///
/// # Errors
/// A pod can't be put into a question.
pub fn unfold(mut workflow: Workflow, home: &ClusterName, source: &Value) -> anyhow::Result<(Vec<Question>, Course)> {
    complete(&mut workflow);
    // A cluster can be named by a parameter or an item: whatever could be one is taken for one.
    let clusters: BTreeMap<_, _> = words(source).into_iter().chain([home.clone()]).map(ready).collect();
    let mut pods: BTreeMap<PodKey, Arc<Pod>> = BTreeMap::new();
    let mut questions = Vec::new();
    let mut now = Timestamp::UNIX_EPOCH;
    let mut ended = false;
    for _ in 0..PASSES_MAX {
        let observed = observe(&workflow, home, &clusters, &pods);
        let plan = engine::reconcile(&workflow, &observed, now);
        let is_same = plan.status == workflow.status;
        let mut created = 0;
        for action in &plan.actions {
            let Action::CreatePod(create) = action else { continue };
            let key = PodKey { target: create.target.clone(), name: create.pod_name().to_owned() };
            if pods.contains_key(&key) {
                continue;
            }
            created += 1;
            let request = authorize::question(home, &workflow, create, Timestamp::now())?;
            questions.push(Question { name: Some(create.node_name.clone()), request });
            pods.insert(key, Arc::new(succeeded(&create.pod, &create.node_id, now)));
        }
        workflow.status = plan.status;
        ended = workflow.status.phase.is_completed();
        if ended || questions.len() > PODS_MAX {
            break;
        }
        match plan.wake_at {
            // A pause is over at once.
            Some(then) if created == 0 && is_same && now < then => now = then,
            Some(_) | None if created == 0 && is_same => break,
            Some(_) | None => {}
        }
    }
    Ok((questions, course(&workflow, ended, !pods.is_empty())))
}

fn course(workflow: &Workflow, ended: bool, any: bool) -> Course {
    let metadata = &workflow.metadata;
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    let status = &workflow.status;
    let without_pod = status.nodes.values().filter(|node| {
        node.r#type == NodeType::Pod && matches!(node.phase, NodePhase::Error | NodePhase::Failed | NodePhase::Pending)
    });
    let mut assumed = Vec::new();
    if any {
        assumed.push("every pod is created, succeeds and has no outputs, also one that is denied".to_owned());
    }
    if metadata.generate_name.is_some() {
        assumed.push(format!("the name that is generated ends in {SUFFIX}"));
    }
    Course {
        workflow: format!("{}/{}", name(&metadata.namespace), name(&metadata.name)),
        phase: ended.then(|| status.phase.to_string()),
        message: status.message.clone(),
        without_pod: without_pod
            .map(|node| (node.name.clone(), node.message.clone().unwrap_or_else(|| node.phase.to_string())))
            .collect(),
        assumed,
    }
}

/// What the API server gives each workflow.
fn complete(workflow: &mut Workflow) {
    let metadata = &mut workflow.metadata;
    metadata.namespace.get_or_insert_with(|| NAMESPACE.to_owned());
    metadata.uid.get_or_insert_with(|| UID.to_owned());
    if metadata.name.is_none() {
        metadata.name = Some(format!("{}{SUFFIX}", metadata.generate_name.clone().unwrap_or_default()));
    }
}

fn observe(
    workflow: &Workflow,
    home: &ClusterName,
    clusters: &BTreeMap<ClusterName, ClusterState>,
    pods: &BTreeMap<PodKey, Arc<Pod>>,
) -> Observed {
    let open = workflow.status.nodes.values().filter(|node| !node.phase.is_fulfilled());
    let keys = open.filter_map(|node| nodes::pod_of(home, workflow, node));
    let known = keys.map(|key| {
        let state = pods.get(&key).map_or(PodState::Gone, |pod| PodState::Present(Arc::clone(pod)));
        (key, state)
    });
    Observed {
        home: Some(home.clone()),
        home_uid: UID.to_owned(),
        pods: known.collect(),
        clusters: clusters.clone(),
        ..Observed::default()
    }
}

fn ready(name: ClusterName) -> (ClusterName, ClusterState) {
    (name, ClusterState::Ready)
}

/// The pod when all of its containers have ended well.
fn succeeded(pod: &Pod, node_id: &str, now: Timestamp) -> Pod {
    let mut pod = pod.clone();
    pod.metadata.uid = Some(format!("uid-of-{node_id}"));
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let ended = |name: &String| ContainerStatus {
        name: name.clone(),
        state: Some(ContainerState {
            terminated: Some(ContainerStateTerminated {
                exit_code: 0,
                finished_at: Some(Time(now)),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        }),
        ..ContainerStatus::default()
    };
    let statuses = containers.map(|container| ended(&container.name)).collect();
    pod.status = Some(PodStatus {
        phase: Some("Succeeded".to_owned()),
        container_statuses: Some(statuses),
        ..PodStatus::default()
    });
    pod
}

/// Every text in it that can be the name of a cluster.
fn words(value: &Value) -> BTreeSet<ClusterName> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        match value {
            Value::String(text) => found.extend(text.parse::<ClusterName>()),
            Value::Array(items) => waiting.extend(items),
            Value::Object(fields) => waiting.extend(fields.values()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    found
}
