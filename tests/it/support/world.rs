//! The world around the engine, as values: a workflow, its pods, clusters, policy's answers, and a clock.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus};
use landfall::{
    api::{contract, ids::ClusterName, workflow::Workflow},
    engine::{
        self, nodes,
        observed::{ClusterState, Denial, Observed, PodKey, PodState},
        plan::{Action, Plan},
    },
};

/// When it is at first. Later than anything in the data.
const START: &str = "2027-01-01T00:00:00Z";

/// How long a cluster may be away, at first.
const LOST_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// After how many passes a workflow that still goes on is taken for one that never ends.
const PASSES_MAX: usize = 2_000;

/// How a pod ends.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// With this exit code of every container.
    Exit(i32),
    /// Failed with this message of its own and without exit codes.
    Failed(String),
    /// It vanishes.
    Deleted,
}

/// A workflow and its pods.
pub struct World {
    /// The workflow, as the last pass left it.
    pub workflow: Workflow,
    /// The pods that exist.
    pub pods: BTreeMap<PodKey, Pod>,
    /// The clusters and whether they answer. Nothing is known of the pods of one that doesn't.
    pub clusters: BTreeMap<ClusterName, ClusterState>,
    /// How long a cluster may be away before its nodes are given up.
    pub lost_after: SignedDuration,
    /// Why nothing may be created now.
    pub on_hold: Option<String>,
    /// By node name: why policy can't be asked about its pod now.
    pub held: BTreeMap<String, String>,
    /// By node name: why policy says no.
    pub denied: BTreeMap<String, String>,
    /// How often a pod was created, over all time.
    pub created: BTreeMap<PodKey, usize>,
    now: Timestamp,
    /// When the engine wants to look again.
    wake_at: Option<Timestamp>,
}

impl World {
    /// A workflow without pods.
    pub fn new(mut workflow: Workflow) -> World {
        let metadata = &mut workflow.metadata;
        metadata.namespace.get_or_insert_with(|| "default".to_owned());
        metadata.uid.get_or_insert_with(|| "00000000-0000-0000-0000-000000000000".to_owned());
        if metadata.name.is_none() {
            metadata.name = metadata.generate_name.as_ref().map(|prefix| format!("{prefix}x"));
        }
        World {
            workflow,
            pods: BTreeMap::new(),
            clusters: BTreeMap::from([(ClusterName::home(), ClusterState::Ready)]),
            lost_after: LOST_AFTER,
            on_hold: None,
            held: BTreeMap::new(),
            denied: BTreeMap::new(),
            created: BTreeMap::new(),
            now: START.parse().unwrap(),
            wake_at: None,
        }
    }

    /// One decision. The engine runs again with each denial and each hold, as the controller lets it.
    pub fn decide(&self) -> Plan {
        let mut observed = self.observe();
        loop {
            let plan = engine::reconcile(&self.workflow, &observed, self.now);
            let (denials, holds) = self.objections(&plan);
            if denials.is_empty() && holds.is_empty() {
                return plan;
            }
            observed.denials.extend(denials);
            observed.holds.extend(holds);
        }
    }

    /// The durable part of a pass.
    pub fn write_status(&mut self, plan: &Plan) {
        self.workflow.status = plan.status.clone();
        self.workflow.metadata.labels.get_or_insert_default().extend(plan.labels.clone());
        self.workflow.metadata.annotations.get_or_insert_default().extend(plan.annotations.clone());
        self.wake_at = plan.wake_at;
    }

    /// Carries out one action.
    pub fn apply(&mut self, action: &Action) {
        match action {
            Action::CreatePod(create) => {
                let key = PodKey { target: create.target.clone(), name: create.pod_name().to_owned() };
                if self.pods.contains_key(&key) {
                    return;
                }
                *self.created.entry(key.clone()).or_default() += 1;
                let mut pod = (*create.pod).clone();
                pod.metadata.uid = Some(format!("uid-of-{}", create.node_id));
                set_phase(&mut pod, "Pending");
                self.pods.insert(key, pod);
            }
            Action::DeletePod { target, name, .. } => {
                self.pods.remove(&PodKey { target: target.clone(), name: name.clone() });
            }
        }
    }

    /// One pass, and everything it decided is done.
    pub fn pass(&mut self) -> Plan {
        let plan = self.decide();
        self.write_status(&plan);
        plan.actions.iter().for_each(|action| self.apply(action));
        plan
    }

    /// Passes until the workflow ends. In each, `end` says how the pods that run end; `None` leaves one running.
    ///
    /// # Errors
    /// If the workflow never ends, or ends because it asks for what is not supported.
    pub fn run(&mut self, mut end: impl FnMut(&World) -> Vec<(PodKey, End)>) -> Result<(), String> {
        for _ in 0..PASSES_MAX {
            let before = self.workflow.status.clone();
            self.pass();
            if self.workflow.status.phase.is_completed() {
                return self.supported();
            }
            let pending: Vec<PodKey> = self.in_phase("Pending");
            for key in &pending {
                self.start(key);
            }
            let ended = if pending.is_empty() { end(self) } else { Vec::new() };
            for (key, end) in &ended {
                self.end(key, end);
            }
            if before == self.workflow.status && pending.is_empty() && ended.is_empty() {
                match self.wake_at {
                    Some(at) if self.now < at => self.now = at,
                    Some(_) | None => return Err("it never ends".to_owned()),
                }
            }
        }
        Err(format!("it goes on after {PASSES_MAX} passes"))
    }

    /// A cluster doesn't answer any more.
    pub fn lose(&mut self, cluster: &str, why: &str) {
        let name: ClusterName = cluster.parse().unwrap();
        let since = match self.clusters.get(&name) {
            Some(ClusterState::Unavailable { since, .. }) => *since,
            Some(ClusterState::Ready) | None => self.now,
        };
        self.clusters.insert(name, ClusterState::Unavailable { reason: why.to_owned(), since });
    }

    /// A cluster answers again.
    pub fn find(&mut self, cluster: &str) {
        let name: ClusterName = cluster.parse().unwrap();
        self.clusters.insert(name, ClusterState::Ready);
    }

    /// When the engine wants to look again.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.wake_at
    }

    /// Lets time pass.
    pub fn advance(&mut self, duration: SignedDuration) {
        self.now += duration;
    }

    /// The pods that run and may end.
    pub fn running(&self) -> Vec<PodKey> {
        self.in_phase("Running")
    }

    /// The ID of the node that a pod was made for.
    pub fn node_of(&self, key: &PodKey) -> String {
        self.annotation(key, contract::ANNOTATION_NODE_ID)
    }

    /// The name of the node that a pod was made for.
    pub fn node_name_of(&self, key: &PodKey) -> String {
        self.annotation(key, contract::ANNOTATION_NODE_NAME)
    }

    /// A pod starts to run.
    pub fn start(&mut self, key: &PodKey) {
        set_phase(self.pods.get_mut(key).unwrap(), "Running");
    }

    /// The phase of a pod.
    pub fn phase_of(&self, key: &PodKey) -> &str {
        self.pods[key].status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
    }

    /// Ends a pod.
    pub fn end(&mut self, key: &PodKey, end: &End) {
        let now = self.now;
        match end {
            End::Exit(code) => {
                let pod = self.pods.get_mut(key).unwrap();
                set_phase(pod, if *code == 0 { "Succeeded" } else { "Failed" });
                set_exit_code(pod, *code, now);
            }
            End::Failed(message) => {
                let pod = self.pods.get_mut(key).unwrap();
                set_phase(pod, "Failed");
                pod.status.get_or_insert_default().message = Some(message.clone());
            }
            End::Deleted => {
                self.pods.remove(key);
            }
        }
    }

    /// Whether the workflow asked only for what is supported.
    ///
    /// # Errors
    /// What is not, as a class of its own.
    pub fn supported(&self) -> Result<(), String> {
        let message = self.workflow.status.message.as_deref().unwrap_or_default();
        match message.strip_suffix(": not supported yet") {
            Some(path) => {
                let field = path.rsplit(['.', ' ']).next().unwrap_or(path);
                let what = if path.contains("{{=") { "expression tags" } else { field };
                Err(format!("{what}: not supported yet"))
            }
            None => Ok(()),
        }
    }

    fn in_phase(&self, phase: &str) -> Vec<PodKey> {
        let is_in = |pod: &Pod| pod.status.as_ref().and_then(|it| it.phase.as_deref()) == Some(phase);
        self.pods.iter().filter(|(_, pod)| is_in(pod)).map(|(key, _)| key.clone()).collect()
    }

    fn annotation(&self, key: &PodKey, name: &str) -> String {
        let annotations = self.pods[key].metadata.annotations.clone().unwrap_or_default();
        annotations[name].clone()
    }

    fn observe(&self) -> Observed {
        let home = ClusterName::home();
        let open = self.workflow.status.nodes.values().filter(|node| !node.phase.is_fulfilled());
        let keys = open.filter_map(|node| nodes::pod_of(&home, &self.workflow, node));
        let is_known = |key: &PodKey| self.clusters.get(&key.target.cluster) == Some(&ClusterState::Ready);
        let pods = keys.filter(is_known).map(|key| {
            let pod = self.pods.get(&key);
            let state = pod.map_or(PodState::Gone, |pod| PodState::Present(Arc::new(pod.clone())));
            (key, state)
        });
        Observed {
            pods: pods.collect(),
            home: Some(home),
            clusters: self.clusters.clone(),
            lost_after: self.lost_after,
            on_hold: self.on_hold.clone(),
            ..Observed::default()
        }
    }

    /// What stands against pods of the plan, by node ID: denials, and why policy can't be asked.
    fn objections(&self, plan: &Plan) -> (BTreeMap<String, Denial>, BTreeMap<String, String>) {
        let (mut denials, mut holds) = (BTreeMap::new(), BTreeMap::new());
        for action in &plan.actions {
            let Action::CreatePod(create) = action else { continue };
            if let Some(why) = self.held.get(&create.node_name) {
                holds.insert(create.node_id.clone(), why.clone());
            } else if let Some(reason) = self.denied.get(&create.node_name) {
                let (module, code) = ("test".to_owned(), "no".to_owned());
                let denial = Denial { module, generation: 1, code, reason: reason.clone(), may_quote_pod: false };
                denials.insert(create.node_id.clone(), denial);
            }
        }
        (denials, holds)
    }
}

/// Puts a pod into a phase.
pub fn set_phase(pod: &mut Pod, phase: &str) {
    let status: &mut PodStatus = pod.status.get_or_insert_default();
    status.phase = Some(phase.to_owned());
}

/// Ends every container of a pod.
pub fn set_exit_code(pod: &mut Pod, code: i32, now: Timestamp) {
    let spec = pod.spec.clone().unwrap_or_default();
    let ended = |name: &str| ContainerStatus {
        name: name.to_owned(),
        state: Some(ContainerState {
            terminated: Some(ContainerStateTerminated {
                exit_code: code,
                reason: Some(if code == 0 { "Completed" } else { "Error" }.to_owned()),
                finished_at: Some(now.into()),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        }),
        ..ContainerStatus::default()
    };
    let statuses = spec.containers.iter().map(|container| ended(&container.name)).collect();
    pod.status.get_or_insert_default().container_statuses = Some(statuses);
}
