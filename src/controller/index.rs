//! Our pods as the watches show them, by the UID of their workflow, over all clusters and namespaces. Synchronous. A pod
//! that is missing here may still exist: only a live GET tells.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod, PodSpec, PodStatus},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::{
    api::{
        contract::LABEL_WORKFLOW_UID,
        ids::{ClusterName, Namespace, Target},
    },
    controller::{
        watched::Scope,
        workflows::{self, Uid},
    },
    engine::observed::PodKey,
};

/// UIDs of deleted pods that are remembered: as many as may be told of while one answer is under way.
const DELETED_COUNT: usize = 1024;

/// The pods.
#[derive(Default)]
pub struct Index {
    by_workflow: Mutex<HashMap<Uid, HashMap<PodKey, Arc<Pod>>>>,
    /// UIDs of the pods that were last deleted.
    deleted: Mutex<VecDeque<String>>,
}

impl Index {
    /// The pod of a workflow.
    pub fn get(&self, uid: &str, key: &PodKey) -> Option<Arc<Pod>> {
        self.lock().get(uid)?.get(key).cloned()
    }

    /// Takes a pod unless a newer view of it is held; the workflow to wake, if this says anything new to it.
    pub fn put(&self, cluster: &ClusterName, pod: Pod) -> Option<Uid> {
        let (uid, key) = identify(cluster, &pod)?;
        self.lock().put(uid, key, pod)
    }

    /// Takes a pod from the answer to a request of ours, which may come after the watch told that the pod was deleted since.
    pub fn put_answer(&self, cluster: &ClusterName, pod: Pod) {
        let deleted = self.lock_deleted();
        if pod.metadata.uid.as_ref().is_none_or(|uid| !deleted.contains(uid)) {
            self.put(cluster, pod);
        }
    }

    /// Forgets a pod that was deleted, unless another has taken its name; the workflow to wake.
    pub fn remove(&self, cluster: &ClusterName, pod: &Pod) -> Option<Uid> {
        let (uid, key) = identify(cluster, pod)?;
        let mut deleted = self.lock_deleted();
        if deleted.len() == DELETED_COUNT {
            deleted.pop_front();
        }
        deleted.extend(pod.metadata.uid.clone());
        let mut by_workflow = self.lock();
        let pods = by_workflow.get_mut(&uid)?;
        let same = pods.get(&key).is_some_and(|held| held.metadata.uid == pod.metadata.uid);
        if !same {
            return None;
        }
        pods.remove(&key);
        if pods.is_empty() {
            by_workflow.remove(&uid);
        }
        Some(uid)
    }

    /// Takes a whole list in place of what is held of a cluster's scope; the workflows to wake, be it for what vanished.
    pub fn replace(&self, cluster: &ClusterName, scope: &Scope, listed: Vec<Pod>) -> HashSet<Uid> {
        let mut by_workflow = self.lock();
        let mut woken = HashSet::new();
        let mut present = HashSet::new();
        for pod in listed {
            if let Some((uid, key)) = identify(cluster, &pod) {
                present.insert(key.clone());
                woken.extend(by_workflow.put(uid, key, pod));
            }
        }
        by_workflow.retain(|uid, pods| {
            let before = pods.len();
            pods.retain(|key, _| !is_within(&key.target, cluster, scope) || present.contains(key));
            if pods.len() < before {
                woken.insert(uid.clone());
            }
            !pods.is_empty()
        });
        woken
    }

    /// How many pods a cluster has that may still run, and of how many workflows.
    pub fn count(&self, cluster: &ClusterName) -> (usize, usize) {
        let (mut open, mut owners) = (0, 0);
        for pods in self.lock().values() {
            let here = pods.iter().filter(|(key, pod)| key.target.cluster == *cluster && !has_finished(pod)).count();
            open += here;
            owners += usize::from(here > 0);
        }
        (open, owners)
    }

    /// How many pods there are in each phase.
    pub fn phases(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for pod in self.lock().values().flat_map(HashMap::values) {
            let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
            *counts.entry(phase.unwrap_or_else(|| "Pending".to_owned())).or_default() += 1;
        }
        counts
    }

    /// The workflows that have a pod in a cluster.
    pub fn of_cluster(&self, cluster: &ClusterName) -> Vec<Uid> {
        let is_there = |pods: &HashMap<PodKey, Arc<Pod>>| pods.keys().any(|key| key.target.cluster == *cluster);
        self.lock().iter().filter(|(_, pods)| is_there(pods)).map(|(uid, _)| uid.clone()).collect()
    }

    /// Forgets the pods of a workflow.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Forgets the finished pods of workflows of which this doesn't hold.
    pub fn sweep(&self, is_held: impl Fn(&str) -> bool) {
        self.lock().retain(|uid, pods| {
            if !is_held(uid) {
                pods.retain(|_, pod| !has_finished(pod));
            }
            !pods.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, HashMap<PodKey, Arc<Pod>>>> {
        self.by_workflow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where both are locked, this one is first.
    fn lock_deleted(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_within(target: &Target, cluster: &ClusterName, scope: &Scope) -> bool {
    target.cluster == *cluster && scope.as_ref().is_none_or(|namespace| target.namespace == *namespace)
}

/// So that one lock covers a whole list.
trait Put {
    fn put(&mut self, uid: Uid, key: PodKey, pod: Pod) -> Option<Uid>;
}

impl Put for HashMap<Uid, HashMap<PodKey, Arc<Pod>>> {
    fn put(&mut self, uid: Uid, key: PodKey, pod: Pod) -> Option<Uid> {
        let pods = self.entry(uid.clone()).or_default();
        if let Some(held) = pods.get(&key)
            && held.metadata.uid == pod.metadata.uid
        {
            if !workflows::is_newer(workflows::version_of(&pod.metadata), workflows::version_of(&held.metadata)) {
                return None;
            }
            let same = says_the_same(held, &pod);
            pods.insert(key, Arc::new(pod));
            return (!same).then_some(uid);
        }
        pods.insert(key, Arc::new(pod));
        Some(uid)
    }
}

/// Takes away all that nobody here reads. Thousands of pods are held, most of them large; and what is not held can't wake
/// anybody by changing.
pub fn strip(pod: &mut Pod) {
    let metadata = mem::take(&mut pod.metadata);
    pod.metadata = ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        creation_timestamp: metadata.creation_timestamp,
        deletion_timestamp: metadata.deletion_timestamp,
        labels: metadata.labels.map(ours),
        annotations: metadata.annotations.map(ours),
        ..ObjectMeta::default()
    };
    let node_name = pod.spec.take().and_then(|spec| spec.node_name);
    pod.spec = Some(PodSpec { node_name, ..PodSpec::default() });
    pod.status = pod.status.take().map(|status| PodStatus {
        phase: status.phase,
        reason: status.reason,
        message: status.message,
        pod_ip: status.pod_ip,
        // All others only repeat what phase and containers say.
        conditions: status.conditions.map(|all| all.into_iter().filter(|it| it.status != "True").collect()),
        init_container_statuses: status.init_container_statuses.map(states),
        container_statuses: status.container_statuses.map(states),
        ..PodStatus::default()
    });
}

/// Argo's labels and annotations, and ours.
fn ours(mut texts: BTreeMap<String, String>) -> BTreeMap<String, String> {
    texts.retain(|key, _| key.starts_with("workflows.argoproj.io/") || key.starts_with("landfall.dev/"));
    texts
}

fn states(statuses: Vec<ContainerStatus>) -> Vec<ContainerStatus> {
    let only_state =
        |it: ContainerStatus| ContainerStatus { name: it.name, state: it.state, ..ContainerStatus::default() };
    statuses.into_iter().map(only_state).collect()
}

/// Whether a pod does nothing any more.
pub fn has_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn identify(cluster: &ClusterName, pod: &Pod) -> Option<(Uid, PodKey)> {
    let uid = pod.metadata.labels.as_ref()?.get(LABEL_WORKFLOW_UID)?;
    let namespace = pod.metadata.namespace.clone().and_then(|name| Namespace::try_from(name).ok())?;
    let target = Target { cluster: cluster.clone(), namespace };
    Some((uid.as_str().into(), PodKey { target, name: pod.metadata.name.clone()? }))
}

/// Many updates of a pod change nothing that matters; a pass for each would be waste.
fn says_the_same(held: &Pod, new: &Pod) -> bool {
    held.status == new.status
        && held.spec == new.spec
        && held.metadata.deletion_timestamp == new.metadata.deletion_timestamp
        && held.metadata.annotations == new.metadata.annotations
        && held.metadata.labels == new.metadata.labels
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::Index;
    use crate::{api::ids::ClusterName, controller::workflows::Uid};

    fn pod(name: &str, uid: &str, version: u32, phase: &str) -> Pod {
        let labels = json!({"landfall.dev/workflow-uid": "w"});
        let metadata = json!({"name": name, "namespace": "n", "uid": uid, "resourceVersion": version.to_string(), "labels": labels});
        serde_json::from_value(json!({"metadata": metadata, "status": {"phase": phase}})).expect("a pod")
    }

    #[test]
    fn only_what_is_read_is_held() {
        let text = |key: &str| json!({key: "kept", "team": "gone"});
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "a", "namespace": "n", "uid": "1", "resourceVersion": "7", "managedFields": [{}],
                "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u"}], "finalizers": ["f"],
                "labels": text("landfall.dev/workflow-uid"), "annotations": text("workflows.argoproj.io/node-id")},
            "spec": {"nodeName": "node-1", "containers": [{"name": "main", "env": [{"name": "A", "value": "large"}]}]},
            "status": {"phase": "Pending", "message": "m", "podIP": "10.0.0.1", "hostIP": "10.0.0.2", "startTime": "2026-01-01T00:00:00Z",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"},
                    {"type": "Initialized", "status": "True"}],
                "containerStatuses": [{"name": "main", "image": "i", "imageID": "d", "ready": false, "restartCount": 3,
                    "state": {"waiting": {"reason": "ContainerCreating"}}}]},
        }))
        .expect("a pod");
        super::strip(&mut pod);
        let expected: Pod = serde_json::from_value(json!({
            "metadata": {"name": "a", "namespace": "n", "uid": "1", "resourceVersion": "7",
                "labels": {"landfall.dev/workflow-uid": "kept"}, "annotations": {"workflows.argoproj.io/node-id": "kept"}},
            "spec": {"nodeName": "node-1", "containers": []},
            "status": {"phase": "Pending", "message": "m", "podIP": "10.0.0.1",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}],
                "containerStatuses": [{"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"waiting": {"reason": "ContainerCreating"}}}]},
        }))
        .expect("a pod");
        assert_eq!(pod, expected);
    }

    #[test]
    fn an_answer_that_comes_late_brings_no_deleted_pod_back() {
        let index = Index::default();
        let here: ClusterName = "here".parse().expect("a name");
        let is_held = || !index.of_cluster(&here).is_empty();
        index.put_answer(&here, pod("a", "1", 5, "Pending"));
        assert!(is_held());
        index.remove(&here, &pod("a", "1", 6, "Pending"));
        index.put_answer(&here, pod("a", "1", 5, "Pending"));
        assert!(!is_held());
        index.put_answer(&here, pod("a", "2", 7, "Pending"));
        assert!(is_held(), "another pod of this name");
    }

    #[test]
    fn tells_whom_to_wake() {
        let index = Index::default();
        let (here, there): (ClusterName, ClusterName) =
            ("here".parse().expect("a name"), "there".parse().expect("a name"));
        let woken = Some(Uid::from("w"));
        assert_eq!(index.put(&here, pod("a", "1", 5, "Pending")), woken);
        assert_eq!(index.put(&here, pod("a", "1", 6, "Pending")), None, "nothing new");
        assert_eq!(index.put(&here, pod("a", "1", 4, "Running")), None, "older than what is held");
        assert_eq!(index.put(&here, pod("a", "1", 7, "Running")), woken);
        assert_eq!(index.put(&there, pod("a", "2", 1, "Running")), woken, "same name, another cluster");
        assert_eq!(index.remove(&here, &pod("a", "9", 8, "Running")), None, "not the pod that is held");

        assert!(index.replace(&there, &None, vec![pod("a", "2", 1, "Running")]).is_empty());
        let elsewhere = Some("m".parse().expect("a name"));
        assert!(index.replace(&here, &elsewhere, Vec::new()).is_empty(), "another namespace");
        assert_eq!(index.replace(&here, &None, Vec::new()).into_iter().collect::<Vec<_>>(), [Uid::from("w")]);
        assert_eq!(index.remove(&there, &pod("a", "2", 2, "Running")), woken);

        index.put(&here, pod("a", "1", 8, "Running"));
        index.put(&here, pod("b", "3", 8, "Succeeded"));
        index.sweep(|_| true);
        index.sweep(|_| false);
        assert_eq!(index.remove(&here, &pod("b", "3", 8, "Succeeded")), None, "swept");
        index.forget("w");
        assert_eq!(index.remove(&here, &pod("a", "1", 8, "Running")), None, "forgotten");
    }
}
