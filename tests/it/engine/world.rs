//! A world for the engine without any cluster: pods as values, moved by the test.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus};
use landfall::{
    api::{contract, ids::ClusterName, workflow::Workflow},
    engine::{
        self, nodes,
        observed::{ClusterState, Denial, Observed, PodKey, PodState},
        plan::{Action, Plan},
    },
};

/// Everything outside the engine.
pub struct World {
    pub workflow: Workflow,
    pub pods: BTreeMap<PodKey, Pod>,
    pub clusters: BTreeMap<ClusterName, ClusterState>,
    /// By node name: why policy says no.
    pub denied: BTreeMap<String, String>,
    pub now: Timestamp,
    /// By pod: how often one of that name was created, over all time.
    pub created: BTreeMap<PodKey, usize>,
}

impl World {
    pub fn new(mut workflow: Workflow) -> World {
        let name = workflow.metadata.generate_name.take().map(|prefix| format!("{}x", prefix));
        workflow.metadata.name = workflow.metadata.name.or(name);
        workflow.metadata.namespace.get_or_insert_with(|| "argo".to_owned());
        workflow.metadata.uid.get_or_insert_with(|| "uid-1".to_owned());
        World {
            workflow,
            pods: BTreeMap::new(),
            clusters: BTreeMap::from([(ClusterName::home(), ClusterState::Ready)]),
            denied: BTreeMap::new(),
            now: Timestamp::from_second(1_700_000_000).unwrap(),
            created: BTreeMap::new(),
        }
    }

    /// One decision: the engine runs again for each denial, as the controller lets it.
    pub fn decide(&self) -> Plan {
        let mut observed = self.observe();
        loop {
            let plan = engine::reconcile(&self.workflow, &observed, self.now);
            let denials = self.denials(&plan);
            if denials.is_empty() {
                return plan;
            }
            observed.denials.extend(denials);
        }
    }

    /// The durable part of a pass.
    pub fn write_status(&mut self, plan: &Plan) {
        self.workflow.status = plan.status.clone();
        self.workflow.metadata.labels.get_or_insert_default().extend(plan.labels.clone());
    }

    /// Carries out one action.
    pub fn apply(&mut self, action: &Action) {
        match action {
            Action::CreatePod(create) => {
                let key = PodKey { target: create.target.clone(), name: create.pod_name().to_owned() };
                if !self.pods.contains_key(&key) {
                    *self.created.entry(key.clone()).or_default() += 1;
                    self.pods.insert(key, (*create.pod).clone());
                }
            }
            Action::DeletePod { target, name, .. } => {
                self.pods.remove(&PodKey { target: target.clone(), name: name.clone() });
            }
        }
    }

    /// Gives a pod a phase, and its main container this exit code if it has ended.
    pub fn set_pod(&mut self, key: &PodKey, phase: &str, exit_code: i32) {
        let pod = self.pods.get_mut(key).unwrap();
        let ended = matches!(phase, "Succeeded" | "Failed").then(|| ContainerStateTerminated {
            exit_code,
            reason: Some(if exit_code == 0 { "Completed" } else { "Error" }.to_owned()),
            ..ContainerStateTerminated::default()
        });
        let status = ContainerStatus {
            name: contract::CONTAINER_MAIN.to_owned(),
            state: Some(ContainerState { terminated: ended, ..ContainerState::default() }),
            ..ContainerStatus::default()
        };
        pod.status = Some(PodStatus {
            phase: Some(phase.to_owned()),
            container_statuses: Some(vec![status]),
            ..PodStatus::default()
        });
    }

    /// The phase of a pod, `Pending` if nobody has said.
    pub fn pod_phase(&self, key: &PodKey) -> &str {
        self.pods[key].status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
    }

    /// The name of the node that a pod is for.
    pub fn node_of(&self, key: &PodKey) -> String {
        self.pods[key].metadata.annotations.as_ref().unwrap()[contract::ANNOTATION_NODE_NAME].clone()
    }

    fn observe(&self) -> Observed {
        let home = ClusterName::home();
        let keys = self.workflow.status.nodes.values().filter_map(|node| nodes::pod_of(&home, &self.workflow, node));
        let is_ready = |key: &PodKey| self.clusters.get(&key.target.cluster) == Some(&ClusterState::Ready);
        let pods = keys.filter(is_ready).map(|key| {
            let state = match self.pods.get(&key) {
                Some(pod) => PodState::Present(Arc::new(pod.clone())),
                None => PodState::Gone,
            };
            (key, state)
        });
        Observed {
            home: Some(home.clone()),
            pods: pods.collect(),
            clusters: self.clusters.clone(),
            ..Observed::default()
        }
    }

    fn denials(&self, plan: &Plan) -> BTreeMap<String, Denial> {
        let creates = plan.actions.iter().filter_map(|action| match action {
            Action::CreatePod(create) => Some(create),
            Action::DeletePod { .. } => None,
        });
        let denied = creates.filter_map(|create| {
            let reason = self.denied.get(&create.node_name)?;
            let denial =
                Denial { module: "test".to_owned(), generation: 1, code: "no".to_owned(), reason: reason.clone() };
            Some((create.node_id.clone(), denial))
        });
        denied.collect()
    }
}
