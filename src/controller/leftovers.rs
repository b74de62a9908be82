//! Pods that nobody wants any more: their workflow is gone, or has no use for them since it gave them up while their cluster
//! was away. Caches only say which pods to ask about; what is deleted was found so by a live GET, and by its UID.
//!
//! Only pods that bear this home's UID are looked at, so those of another home in the same cluster are never touched.

use std::{collections::HashMap, sync::Arc, time::Duration};

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api,
    api::{ListParams, PartialObjectMeta},
};

use crate::{
    api::{
        contract::{ANNOTATION_NODE_ID, LABEL_HOME_NAMESPACE, LABEL_HOME_UID, LABEL_WORKFLOW, LABEL_WORKFLOW_UID},
        ids::{Namespace, Target},
    },
    clusters::{call::CallError, cluster::Cluster},
    controller::{
        Controller, apply, index, status,
        watched::Scope,
        workflows::{Stored, Uid},
    },
};

/// Pause between two looks at a cluster that answers all the time. What is looked for is rare: it comes of a cluster that
/// was away, or of a controller that was.
const PAUSE: Duration = Duration::from_secs(5 * 60);
/// Pods a page of a list.
const PAGE: u32 = 500;
/// Those that may still run.
const UNFINISHED: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// Looks after one cluster, or one namespace of it, until dropped: when it begins to answer, and then now and again.
pub async fn collect(controller: Arc<Controller>, cluster: Arc<Cluster>, scope: Scope) {
    loop {
        cluster.ready().await;
        let home = controller.home().clone();
        controller.watched.until(|progress| progress.home_problem(&home).is_none()).await;
        if let Err(error) = sweep(&controller, &cluster, &scope).await {
            tracing::warn!(cluster = %cluster.name(), %error, "can't look for pods that nobody wants");
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = cluster.unavailable() => {}
        }
    }
}

async fn sweep(controller: &Controller, cluster: &Cluster, scope: &Scope) -> Result<(), CallError> {
    // A client is asked for anew each time: its token may be another.
    let api = match scope {
        Some(namespace) => Api::namespaced(cluster.client(), namespace.as_str()),
        None => Api::all(cluster.client()),
    };
    let mut workflows = Looked::default();
    for pod in list(controller, cluster, &api, None).await? {
        let Some(found) = Found::read(controller, cluster, pod.metadata) else { continue };
        let is_known = controller.workflows.get(&found.uid).is_some() || controller.workflows.has_ended(&found.uid);
        // With an owner reference, the API server sees to it.
        if !is_known && !found.has_owner && workflows.get(controller, &found).await?.is_none() {
            delete(cluster, &found, "its workflow is gone").await?;
        }
    }
    for pod in list(controller, cluster, &api, Some(UNFINISHED)).await? {
        let Some(found) = Found::read(controller, cluster, pod.metadata) else { continue };
        let cached = controller.workflows.get(&found.uid);
        if cached.is_some_and(|stored| !is_done_with(&stored, &found)) {
            continue;
        }
        let Some(stored) = workflows.get(controller, &found).await? else { continue };
        // It may have ended since it was listed: then its node has for that very reason, and its log is of interest.
        if is_done_with(&stored, &found) && still_runs(cluster, &found).await? {
            delete(cluster, &found, "its workflow goes on, or has ended, without it").await?;
        }
    }
    Ok(())
}

/// What has been asked for during one sweep: many pods are of the same workflow.
#[derive(Default)]
struct Looked(HashMap<Uid, Option<Arc<Stored>>>);

impl Looked {
    /// The workflow of a pod, as the home cluster has it; `None`: there is none.
    async fn get(&mut self, controller: &Controller, found: &Found) -> Result<Option<Arc<Stored>>, CallError> {
        if let Some(known) = self.0.get(&found.uid) {
            return Ok(known.clone());
        }
        let home = controller.clusters.home();
        let stored = status::read_named(home, &found.uid, &found.home_namespace, &found.workflow).await?;
        self.0.insert(found.uid.clone(), stored.clone());
        Ok(stored)
    }
}

/// A pod of this home's.
struct Found {
    target: Target,
    name: String,
    pod_uid: String,
    uid: Uid,
    home_namespace: String,
    workflow: String,
    node_id: String,
    has_owner: bool,
}

impl Found {
    /// `None`: it doesn't say whose it is, it is not ours, or it is being deleted already.
    fn read(controller: &Controller, cluster: &Cluster, metadata: ObjectMeta) -> Option<Found> {
        let labels = metadata.labels?;
        if metadata.deletion_timestamp.is_some() || *labels.get(LABEL_HOME_UID)? != controller.home_uid {
            return None;
        }
        let namespace = Namespace::try_from(metadata.namespace?).ok()?;
        Some(Found {
            target: Target { cluster: cluster.name().clone(), namespace },
            name: metadata.name?,
            pod_uid: metadata.uid?,
            uid: labels.get(LABEL_WORKFLOW_UID)?.as_str().into(),
            home_namespace: labels.get(LABEL_HOME_NAMESPACE)?.clone(),
            workflow: labels.get(LABEL_WORKFLOW)?.clone(),
            node_id: metadata.annotations?.remove(ANNOTATION_NODE_ID)?,
            has_owner: metadata.owner_references.is_some_and(|owners| !owners.is_empty()),
        })
    }
}

async fn list(
    controller: &Controller,
    cluster: &Cluster,
    api: &Api<Pod>,
    fields: Option<&str>,
) -> Result<Vec<PartialObjectMeta<Pod>>, CallError> {
    let mut params = ListParams {
        label_selector: Some(format!("{LABEL_WORKFLOW_UID},{LABEL_HOME_UID}={}", controller.home_uid)),
        field_selector: fields.map(str::to_owned),
        limit: Some(PAGE),
        ..ListParams::default()
    };
    let mut pods = Vec::new();
    loop {
        let mut page = cluster.call(api.list_metadata(&params)).await?;
        pods.append(&mut page.items);
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            return Ok(pods);
        }
    }
}

/// Whether the workflow has no use for what the pod may still do.
fn is_done_with(stored: &Stored, found: &Found) -> bool {
    match stored.workflow.status.nodes.get(&found.node_id) {
        Some(node) => node.phase.is_fulfilled(),
        None => stored.workflow.status.phase.is_completed(),
    }
}

async fn still_runs(cluster: &Cluster, found: &Found) -> Result<bool, CallError> {
    let api: Api<Pod> = Api::namespaced(cluster.client(), found.target.namespace.as_str());
    let pod = cluster.call(api.get_opt(&found.name)).await?;
    Ok(pod.is_some_and(|pod| pod.metadata.uid.as_deref() == Some(found.pod_uid.as_str()) && !index::has_finished(&pod)))
}

async fn delete(cluster: &Cluster, found: &Found, why: &str) -> Result<(), CallError> {
    tracing::info!(
        cluster = %cluster.name(), namespace = %found.target.namespace, pod = found.name,
        workflow = format!("{}/{}", found.home_namespace, found.workflow), "pod is deleted: {why}"
    );
    apply::delete(cluster, &found.target, &found.name, &found.pod_uid).await
}
