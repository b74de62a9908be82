//! Volumes, and that pods which write the same path don't meet.

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use serde_json::json;

use crate::runtime::{Cluster, described, shell};

#[tokio::test]
async fn volumes_hold_what_their_objects_do() {
    let cluster = Cluster::start();
    cluster.put::<ConfigMap>(json!({"metadata": {"name": "c"}, "data": {"a": "A\n", "b": "B\n"}})).await;
    cluster.put::<Secret>(json!({"metadata": {"name": "s"}, "stringData": {"k": "K\n"}})).await;
    let mut spec = shell(
        "cat /all/a /all/b /one/place/x /secret/k /etc/landfall-test.conf /info/labels; echo; stat -c %a /secret/k; ls /one /none; touch /all/c || echo read-only",
    );
    spec["volumes"] = json!([
        {"name": "all", "configMap": {"name": "c"}},
        {"name": "one", "configMap": {"name": "c", "items": [{"key": "b", "path": "place/x"}]}},
        {"name": "secret", "secret": {"secretName": "s", "defaultMode": 0o400}},
        {"name": "none", "secret": {"secretName": "none", "optional": true}},
        {"name": "info", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]);
    spec["containers"][0]["volumeMounts"] = json!([
        {"name": "all", "mountPath": "/all"},
        {"name": "one", "mountPath": "/one"},
        {"name": "secret", "mountPath": "/secret"},
        {"name": "none", "mountPath": "/none"},
        {"name": "info", "mountPath": "/info"},
        {"name": "all", "mountPath": "/etc/landfall-test.conf", "subPath": "a"},
    ]);
    cluster.create("volumes", spec).await;
    assert_eq!(described(&cluster.ended("volumes").await), "Succeeded\nmain: Completed 0");
    let log = cluster.log("volumes", "main").await;
    assert_eq!(
        log.replace("touch: cannot touch '/all/c': Read-only file system\n", ""),
        "A\nB\nB\nK\nA\nl=\"v\"\n400\n/none:\n\n/one:\nplace\nread-only\n"
    );
    cluster.runtime.shutdown().await;
}

#[tokio::test]
async fn a_claim_outlives_pods() {
    let cluster = Cluster::start();
    let claim = json!({"metadata": {"name": "work"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    cluster.put::<PersistentVolumeClaim>(claim).await;
    let with = |script: &str| {
        let mut spec = shell(script);
        spec["volumes"] = json!([{"name": "work", "persistentVolumeClaim": {"claimName": "work"}}]);
        spec["containers"][0]["volumeMounts"] = json!([{"name": "work", "mountPath": "/claim", "subPath": "deep/er"}]);
        spec
    };
    cluster.check("first", with("echo kept > /claim/file"), "Succeeded\nmain: Completed 0").await;
    cluster.check("second", with("cat /claim/file"), "Succeeded\nmain: Completed 0\nmain> kept").await;
    cluster.runtime.shutdown().await;
}

#[tokio::test]
async fn pods_that_write_the_same_path_do_not_meet() {
    let cluster = Cluster::start();
    let file = "/var/landfall-isolation-test";
    let script =
        format!("test ! -e {file} && echo $HOSTNAME > {file} && read line < /dev/null; cat {file}; ls /tmp | wc -l");
    cluster.create("left", shell(&script)).await;
    cluster.create("right", shell(&script)).await;
    for name in ["left", "right"] {
        assert_eq!(described(&cluster.ended(name).await), "Succeeded\nmain: Completed 0");
        assert_eq!(cluster.log(name, "main").await, format!("{name}\n0\n"));
    }
    assert!(!std::path::Path::new(file).exists(), "a pod wrote to the machine");
    cluster.runtime.shutdown().await;
}

#[tokio::test]
async fn a_pod_waits_for_what_it_needs() {
    let cluster = Cluster::start();
    let mut spec = shell("echo $A");
    spec["containers"][0]["env"] =
        json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "k"}}}]);
    cluster.create("waits", spec).await;
    let waits = |pod: &k8s_openapi::api::core::v1::Pod| described(pod).contains("CreateContainerConfigError");
    let pod = cluster.when("waits", waits).await;
    assert_eq!(described(&pod), "Pending\nmain: CreateContainerConfigError \"configmap \\\"late\\\" not found\"");
    cluster.put::<ConfigMap>(json!({"metadata": {"name": "late"}, "data": {"k": "come"}})).await;
    assert_eq!(described(&cluster.ended("waits").await), "Succeeded\nmain: Completed 0");
    assert_eq!(cluster.log("waits", "main").await, "come\n");
    cluster.runtime.shutdown().await;
}

#[tokio::test]
async fn a_pod_for_another_kind_of_node_stays_pending() {
    let cluster = Cluster::start();
    let mut spec = shell("true");
    spec["nodeSelector"] = json!({"beta.kubernetes.io/arch": "no-such-arch"});
    cluster.create("elsewhere", spec).await;
    let unschedulable = |pod: &k8s_openapi::api::core::v1::Pod| {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.into_iter().any(|it| it.type_ == "PodScheduled" && it.reason.as_deref() == Some("Unschedulable"))
    };
    let pod = cluster.when("elsewhere", unschedulable).await;
    assert_eq!(described(&pod), "Pending\nmain: ContainerCreating");
    cluster.runtime.shutdown().await;
}
