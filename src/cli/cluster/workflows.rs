//! Workflows at home that had pods in other clusters, as their status says; and letting go of one that waits for a cluster.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::json;

use crate::{
    api::{
        contract::FINALIZER_PODS_ELSEWHERE,
        ids::{ClusterName, Namespace, Target},
        workflow::Workflow,
    },
    cli::cluster::{home::Home, target::CALL},
    clusters::call::{self, CallError},
    controller::workflows::{self, Uid},
    engine::nodes,
};

/// Workflows a page of a list: one can be a megabyte.
const PAGE: u32 = 50;
/// How often letting go is tried again when the workflow changes meanwhile.
const TRIES_MAX: usize = 5;

/// One workflow.
pub struct Found {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Whether it is being deleted, and our finalizer keeps it.
    pub waits: bool,
    /// Whether our finalizer is on it: only then were there pods elsewhere.
    pub is_kept: bool,
    /// Its pods outside of its own namespace at home, by where they are or were to be.
    pub pods: BTreeMap<Target, BTreeSet<String>>,
}

impl Found {
    fn of(home: &Home, object: DynamicObject) -> Option<Found> {
        let uid = object.metadata.uid.clone()?;
        let stored = workflows::decode(Uid::from(uid.as_str()), object);
        let workflow = &stored.workflow;
        let metadata = &workflow.metadata;
        let mut pods: BTreeMap<Target, BTreeSet<String>> =
            workflow.status.targets.iter().map(|target| (target.clone(), BTreeSet::new())).collect();
        for node in workflow.status.nodes.values().filter(|node| node.target.is_some()) {
            if let Some(key) = nodes::pod_of(&home.name, workflow, node) {
                pods.entry(key.target).or_default().insert(key.name);
            }
        }
        let is_kept = workflows::has_finalizer(metadata);
        Some(Found {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            uid,
            waits: metadata.deletion_timestamp.is_some() && is_kept,
            is_kept,
            pods,
        })
    }

    /// `NAMESPACE/NAME`.
    pub fn shown(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether it had pods in a cluster.
    pub fn names(&self, cluster: &ClusterName) -> bool {
        self.is_kept && self.pods.keys().any(|target| target.cluster == *cluster)
    }
}

/// Every workflow that had pods in one of the clusters. Where only the controller's namespace may be read, those in it.
///
/// # Errors
/// If home doesn't list them.
pub async fn naming(home: &Home, clusters: &[ClusterName]) -> anyhow::Result<Vec<Found>> {
    let all = match list(home, api(home, None)).await {
        Err(CallError::Refused(status)) if status.code == 403 => {
            list(home, api(home, Some(home.namespace.as_str()))).await
        }
        listed => listed,
    };
    let all = all.context("listing workflows at home")?;
    Ok(all.into_iter().filter(|found| clusters.iter().any(|cluster| found.names(cluster))).collect())
}

/// One workflow; `None` if it isn't there.
///
/// # Errors
/// If home doesn't give it.
pub async fn get(home: &Home, namespace: &Namespace, name: &str) -> anyhow::Result<Option<Found>> {
    let found = call::bounded(CALL, api(home, Some(namespace.as_str())).get_opt(name)).await;
    let found = found.with_context(|| format!("reading workflow {namespace}/{name}"))?;
    Ok(found.and_then(|object| Found::of(home, object)))
}

async fn list(home: &Home, api: Api<DynamicObject>) -> Result<Vec<Found>, CallError> {
    let mut all = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = call::bounded(CALL, api.list(&params)).await?;
        all.extend(page.items.into_iter().filter_map(|object| Found::of(home, object)));
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            return Ok(all);
        }
    }
}

/// Takes our finalizer from a workflow that is being deleted, and only ours. The version makes it a test: if anything changed
/// since it was read, it is read again.
///
/// # Errors
/// If home refuses, or it is another workflow by now.
pub async fn release(home: &Home, found: &Found) -> anyhow::Result<()> {
    let api = api(home, Some(&found.namespace));
    let what = || format!("workflow {}", found.shown());
    for _ in 0..TRIES_MAX {
        let Some(object) = call::bounded(CALL, api.get_opt(&found.name)).await.with_context(what)? else {
            return Ok(());
        };
        let metadata = &object.metadata;
        if metadata.uid.as_deref() != Some(&found.uid) || !workflows::has_finalizer(metadata) {
            return Ok(());
        }
        let others: Vec<&String> =
            metadata.finalizers.iter().flatten().filter(|name| *name != FINALIZER_PODS_ELSEWHERE).collect();
        let patch = json!({"metadata": {
            "uid": metadata.uid, "resourceVersion": metadata.resource_version, "finalizers": others,
        }});
        match call::bounded(CALL, api.patch(&found.name, &PatchParams::default(), &Patch::Merge(patch))).await {
            Ok(_) => return Ok(()),
            Err(CallError::Refused(status)) if status.code == 404 => return Ok(()),
            Err(CallError::Refused(status)) if status.code == 409 => {}
            Err(error) => return Err(error).with_context(what),
        }
    }
    bail!("{} changes too often to be let go", what())
}

fn api(home: &Home, namespace: Option<&str>) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<Workflow>(&());
    match namespace {
        Some(namespace) => Api::namespaced_with(home.client.clone(), namespace, &resource),
        None => Api::all_with(home.client.clone(), &resource),
    }
}
