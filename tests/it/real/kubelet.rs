//! Stands in for the kubelets of a cluster: every pod runs for a while and succeeds, without a process. For whole workflows
//! whose containers don't matter.

use std::{collections::HashSet, time::Duration};

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use serde_json::{Value, json};
use tokio::task::{AbortHandle, JoinSet};

/// From the creation of a pod until it runs.
const STARTS: Duration = Duration::from_millis(50);
/// How long it then runs.
const RUNS: Duration = Duration::from_millis(100);
/// Pods with this image run until they are deleted, or [`finish`]ed.
pub const HOLDS: &str = "test/holds";

/// Ends when it is dropped.
pub struct Kubelet {
    task: AbortHandle,
}

impl Kubelet {
    /// Takes care of the pods of one namespace of a cluster.
    pub fn start(client: Client, namespace: &str) -> Kubelet {
        let pods = Api::namespaced(client.clone(), namespace);
        Kubelet { task: tokio::spawn(follow(client, pods)).abort_handle() }
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(client: Client, watched: Api<Pod>) {
    let mut pods = JoinSet::new();
    let mut begun = HashSet::new();
    let mut events = std::pin::pin!(watcher(watched, watcher::Config::default()).default_backoff());
    loop {
        // It lists again after an error.
        let Ok(Some(event)) = events.try_next().await else { continue };
        while pods.try_join_next().is_some() {}
        if let Event::Apply(pod) | Event::InitApply(pod) = event {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            if pod.metadata.deletion_timestamp.is_some() {
                pods.spawn(delete(client.clone(), pod));
            } else if phase == Some("Pending") && begun.insert(pod.uid()) {
                pods.spawn(run(client.clone(), pod));
            }
        }
    }
}

async fn run(client: Client, pod: Pod) {
    tokio::time::sleep(STARTS).await;
    patch(&client, &pod, "Running", &json!({"running": {"startedAt": now()}})).await;
    if pod.spec.iter().flat_map(|spec| &spec.containers).any(|container| container.image.as_deref() == Some(HOLDS)) {
        return;
    }
    tokio::time::sleep(RUNS).await;
    finish(&client, &pod).await;
}

/// Lets a pod succeed; whether it was still there.
pub async fn finish(client: &Client, pod: &Pod) -> bool {
    patch(client, pod, "Succeeded", &json!({"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": now()}}))
        .await
}

async fn patch(client: &Client, pod: &Pod, phase: &str, state: &Value) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let statuses = containers.map(|container| {
        json!({
            "name": container.name, "image": container.image, "imageID": "", "ready": false, "restartCount": 0,
            "state": state,
        })
    });
    let status = json!({"status": {"phase": phase, "containerStatuses": statuses.collect::<Vec<_>>()}});
    let name = pod.name_any();
    // A server that is frozen or overloaded is asked again, as a kubelet would.
    loop {
        match api(client, pod).patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await {
            Ok(_) => return true,
            Err(kube::Error::Api(refusal)) if refusal.code < 500 && refusal.code != 429 => return false,
            Err(_) => tokio::time::sleep(STARTS).await,
        }
    }
}

async fn delete(client: Client, pod: Pod) {
    let at_once = DeleteParams::default().grace_period(0);
    // If that fails, the pod is gone already, or the next event brings it again.
    drop(api(&client, &pod).delete(&pod.name_any(), &at_once).await);
}

fn api(client: &Client, pod: &Pod) -> Api<Pod> {
    Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default())
}

fn now() -> String {
    jiff::Timestamp::now().round(jiff::Unit::Second).map_or_else(|_| String::new(), |now| now.to_string())
}
