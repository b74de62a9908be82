//! What a pod's status says: pure, from how far its containers are.

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
        HostIP, PodCondition, PodIP, PodStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

use crate::local::runtime::env::POD_IP;

/// How far one container is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Its name.
    pub name: String,
    /// Its image, as the pod has it.
    pub image: String,
    /// Where it stands.
    pub state: State,
    /// How the run before this one ended.
    pub last: Option<Ended>,
    /// How often it was started again.
    pub restarts: i32,
    /// Whether it runs beside the main containers and is not waited for: an init container that is always restarted.
    pub sidecar: bool,
}

/// Where a container stands.
#[derive(Clone, Debug)]
pub enum State {
    /// Not started, or to be started again.
    Waiting {
        /// In one word, as the kubelet says it.
        reason: String,
        /// In full, if there is more to say.
        message: Option<String>,
    },
    /// It runs.
    Running {
        /// Of this run.
        id: String,
        /// Since when.
        since: Timestamp,
    },
    /// It ended and is not started again.
    Ended(Ended),
}

/// How a run of a container ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Of that run; empty if nothing ran.
    pub id: String,
    /// 0 to 255; 128 and the signal's number if a signal ended it.
    pub code: i32,
    /// In one word, as the kubelet says it.
    pub reason: String,
    /// The termination message.
    pub message: Option<String>,
    /// Start of the run.
    pub started: Timestamp,
    /// Its end.
    pub finished: Timestamp,
}

/// A pod as a whole.
#[derive(Clone, Debug)]
pub struct Whole {
    /// When the runtime took it.
    pub start: Timestamp,
    /// Init containers in order.
    pub init: Vec<Progress>,
    /// The containers in order.
    pub main: Vec<Progress>,
    /// Why the pod failed as a whole, whatever its containers did: reason and message.
    pub failure: Option<(String, String)>,
    /// Why it can't be placed on this node.
    pub unschedulable: Option<String>,
}

impl Progress {
    /// A container before its first start.
    pub fn new(name: &str, image: &str, sidecar: bool) -> Progress {
        Progress {
            name: name.to_owned(),
            image: image.to_owned(),
            state: State::Waiting { reason: "ContainerCreating".to_owned(), message: None },
            last: None,
            restarts: 0,
            sidecar,
        }
    }

    /// The code with which it ended for good.
    pub fn code(&self) -> Option<i32> {
        match &self.state {
            State::Ended(ended) => Some(ended.code),
            State::Waiting { .. } | State::Running { .. } => None,
        }
    }

    fn running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    fn initialized(&self) -> bool {
        if self.sidecar { self.running() || self.code().is_some() } else { self.code() == Some(0) }
    }

    fn status(&self) -> ContainerStatus {
        let (id, state) = match &self.state {
            State::Waiting { reason, message } => {
                let waiting = ContainerStateWaiting { reason: Some(reason.clone()), message: message.clone() };
                (None, ContainerState { waiting: Some(waiting), ..ContainerState::default() })
            }
            State::Running { id, since } => {
                let running = ContainerStateRunning { started_at: Some(Time(*since)) };
                (Some(id.clone()), ContainerState { running: Some(running), ..ContainerState::default() })
            }
            State::Ended(ended) => (Some(ended.id.clone()), ended.state()),
        };
        ContainerStatus {
            name: self.name.clone(),
            image: self.image.clone(),
            image_id: self.image.clone(),
            container_id: id.filter(|id| !id.is_empty()),
            ready: self.running(),
            started: Some(self.running()),
            restart_count: self.restarts,
            state: Some(state),
            last_state: self.last.as_ref().map(Ended::state),
            ..ContainerStatus::default()
        }
    }
}

impl Ended {
    fn state(&self) -> ContainerState {
        let terminated = ContainerStateTerminated {
            container_id: Some(self.id.clone()).filter(|id| !id.is_empty()),
            exit_code: self.code,
            reason: Some(self.reason.clone()),
            message: self.message.clone(),
            started_at: Some(Time(self.started)),
            finished_at: Some(Time(self.finished)),
            signal: None,
        };
        ContainerState { terminated: Some(terminated), ..ContainerState::default() }
    }
}

impl Whole {
    /// The phase, as the kubelet derives it. Containers that will be started again are not `Ended` here.
    pub fn phase(&self) -> &'static str {
        let failed_init = self.init.iter().any(|init| !init.sidecar && init.code().is_some_and(|code| code != 0));
        let ended = !self.main.is_empty() && self.main.iter().all(|main| main.code().is_some());
        if failed_init || (ended && self.main.iter().any(|main| main.code() != Some(0))) {
            return "Failed";
        }
        match (&self.failure, ended) {
            // A pod has failed only when nothing of it runs any more.
            (Some(_), _) if !self.runs() => "Failed",
            (None, true) => "Succeeded",
            _ if self.started() => "Running",
            _ => "Pending",
        }
    }

    /// Whether any container runs.
    pub fn runs(&self) -> bool {
        self.init.iter().chain(&self.main).any(Progress::running)
    }

    /// Whether a main container was started at least once.
    fn started(&self) -> bool {
        self.main.iter().any(|main| main.running() || main.code().is_some() || main.last.is_some())
    }

    /// The status to write; `before` is the one written last, whose times of change stay where nothing changed.
    pub fn status(&self, before: Option<&PodStatus>, now: Timestamp) -> PodStatus {
        let phase = self.phase();
        let failure = self.failure.as_ref().filter(|_| phase == "Failed");
        let old = before.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        PodStatus {
            phase: Some(phase.to_owned()),
            reason: failure.map(|(reason, _)| reason.clone()),
            message: failure.map(|(_, message)| message.clone()),
            host_ip: Some(POD_IP.to_owned()),
            host_ips: Some(vec![HostIP { ip: POD_IP.to_owned() }]),
            pod_ip: Some(POD_IP.to_owned()),
            pod_ips: Some(vec![PodIP { ip: POD_IP.to_owned() }]),
            start_time: Some(Time(self.start)),
            conditions: Some(self.conditions(phase, old, now)),
            init_container_statuses: Some(self.init.iter().map(Progress::status).collect::<Vec<_>>())
                .filter(|all| !all.is_empty()),
            container_statuses: Some(self.main.iter().map(Progress::status).collect()),
            ..PodStatus::default()
        }
    }

    fn conditions(&self, phase: &str, before: &[PodCondition], now: Timestamp) -> Vec<PodCondition> {
        let ready = self.main.iter().all(Progress::running);
        let initialized = self.started() || self.init.iter().all(Progress::initialized);
        let why_unready = match phase {
            "Succeeded" => Some("PodCompleted"),
            "Failed" => Some("PodFailed"),
            _ => Some("ContainersNotReady"),
        };
        let why_uninitialized = Some("ContainersNotInitialized");
        let mut all = Vec::new();
        for (kind, holds, why) in [
            ("PodScheduled", self.unschedulable.is_none(), Some("Unschedulable")),
            ("Initialized", initialized, why_uninitialized),
            ("ContainersReady", ready, why_unready),
            ("Ready", ready, why_unready),
        ] {
            let status = if holds { "True" } else { "False" };
            let same = before.iter().find(|old| old.type_ == kind && old.status == status);
            all.push(PodCondition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason: why.filter(|_| !holds).map(str::to_owned),
                message: self.unschedulable.clone().filter(|_| kind == "PodScheduled"),
                last_transition_time: same.and_then(|old| old.last_transition_time.clone()).or(Some(Time(now))),
                ..PodCondition::default()
            });
            if self.unschedulable.is_some() {
                break;
            }
        }
        all
    }
}
