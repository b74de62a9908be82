//! What `kubectl` shows of policy: the ConfigMap `landfall-policy-status` in the controller's namespace, with conditions as
//! other objects have them, and Events on the ConfigMap that the operator writes. Both only when something changes; what
//! stands in the ConfigMap from before a restart is no news.
//!
//! A ConfigMap, because nothing else is sure to be there: the controller may run outside of the cluster, without a pod or a
//! Deployment, and what the operator writes is not ours to write to.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{Timestamp, Unit};
use k8s_openapi::{
    api::core::v1::{ConfigMap, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    api::{
        contract::{CONFIG_MAP, POLICY_STATUS_CONFIG_MAP},
        ids::Namespace,
    },
    clusters::{call::CallError, cluster::Cluster},
    controller::{Controller, events::Note},
    policy::state::State,
};

/// Who applies it, as `managedFields` name it.
const MANAGER: &str = "landfall";
/// Pause after the first failed write; it doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest pause.
const PAUSE_LAST: Duration = Duration::from_secs(60);
/// Characters of a condition's message, as the API conventions have it.
const MESSAGE_CHARACTERS_MAX: usize = 32_768;

/// A set of modules is in force. Without one every pod waits.
const IN_FORCE: &str = "InForce";
/// What is configured was refused. What was in force before stays.
const REFUSED: &str = "Refused";

/// Keeps it up to date until dropped.
pub async fn keep(controller: Arc<Controller>, namespace: Namespace, clock: fn() -> Timestamp) {
    let home = controller.clusters.home().clone();
    let place = Place { api: Api::namespaced(home.client(), namespace.as_str()), home, namespace };
    let mut states = controller.policies.subscribe_state();
    let mut written = place.read().await;
    let mut last = written.clone();
    loop {
        let now = Status::of(&states.borrow_and_update(), last.as_ref(), clock());
        for (is_warning, reason, message) in now.news(last.as_ref()) {
            let note = Note { about: place.configuration().await, is_warning, reason, message };
            controller.events.say(note);
        }
        let is_written = written.as_ref() == Some(&now);
        last = Some(now.clone());
        tokio::select! {
            changed = states.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            () = place.write(&now), if !is_written => written = Some(now),
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

/// What the ConfigMap holds.
#[derive(Clone, Debug, PartialEq)]
struct Status {
    generation: u64,
    set_digest: String,
    modules: String,
    conditions: Vec<Condition>,
}

impl Status {
    fn of(state: &State, last: Option<&Status>, now: Timestamp) -> Status {
        let (refused, reason, message) = match &state.refusal {
            Some(refusal) => (true, refusal.at_fault().as_str(), refusal.to_string()),
            None => (false, "UpToDate", "what is configured is in force".to_owned()),
        };
        let in_force_because = if state.is_ready() { "Loaded" } else { "NothingLoaded" };
        let conditions =
            [(IN_FORCE, state.is_ready(), in_force_because, state.in_force()), (REFUSED, refused, reason, message)];
        let conditions = conditions.into_iter().map(|(name, holds, reason, message)| {
            let status = if holds { "True" } else { "False" };
            let before = last.and_then(|last| last.condition(name)).filter(|before| before.status == status);
            Condition {
                type_: name.to_owned(),
                status: status.to_owned(),
                reason: reason.to_owned(),
                message: message.chars().take(MESSAGE_CHARACTERS_MAX).collect(),
                last_transition_time: before
                    .map_or_else(|| Time(now.round(Unit::Second).unwrap_or(now)), |it| it.last_transition_time.clone()),
                observed_generation: None,
            }
        });
        Status {
            generation: state.generation,
            set_digest: state.set_digest.clone(),
            modules: pretty(&state.modules),
            conditions: conditions.collect(),
        }
    }

    /// As it stands in a ConfigMap; `None`: that is not one of ours.
    fn read(data: &BTreeMap<String, String>) -> Option<Status> {
        Some(Status {
            generation: data.get("generation")?.parse().ok()?,
            set_digest: data.get("setDigest")?.clone(),
            modules: data.get("modules")?.clone(),
            conditions: serde_json::from_str(data.get("conditions")?).ok()?,
        })
    }

    fn to_config_map(&self) -> serde_json::Value {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": POLICY_STATUS_CONFIG_MAP, "labels": {"app.kubernetes.io/managed-by": MANAGER}},
            "data": {
                "generation": self.generation.to_string(),
                "setDigest": self.set_digest,
                "modules": self.modules,
                "conditions": pretty(&self.conditions),
            },
        })
    }

    fn condition(&self, name: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == name)
    }

    /// Why something was refused, if it was.
    fn refusal(&self) -> Option<&str> {
        self.condition(REFUSED).filter(|it| it.status == "True").map(|it| it.message.as_str())
    }

    /// What to tell, beside what was told last: whether it is a warning, a word for programs, and the rest.
    fn news(&self, last: Option<&Status>) -> Vec<(bool, &'static str, String)> {
        let mut news = Vec::new();
        let message = |name: &str| self.condition(name).map_or_else(String::new, |it| it.message.clone());
        let is_new_set = last.is_none_or(|last| last.set_digest != self.set_digest);
        let is_mended = self.refusal().is_none() && last.is_some_and(|last| last.refusal().is_some());
        if self.generation > 0 && (is_new_set || is_mended) {
            news.push((false, "PolicyInForce", message(IN_FORCE)));
        }
        if let Some(refusal) = self.refusal()
            && last.and_then(Status::refusal) != Some(refusal)
        {
            news.push((true, "PolicyRefused", format!("{refusal}; {}", message(IN_FORCE))));
        }
        news
    }
}

/// Where it stands.
struct Place {
    api: Api<ConfigMap>,
    home: Arc<Cluster>,
    namespace: Namespace,
}

impl Place {
    /// What was written before this process began, if that can be told.
    async fn read(&self) -> Option<Status> {
        loop {
            self.home.ready().await;
            match self.home.call(self.api.get_opt(POLICY_STATUS_CONFIG_MAP)).await {
                Ok(found) => return Status::read(&found?.data?),
                Err(CallError::Refused(status)) => {
                    tracing::warn!(
                        config_map = self.name(),
                        reason = status.message,
                        "what was told of policy can't be read"
                    );
                    return None;
                }
                // The call has told the breaker.
                Err(CallError::Unreachable(_)) => {}
            }
        }
    }

    /// Writes until it is written.
    async fn write(&self, status: &Status) {
        let params = PatchParams::apply(MANAGER).force();
        let patch = Patch::Apply(status.to_config_map());
        let mut pause = PAUSE_FIRST;
        let mut said = String::new();
        loop {
            self.home.ready().await;
            match self.home.call(self.api.patch(POLICY_STATUS_CONFIG_MAP, &params, &patch)).await {
                Ok(_) => return,
                Err(error) => {
                    let reason = error.to_string();
                    if reason != said {
                        tracing::warn!(
                            config_map = self.name(),
                            reason,
                            "the state of policy can't be written; it is tried again"
                        );
                        said = reason;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_LAST);
                }
            }
        }
    }

    /// The ConfigMap that the operator writes, be it there or not.
    async fn configuration(&self) -> ObjectReference {
        let found = self.home.call(self.api.get_opt(CONFIG_MAP)).await.ok().flatten();
        let metadata = found.map(|found| found.metadata).unwrap_or_default();
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("ConfigMap".to_owned()),
            namespace: Some(self.namespace.to_string()),
            name: Some(CONFIG_MAP.to_owned()),
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            field_path: None,
        }
    }

    fn name(&self) -> String {
        format!("{}/{POLICY_STATUS_CONFIG_MAP}", self.namespace)
    }
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("plain data with text for keys")
}
