//! What is left of the pods of a node that ends.

use anyhow::Context;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;

use crate::local::runtime;

/// As kubelets say it when their machine goes down.
const REASON: &str = "Terminated";
const MESSAGE: &str = "Pod was terminated in response to imminent node shutdown.";
/// As after a SIGKILL.
const CODE: i32 = 137;

/// Tells that the pods of this node that had not ended failed, and deletes those that wait for that.
///
/// # Errors
/// If the API server can't be asked.
pub async fn fail(client: &Client, node: &str) -> anyhow::Result<()> {
    let all: Api<Pod> = Api::all(client.clone());
    let ours = ListParams::default().fields(&format!("spec.nodeName={node}"));
    for pod in all.list(&ours).await.with_context(|| format!("listing the pods of node {node}"))? {
        let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        if pod.metadata.deletion_timestamp.is_some() {
            runtime::delete(&api, &pod).await;
            continue;
        }
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        if matches!(phase, "Succeeded" | "Failed") {
            continue;
        }
        let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        let statuses: Vec<ContainerStatus> = statuses.cloned().map(ended).collect();
        let status = json!({"phase": "Failed", "reason": REASON, "message": MESSAGE, "containerStatuses": statuses});
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": status});
        match api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => {}
            // It is gone, or another has the name.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(error).with_context(|| format!("telling that pod {} failed", pod.name_any())),
        }
    }
    Ok(())
}

/// The container as it is now that its processes are gone.
fn ended(mut status: ContainerStatus) -> ContainerStatus {
    let has_ended = status.state.as_ref().is_some_and(|state| state.terminated.is_some());
    if !has_ended {
        let terminated = ContainerStateTerminated {
            exit_code: CODE,
            reason: Some(REASON.to_owned()),
            ..ContainerStateTerminated::default()
        };
        status.state = Some(ContainerState { terminated: Some(terminated), ..ContainerState::default() });
        (status.ready, status.started) = (false, Some(false));
    }
    status
}
