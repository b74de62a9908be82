//! Kubernetes Events, for people who `kubectl describe`. Reasons are Argo's (v4.1.2, `util/events`) where they mean the same.
//! An Event is an aside: it is posted when there is time, and dropped when there isn't.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{Api, api::PostParams};
use tokio::sync::mpsc;

use crate::{
    api::{
        contract::CLUSTERS_SECRET,
        ids::ClusterName,
        status::{WorkflowPhase, WorkflowStatus},
        workflow::Workflow,
    },
    clusters::cluster::Cluster,
    controller::{Controller, workflows::Stored},
    engine::observed::Denial,
};

/// Events that wait to be posted; more are dropped.
const WAITING_MAX: usize = 1024;
/// Characters of a message; the API server refuses more than 1,024.
const MESSAGE_CHARACTERS_MAX: usize = 1000;
/// Who says it.
const COMPONENT: &str = "workflow-controller";

/// Where Events are handed in.
pub struct Events(mpsc::Sender<Note>);

/// What an Event says.
pub struct Note {
    /// What it is about; it must have a namespace.
    pub about: ObjectReference,
    /// Whether something is wrong.
    pub is_warning: bool,
    /// One word for programs.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Events {
    /// The place to hand them in, and what has to be posted by [`post`].
    pub fn new() -> (Events, mpsc::Receiver<Note>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Events(sender), receiver)
    }

    /// Hands one in.
    pub fn say(&self, note: Note) {
        if let Err(error) = self.0.try_send(note) {
            tracing::debug!(error = %error, "event is dropped");
        }
    }
}

/// The workflow got to another phase, with this message [`in_public`].
pub fn phase(controller: &Controller, stored: &Stored, phase: WorkflowPhase, message: Option<String>) {
    let (is_warning, reason, text) = match phase {
        WorkflowPhase::Unknown | WorkflowPhase::Pending => return,
        WorkflowPhase::Running => (false, "WorkflowRunning", "Workflow Running".to_owned()),
        WorkflowPhase::Succeeded => (false, "WorkflowSucceeded", "Workflow completed".to_owned()),
        WorkflowPhase::Failed | WorkflowPhase::Error => (true, "WorkflowFailed", message.unwrap_or_default()),
    };
    controller.events.say(Note { about: about(stored), is_warning, reason, message: text });
}

/// The message of a workflow of one step is that of its node. A denial has an Event of its own, which says as much as may be
/// told.
pub fn in_public(message: String) -> String {
    if message.starts_with(Denial::START) {
        "denied by policy: the node's message says why".to_owned()
    } else {
        message
    }
}

/// Policy denied pods of the workflow, by node ID. `status` is the one in which those nodes have ended.
pub fn denials(controller: &Controller, stored: &Stored, status: &WorkflowStatus, denials: &BTreeMap<String, Denial>) {
    for (id, denial) in denials {
        let node = status.nodes.get(id);
        let name = node.map_or(id.as_str(), |node| node.name.as_str());
        let target = node.and_then(|node| node.target.as_ref()).map_or_else(
            || {
                let namespace = stored.workflow.metadata.namespace.as_deref().unwrap_or_default();
                format!("{}/{namespace}", controller.home())
            },
            ToString::to_string,
        );
        let message = format!("node {name} in {target}: {}", denial.in_public());
        controller.events.say(Note { about: about(stored), is_warning: true, reason: "PolicyDenied", message });
    }
}

/// A cluster is no more, and of our pods so many were there.
pub fn cluster_removed(controller: &Controller, name: &ClusterName, pods: usize, workflows: usize) {
    let about = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Secret".to_owned()),
        namespace: Some(controller.namespace.to_string()),
        name: Some(CLUSTERS_SECRET.to_owned()),
        ..ObjectReference::default()
    };
    let message = format!(
        "cluster \"{name}\" is removed while pods of ours are there ({pods}, of workflows: {workflows}): nothing is known \
         of them until it is added again"
    );
    tracing::warn!(cluster = %name, pods, workflows, "cluster is removed while pods of ours are there");
    controller.events.say(Note { about, is_warning: true, reason: "ClusterRemoved", message });
}

fn about(stored: &Stored) -> ObjectReference {
    let metadata = &stored.workflow.metadata;
    ObjectReference {
        api_version: Some(<Workflow as k8s_openapi::Resource>::API_VERSION.to_owned()),
        kind: Some(<Workflow as k8s_openapi::Resource>::KIND.to_owned()),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        field_path: None,
    }
}

/// Posts what is handed in, until dropped.
pub async fn post(home: Arc<Cluster>, mut notes: mpsc::Receiver<Note>, clock: fn() -> Timestamp) {
    while let Some(note) = notes.recv().await {
        let namespace = note.about.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(home.client(), &namespace);
        if let Err(error) = home.call(api.create(&PostParams::default(), &event(note, clock()))).await {
            tracing::debug!(error = %error, "event can't be posted");
        }
    }
}

fn event(note: Note, now: Timestamp) -> Event {
    let prefix = note.about.name.clone().unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            generate_name: Some(format!("{prefix}.")),
            namespace: note.about.namespace.clone(),
            ..ObjectMeta::default()
        },
        involved_object: note.about,
        type_: Some(if note.is_warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(note.reason.to_owned()),
        message: Some(note.message.chars().take(MESSAGE_CHARACTERS_MAX).collect()),
        source: Some(EventSource { component: Some(COMPONENT.to_owned()), host: None }),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    }
}
