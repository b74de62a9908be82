//! One pass over one workflow: gather, decide, authorize, write, apply.

use std::collections::{BTreeSet, HashSet};

use anyhow::{anyhow, bail};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::{
    api::{ids::Target, status::WorkflowPhase, strict, workflow::Workflow},
    clusters::call::CallError,
    controller::{
        Controller,
        apply::{self, Applied},
        authorize::Desk,
        deletion, events,
        gather::{self, Gathered},
        landing,
        queue::Next,
        status::{self, Wanted},
        workflows::{Kind, Stored, Uid},
    },
    engine::{
        self,
        observed::{ClusterState, Observed},
        plan::Plan,
    },
};

/// Characters of the message of an invalid spec: the mistakes stand first, and objects must stay small.
const MESSAGE_CHARACTERS_MAX: usize = 4096;

/// Makes one pass and says when the next one is wanted. The outcome of a failed pass is only that it is made again.
pub async fn pass(controller: &Controller, uid: &Uid, now: Timestamp) -> Next {
    let Some(stored) = controller.workflows.get(uid) else {
        controller.forget(uid);
        return Next::Wait;
    };
    match run(controller, &stored, now).await {
        Ok(next) => next,
        // Somebody else changed or deleted it.
        Err(error) if matches!(error.downcast_ref::<CallError>().and_then(CallError::code), Some(404 | 409)) => {
            refresh(controller, &stored).await
        }
        Err(error) => {
            if let Some(CallError::Unreachable(_)) = error.downcast_ref() {
                // Home itself did not answer; its return wakes the workflow before the pause is over.
                controller.waiting.set(uid, HashSet::from([controller.home().clone()]));
            }
            tracing::warn!(
                workflow = controller.name_of(&stored),
                error = format!("{error:#}"),
                "pass is made again later"
            );
            Next::Retry
        }
    }
}

async fn run(controller: &Controller, stored: &Stored, now: Timestamp) -> anyhow::Result<Next> {
    if let Some(problem) = &stored.unreadable_status {
        // To write would be to lose what stands there, and with it the pods that it tells of.
        bail!("{problem}: the status is left as it is");
    }
    if stored.workflow.metadata.deletion_timestamp.is_some() {
        return deletion::clean_up(controller, stored).await;
    }
    let problem = invalid(stored);
    let Gathered { mut observed, is_incomplete } = gather::gather(controller, stored).await;
    let mut desk = Desk::new(controller, &stored.workflow, now);
    let mut held = BTreeSet::new();
    let (plan, authorized) = loop {
        // Ends: each round denies or holds at least one more node.
        let plan = match &problem {
            Some(problem) => engine::refuse(&stored.workflow, &observed, problem, now),
            None => engine::reconcile(&stored.workflow, &observed, now),
        };
        match desk.authorize(&plan.actions).await? {
            Ok(authorized) => break (plan, authorized),
            Err(objections) => {
                let known = observed.denials.len() + observed.holds.len();
                observed.denials.extend(objections.denials);
                observed.holds.extend(objections.holds);
                held.extend(objections.held);
                if observed.denials.len() + observed.holds.len() == known {
                    bail!("the plan goes on creating a pod that policy denied or could not be asked about");
                }
            }
        }
    };

    let wrote = write(controller, stored, Wanted::from(&plan)).await?;
    if wrote {
        events::denials(controller, stored, &plan.status, &observed.denials);
        // The status now says what was refused.
        controller.refusals.forget(&stored.uid);
    }
    let applied = apply::apply(controller, stored, authorized).await;
    let came_back = wait_for_clusters(controller, stored, (&plan, &held), &observed);
    Ok(match applied {
        Applied::Unsure => Next::Retry,
        Applied::Refused => Next::Again,
        Applied::Done if is_incomplete => Next::Retry,
        Applied::Done if came_back => Next::Again,
        // What is waited for wakes the workflow; that it isn't wanted any more does not.
        Applied::Done if !held.is_empty() => Next::Retry,
        Applied::Done => at(plan.wake_at, now),
    })
}

fn at(wake_at: Option<Timestamp>, now: Timestamp) -> Next {
    match wake_at {
        None => Next::Wait,
        Some(then) => {
            let pause = then.duration_since(now).try_into().unwrap_or_default();
            Next::At(Instant::now() + pause)
        }
    }
}

/// Writes and takes over what then stands there as the newest view; whether anything had to be written.
pub async fn write(controller: &Controller, stored: &Stored, wanted: Wanted<'_>) -> anyhow::Result<bool> {
    let phase = wanted.status.phase;
    // Logs and Events have other readers than workflows.
    let message = wanted.status.message.clone().map(events::in_public);
    let Some(written) = status::write(controller.clusters.home(), stored, wanted).await? else {
        return Ok(false);
    };
    match written {
        Kind::Live(stored) => {
            controller.workflows.put(stored);
        }
        Kind::Ended(ended) => controller.end(&ended),
        Kind::Nameless => return Err(anyhow!("the home cluster answered with an object that has no uid")),
    }
    if phase != stored.workflow.status.phase {
        controller.counted.entered(phase);
        tracing::info!(workflow = controller.name_of(stored), phase = %phase, message, "workflow changed its phase");
        events::phase(controller, stored, phase, message);
    }
    Ok(true)
}

/// Another wrote the workflow since we read it: look at it anew. That is no failure.
async fn refresh(controller: &Controller, stored: &Stored) -> Next {
    match status::read(controller.clusters.home(), stored).await {
        Ok(Some(newer)) => {
            let version = &newer.workflow.metadata.resource_version;
            let is_news = *version != stored.workflow.metadata.resource_version;
            controller.workflows.put(newer);
            // A conflict over what has not changed is somebody's refusal: it must not be repeated without a pause.
            if is_news { Next::Again } else { Next::Retry }
        }
        Ok(None) => {
            controller.workflows.remove(&stored.uid);
            controller.forget(&stored.uid);
            Next::Wait
        }
        Err(_) => Next::Retry,
    }
}

/// Notes which clusters the workflow waits for, so that it is woken when one of them comes back, or tells of a namespace that
/// nothing was known of. True if one of them did while this pass was under way, before anybody knew that it was waited for.
fn wait_for_clusters(
    controller: &Controller,
    stored: &Stored,
    (plan, held): (&Plan, &BTreeSet<Target>),
    observed: &Observed,
) -> bool {
    let open = gather::open_targets(&plan.status, controller.home(), &stored.workflow);
    let down: HashSet<Target> = open.filter(|it| observed.state_of(it) != Some(&ClusterState::Ready)).collect();
    if down.is_empty() && held.is_empty() {
        controller.waiting.forget(&stored.uid);
        return false;
    }
    controller.waiting.set(&stored.uid, down.iter().chain(held).map(|target| target.cluster.clone()).collect());
    let now = gather::states(controller);
    down.iter().any(|target| now.of(target) == Some(&ClusterState::Ready))
        || held.iter().any(|target| landing::look(controller, target).is_told())
}

/// What is wrong with the spec as JSON: a field that nobody reads, or a value of the wrong kind. Only asked before the first
/// node is made; later a new version of ours may have less to object to.
fn invalid(stored: &Stored) -> Option<String> {
    if stored.unreadable_spec.is_none() && stored.workflow.status.phase != WorkflowPhase::Unknown {
        return None;
    }
    let spec = stored.rest.get("spec").cloned().unwrap_or(Value::Object(Map::new()));
    let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": spec});
    let problems = strict::check::<Workflow>(&object);
    let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let text = if text.is_empty() { stored.unreadable_spec.clone()? } else { text };
    Some(text.chars().take(MESSAGE_CHARACTERS_MAX).collect())
}
