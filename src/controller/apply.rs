//! Carries out what was decided and allowed. It chooses nothing: pods are created as they were shown to policy, and pods
//! are deleted by UID. Everything here may be repeated; a pod's fixed name makes the second create a success or a refusal.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, PostParams, Preconditions},
};

use crate::{
    api::ids::{Namespace, Target},
    clusters::{call::CallError, cluster::Cluster},
    controller::{
        Controller,
        authorize::{self, Authorized},
        gather, index,
        workflows::{Stored, Uid},
    },
    engine::{
        observed::PodState,
        plan::{Action, CreatePod},
    },
};

/// Writes at once for one workflow: a fan-out must not use up a cluster's whole budget.
const WRITES_AT_ONCE: usize = 16;

/// What became of one action, or of all of them: the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Applied {
    /// It is so.
    Done,
    /// It will never be so; the refusal is noted, and the next pass is to take it over.
    Refused,
    /// It may be so or not; the next pass is to look and try again.
    Unsure,
}

/// What the targets' API servers refused for good, until the next pass has made it a node's outcome.
#[derive(Default)]
pub struct Refusals {
    by_workflow: Mutex<HashMap<Uid, BTreeMap<String, String>>>,
}

impl Refusals {
    /// By node ID, the refusals of one workflow.
    pub fn of(&self, uid: &str) -> BTreeMap<String, String> {
        self.lock().get(uid).cloned().unwrap_or_default()
    }

    /// Forgets those of one workflow.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn note(&self, uid: &Uid, node_id: &str, reason: String) {
        self.lock().entry(uid.clone()).or_default().insert(node_id.to_owned(), reason);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, BTreeMap<String, String>>> {
        self.by_workflow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries out all actions, a failure of one doesn't stop the others.
pub async fn apply(controller: &Controller, stored: &Stored, authorized: Authorized) -> Applied {
    let generation = authorized.generation();
    let outcomes = stream::iter(authorized.into_actions()).map(|action| async move {
        let line = action.to_string();
        let outcome = match &action {
            Action::CreatePod(create) => create_pod(controller, stored, create, generation).await,
            Action::DeletePod { target, name, uid } => delete_pod(controller, target, name, uid).await,
        };
        let workflow = controller.name_of(stored);
        match &outcome {
            Ok(Applied::Done) => tracing::debug!(workflow, "{line}"),
            Ok(outcome) => tracing::info!(workflow, outcome = ?outcome, "{line}"),
            Err(error) => tracing::warn!(workflow, error = %error, "{line}"),
        }
        outcome.unwrap_or(Applied::Unsure)
    });
    let outcomes: Vec<Applied> = outcomes.buffer_unordered(WRITES_AT_ONCE).collect().await;
    outcomes.into_iter().max().unwrap_or(Applied::Done)
}

async fn create_pod(
    controller: &Controller,
    stored: &Stored,
    create: &CreatePod,
    generation: u64,
) -> Result<Applied, CallError> {
    let cluster = connection(controller, &create.target)?;
    if let Some(reason) = outside(&cluster, &create.target) {
        controller.refusals.note(&stored.uid, &create.node_id, reason);
        return Ok(Applied::Refused);
    }
    let api: Api<Pod> = Api::namespaced(cluster.client(), create.target.namespace.as_str());
    let params = PostParams::default();
    // The call may have waited long for its turn, so what allows it is looked at when it begins.
    let created = cluster.call(async {
        if !still_holds(controller, stored, create, generation) {
            return Ok(None);
        }
        api.create(&params, &create.pod).await.map(Some)
    });
    match created.await {
        Ok(None) => Ok(Applied::Unsure),
        Ok(Some(pod)) => {
            hold(controller, &create.target, pod);
            Ok(Applied::Done)
        }
        Err(CallError::Refused(status)) if status.code == 409 && status.reason == "AlreadyExists" => {
            let pod = cluster.call(api.get(create.pod_name())).await?;
            match gather::claim(controller, &stored.workflow, &create.node_id, Arc::new(pod)) {
                PodState::Present(pod) => {
                    hold(controller, &create.target, Pod::clone(&pod));
                    Ok(Applied::Done)
                }
                PodState::Foreign(reason) => {
                    controller.refusals.note(&stored.uid, &create.node_id, reason);
                    Ok(Applied::Refused)
                }
                PodState::Gone => Ok(Applied::Unsure),
            }
        }
        Err(error) if is_for_good(&error) => {
            let reason = format!("pod can't be created in {}: {error}", create.target);
            controller.refusals.note(&stored.uid, &create.node_id, reason);
            Ok(Applied::Refused)
        }
        Err(error) => Err(error),
    }
}

/// Why no pod may be in a namespace at all: it is none of those that the cluster was added with.
fn outside(cluster: &Cluster, target: &Target) -> Option<String> {
    let settings = cluster.settings();
    let namespaces = settings.namespaces.as_ref().filter(|_| !settings.allows(&target.namespace))?;
    let list: Vec<&str> = namespaces.iter().map(Namespace::as_str).collect();
    let flags = namespaces.iter().chain([&target.namespace]).map(|it| format!(" --target-namespace {it}"));
    Some(format!(
        "namespace \"{}\" is none of those that cluster \"{}\" was added with ({}); to allow it: landfall cluster add {} CONTEXT{}",
        target.namespace,
        target.cluster,
        list.join(", "),
        target.cluster,
        flags.collect::<String>()
    ))
}

/// Whether the decision to create is still good: policy is what it was asked under, the workflow is still there to have
/// pods, and the namespace still takes them.
fn still_holds(controller: &Controller, stored: &Stored, create: &CreatePod, generation: u64) -> bool {
    let is_live = controller
        .workflows
        .get(&stored.uid)
        .is_some_and(|newest| newest.workflow.metadata.deletion_timestamp.is_none());
    is_live
        && controller.policies.state().generation == generation
        && authorize::still_takes(controller, &stored.workflow, create)
}

/// Whether the same request can't ever succeed. A quota frees up, conflicts and busy servers pass.
fn is_for_good(error: &CallError) -> bool {
    match error {
        CallError::Refused(status) if status.code == 403 => !status.message.contains("exceeded quota"),
        CallError::Refused(status) => matches!(status.code, 400 | 404 | 405 | 413 | 415 | 422),
        CallError::Unreachable(_) => false,
    }
}

/// The new pod counts as known at once: the next pass may come before the watch shows it.
fn hold(controller: &Controller, target: &Target, mut pod: Pod) {
    index::strip(&mut pod);
    controller.pods.put_answer(&target.cluster, pod);
}

async fn delete_pod(controller: &Controller, target: &Target, name: &str, uid: &str) -> Result<Applied, CallError> {
    let cluster = connection(controller, target)?;
    delete(&cluster, target, name, uid).await?;
    Ok(Applied::Done)
}

/// Deletes a pod if it is still the one with this UID; that it is gone already is as good.
pub async fn delete(cluster: &Cluster, target: &Target, name: &str, uid: &str) -> Result<(), CallError> {
    let api: Api<Pod> = Api::namespaced(cluster.client(), target.namespace.as_str());
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match cluster.call(api.delete(name, &params)).await {
        Ok(_) => Ok(()),
        // 409: another pod has the name now, so ours is gone.
        Err(CallError::Refused(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(error),
    }
}

fn connection(controller: &Controller, target: &Target) -> Result<Arc<Cluster>, CallError> {
    let missing = || CallError::Unreachable(format!("cluster \"{}\" is not configured any more", target.cluster));
    controller.clusters.get(&target.cluster).ok_or_else(missing)
}
