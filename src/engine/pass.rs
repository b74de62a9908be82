//! The state of one pass: what it reads, and what it has decided so far.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{
        contract,
        ids::{ClusterName, Target},
        node::{NodePhase, NodeType},
        status::{ArtGcStatus, Condition, WorkflowPhase, WorkflowStatus},
        template::Template,
        workflow::Workflow,
    },
    engine::{
        nodes::{self, Nodes},
        observed::{ClusterState, Observed, PodState},
        plan::{Action, Plan},
        scope, unsupported, validate,
    },
    expr::Variables,
};

/// Condition of a workflow: whether one of its pods is running.
const CONDITION_POD_RUNNING: &str = "PodRunning";
/// Condition of a workflow: whether it has ended.
const CONDITION_COMPLETED: &str = "Completed";

/// What a pass reads and writes.
pub struct Pass<'a> {
    /// The workflow as it was stored when the pass began.
    pub workflow: &'a Workflow,
    /// What is known of the world.
    pub observed: &'a Observed,
    /// The workflow's nodes, as decided so far.
    pub nodes: Nodes,
    /// Variables that every template may use.
    pub globals: Variables,
    home: ClusterName,
    now: Timestamp,
    status: WorkflowStatus,
    actions: Vec<Action>,
    wake_at: Option<Timestamp>,
}

impl<'a> Pass<'a> {
    /// A pass that has decided nothing yet.
    pub fn new(workflow: &'a Workflow, observed: &'a Observed, now: Timestamp) -> Pass<'a> {
        let mut status = workflow.status.clone();
        let nodes = Nodes::new(workflow_name(workflow), std::mem::take(&mut status.nodes), now);
        Pass {
            workflow,
            observed,
            nodes,
            globals: scope::globals(workflow),
            home: observed.home.clone().unwrap_or_else(ClusterName::home),
            now,
            status,
            actions: Vec::new(),
            wake_at: None,
        }
    }

    /// Starts the workflow if this is its first pass.
    ///
    /// # Errors
    /// If the spec can't be run; the text says why.
    pub fn begin(&mut self) -> Result<(), String> {
        if self.status.phase != WorkflowPhase::Unknown {
            return Ok(());
        }
        self.status.started_at = Some(Time(self.now));
        self.status.phase = WorkflowPhase::Running;
        self.status.artifact_gc_status = Some(ArtGcStatus { not_specified: Some(true), ..ArtGcStatus::default() });
        validate::check(&self.workflow.spec)?;
        unsupported::check(&self.workflow.spec)
    }

    /// The name of the cluster that the workflow lives in.
    pub fn home(&self) -> &ClusterName {
        &self.home
    }

    /// The time of this pass.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether pods of a target can be seen and made.
    pub fn is_ready(&self, target: &Target) -> bool {
        self.observed.state_of(target) == Some(&ClusterState::Ready)
    }

    /// Asks for a pass at this time, if nothing happens before.
    pub fn look_again_at(&mut self, time: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(time, |earlier| earlier.min(time)));
    }

    /// The workflow's name: also that of its root node.
    pub fn workflow_name(&self) -> &'a str {
        workflow_name(self.workflow)
    }

    /// The template of this name.
    pub fn template(&self, name: &str) -> Option<&'a Template> {
        self.workflow.spec.templates.iter().find(|template| template.name == name)
    }

    /// What is known of the pod that a node stands for; `None` if nothing is.
    pub fn pod_state(&self, node_id: &str) -> Option<&'a PodState> {
        let node = self.nodes.get(node_id)?;
        let key = nodes::pod_of(&self.home, self.workflow, node)?;
        self.observed.pods.get(&key)
    }

    /// Puts an effect into the plan.
    pub fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Records that pods of this workflow go to a target where the workflow is no owner, so that they are found again.
    pub fn touch(&mut self, target: &Target) {
        if !self.status.targets.contains(target) {
            self.status.targets.push(target.clone());
        }
    }

    /// Ends the workflow.
    pub fn end(&mut self, phase: WorkflowPhase, message: Option<String>) {
        self.status.phase = phase;
        self.status.message = message;
        self.status.finished_at = Some(Time(self.now));
    }

    /// Ends the workflow as Failed before it could go on: nothing is created, and pods that still run are deleted.
    pub fn fail(mut self, message: &str) -> Plan {
        let running: Vec<String> =
            self.nodes.iter().filter(|(_, node)| !node.is_fulfilled()).map(|(id, _)| id.clone()).collect();
        for id in running {
            if let Some(PodState::Present(pod)) = self.pod_state(&id)
                && let Some(node) = self.nodes.get(&id)
                && let Some(key) = nodes::pod_of(&self.home, self.workflow, node)
            {
                let uid = pod.metadata.uid.clone().unwrap_or_default();
                self.actions.push(Action::DeletePod { target: key.target, name: key.name, uid });
            }
            self.nodes.mark(&id, NodePhase::Failed, Some(message.to_owned()));
        }
        self.end(WorkflowPhase::Failed, Some(message.to_owned()));
        self.into_plan()
    }

    /// What was decided.
    pub fn into_plan(mut self) -> Plan {
        self.set_condition(CONDITION_POD_RUNNING, self.has_running_pod());
        let completed = self.status.phase.is_completed();
        if completed {
            self.set_condition(CONDITION_COMPLETED, true);
        }
        self.sum_up();
        self.status.nodes = self.nodes.into_map();
        let labels = [
            (contract::LABEL_PHASE, self.status.phase.to_string()),
            (contract::LABEL_COMPLETED, completed.to_string()),
        ];
        let annotations = [(contract::ANNOTATION_POD_NAME_FORMAT, "v2".to_owned())];
        Plan {
            finalizer: !self.status.targets.is_empty(),
            status: self.status,
            labels: owned(labels),
            annotations: owned(annotations),
            actions: self.actions,
            wake_at: self.wake_at.filter(|_| !completed),
        }
    }

    fn has_running_pod(&self) -> bool {
        self.nodes.iter().any(|(_, node)| node.r#type == NodeType::Pod && node.phase == NodePhase::Running)
    }

    /// Progress of the workflow: the sum over its nodes.
    fn sum_up(&mut self) {
        let (mut done, mut all) = (0_u64, 0_u64);
        for (_, node) in self.nodes.iter() {
            if let Some((n, m)) = node.progress.as_deref().and_then(|progress| progress.split_once('/')) {
                done = done.saturating_add(n.parse().unwrap_or(0));
                all = all.saturating_add(m.parse().unwrap_or(0));
            }
        }
        self.status.progress = (0 < all).then(|| format!("{done}/{all}"));
    }

    fn set_condition(&mut self, name: &str, holds: bool) {
        let status = Some(if holds { "True" } else { "False" }.to_owned());
        let of_name = |condition: &&mut Condition| condition.r#type.as_deref() == Some(name);
        match self.status.conditions.iter_mut().find(of_name) {
            Some(condition) => condition.status = status,
            None => self.status.conditions.push(Condition { r#type: Some(name.to_owned()), status, message: None }),
        }
    }
}

fn workflow_name(workflow: &Workflow) -> &str {
    workflow.metadata.name.as_deref().unwrap_or_default()
}

fn owned<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
