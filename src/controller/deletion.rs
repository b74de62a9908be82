//! Deleting a workflow that had pods where no owner reference reaches: first those pods, then our finalizer, and only ours.

use std::collections::BTreeSet;

use anyhow::Context;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;

use crate::{
    api::{
        contract::{FINALIZER_PODS_ELSEWHERE, LABEL_HOME_UID, LABEL_WORKFLOW_UID},
        ids::{ClusterName, Target},
    },
    clusters::call::CallError,
    controller::{
        Controller, apply,
        queue::Next,
        reconcile,
        status::{self, Wanted},
        workflows::{self, Stored},
    },
    engine::nodes,
};

/// Deletes the workflow's pods elsewhere and lets it go. A target that can't be reached keeps it, with a message.
pub async fn clean_up(controller: &Controller, stored: &Stored) -> anyhow::Result<Next> {
    if !workflows::has_finalizer(&stored.workflow.metadata) {
        // The pods that are left have an owner reference; the API server sees to them.
        return Ok(Next::Wait);
    }
    let mut problems = Vec::new();
    let mut down = BTreeSet::new();
    for target in targets(controller, stored) {
        if let Err(error) = empty(controller, stored, &target).await {
            problems.push(format!("{target}: {error}"));
            down.insert(target.cluster);
        }
    }
    if problems.is_empty() {
        release(controller, stored).await?;
        return Ok(Next::Wait);
    }
    let mut status = stored.workflow.status.clone();
    status.message = Some(format!("deletion waits for pods elsewhere to be deleted: {}", problems.join("; ")));
    let none = Default::default();
    let wanted = Wanted { status: &status, labels: &none, annotations: &none, creates: false, finalizer: true };
    reconcile::write(controller, stored, wanted).await?;
    controller.waiting.set(&stored.uid, down.into_iter().collect());
    Ok(Next::Retry)
}

/// Everywhere that the workflow's pods are or may be, beside its own namespace at home.
fn targets(controller: &Controller, stored: &Stored) -> BTreeSet<Target> {
    let workflow = &stored.workflow;
    let of_nodes = workflow.status.nodes.values().filter(|node| node.target.is_some());
    let of_nodes = of_nodes.filter_map(|node| Some(nodes::pod_of(controller.home(), workflow, node)?.target));
    of_nodes.chain(workflow.status.targets.iter().cloned()).collect()
}

/// Deletes all pods of the workflow in one target, as a live list shows them.
async fn empty(controller: &Controller, stored: &Stored, target: &Target) -> Result<(), CallError> {
    let unknown = |name: &ClusterName| CallError::Unreachable(format!("cluster \"{name}\" is not configured"));
    let cluster = controller.clusters.get(&target.cluster).ok_or_else(|| unknown(&target.cluster))?;
    let api: Api<Pod> = Api::namespaced(cluster.client(), target.namespace.as_str());
    let ours = format!("{LABEL_WORKFLOW_UID}={},{LABEL_HOME_UID}={}", stored.uid, controller.home_uid);
    let pods = match cluster.call(api.list(&ListParams::default().labels(&ours))).await {
        Ok(pods) => pods.items,
        // The namespace is gone, and so are its pods.
        Err(CallError::Refused(status)) if status.code == 404 => Vec::new(),
        Err(error) => return Err(error),
    };
    for pod in pods {
        if pod.metadata.deletion_timestamp.is_none() {
            let name = pod.metadata.name.unwrap_or_default();
            let uid = pod.metadata.uid.unwrap_or_default();
            apply::delete(&cluster, target, &name, &uid).await?;
        }
    }
    Ok(())
}

/// Takes our finalizer away. The version makes it a test: if anything changed since, it is refused and tried again.
async fn release(controller: &Controller, stored: &Stored) -> anyhow::Result<()> {
    let metadata = &stored.workflow.metadata;
    let others: Vec<&String> =
        metadata.finalizers.iter().flatten().filter(|name| *name != FINALIZER_PODS_ELSEWHERE).collect();
    let patch = json!({"metadata": {
        "uid": metadata.uid, "resourceVersion": metadata.resource_version, "finalizers": others,
    }});
    let home = controller.clusters.home();
    let name = metadata.name.as_deref().context("a stored workflow has a name")?;
    let api = status::api(home.client(), metadata.namespace.as_deref());
    match home.call(api.patch(name, &PatchParams::default(), &Patch::Merge(patch))).await {
        Ok(_) => {}
        Err(CallError::Refused(status)) if status.code == 404 => {}
        Err(error) => return Err(error.into()),
    }
    tracing::info!(workflow = controller.name_of(stored), "pods elsewhere are deleted, the workflow may go");
    controller.workflows.remove(&stored.uid);
    Ok(())
}
