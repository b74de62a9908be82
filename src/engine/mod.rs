//! What happens next: workflow, what was observed, and the time in; status and actions out. Pure.
//!
//! A pass first takes over what the pods say, then walks the templates from the entrypoint as far as they can go, then
//! looks whether the workflow has ended. It decides from the status alone: a pass that is repeated decides the same.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    api::workflow::Workflow,
    engine::{observed::Observed, pass::Pass, plan::Plan},
};

pub mod dag;
pub mod depends;
pub mod execute;
pub mod finish;
pub mod inputs;
pub mod lost;
pub mod nodes;
pub mod observed;
pub mod outcome;
pub mod pass;
pub mod plan;
pub mod pod_node;
pub mod references;
pub mod retention;
pub mod scope;
pub mod shutdown;
pub mod steps;
pub mod unsupported;
pub mod validate;

/// One pass: what the workflow's status becomes and what is to be done, given what is known of the world at `now`.
/// A workflow that has ended gets a plan that changes nothing.
pub fn reconcile(workflow: &Workflow, observed: &Observed, now: Timestamp) -> Plan {
    if workflow.status.phase.is_completed() {
        return unchanged(workflow);
    }
    let mut pass = Pass::new(workflow, observed, now);
    if let Err(problem) = pass.begin() {
        return pass.fail(&format!("invalid spec: {problem}"));
    }
    outcome::take_over(&mut pass);
    if let Err(problem) = unsupported::check_running(&workflow.spec) {
        return pass.fail(&format!("invalid spec: {problem}"));
    }
    shutdown::end_pods(&mut pass);
    let entry = execute::entrypoint(&mut pass);
    finish::assess(&mut pass, entry);
    pass.into_plan()
}

/// The plan for a workflow whose spec can't be read: it is Failed, nothing is created, and pods that run are deleted.
pub fn refuse(workflow: &Workflow, observed: &Observed, problem: &str, now: Timestamp) -> Plan {
    let mut pass = Pass::new(workflow, observed, now);
    // What else may be wrong with it doesn't matter any more.
    drop(pass.begin());
    pass.fail(&format!("invalid spec: {problem}"))
}

fn unchanged(workflow: &Workflow) -> Plan {
    Plan {
        status: workflow.status.clone(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        finalizer: !workflow.status.targets.is_empty(),
        actions: Vec::new(),
        wake_at: None,
    }
}
