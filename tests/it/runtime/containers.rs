//! What containers run with, and what is told of how they ended.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use landfall::local::runtime::images::ImageCommand;
use serde_json::json;

use crate::runtime::{Cluster, described, shell};

#[tokio::test]
async fn exit_codes_and_reasons_are_told() {
    let cluster = Cluster::start();
    cluster.check("zero", shell("echo out; echo err >&2"), "Succeeded\nmain: Completed 0\nmain> out\nmain> err").await;
    cluster.check("three", shell("exit 3"), "Failed\nmain: Error 3").await;
    // Kubernetes makes one dollar sign of two.
    cluster.check("signal", shell("kill -9 $$$$"), "Failed\nmain: Error 137").await;
    cluster
        .check(
            "missing",
            json!({"containers": [{"name": "main", "command": ["no-such-program", "x"]}]}),
            "Failed\nmain: StartError 128 \"exec: \\\"no-such-program\\\": executable file not found in $PATH\"",
        )
        .await;
    cluster
        .check(
            "left",
            // What a command leaves running ends with it.
            shell("sleep 1000 & echo done"),
            "Succeeded\nmain: Completed 0\nmain> done",
        )
        .await;
    cluster.runtime.shutdown().await;
}

#[tokio::test]
async fn termination_messages_are_told() {
    let cluster = Cluster::start();
    cluster.check("file", shell("printf why > /dev/termination-log; exit 1"), "Failed\nmain: Error 1 \"why\"").await;
    let mut spec = shell("printf other > /tmp/message");
    spec["containers"][0]["terminationMessagePath"] = json!("/tmp/message");
    cluster.check("path", spec, "Succeeded\nmain: Completed 0 \"other\"").await;
    let mut spec = shell("echo last words; exit 1");
    spec["containers"][0]["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
    cluster.check("log", spec, "Failed\nmain: Error 1 \"last words\\n\"\nmain> last words").await;
    cluster.create("long", shell("head -c 10000 /dev/zero | tr '\\0' x > /dev/termination-log")).await;
    assert_eq!(described(&cluster.ended("long").await).len(), "Succeeded\nmain: Completed 0 \"\"".len() + 4096);
    cluster.runtime.shutdown().await;
}

#[tokio::test]
async fn environment_comes_from_everywhere() {
    let cluster = Cluster::start();
    cluster.put::<ConfigMap>(json!({"metadata": {"name": "c"}, "data": {"k": "from-map", "j": "all"}})).await;
    cluster.put::<Secret>(json!({"metadata": {"name": "s"}, "stringData": {"k": "from-secret"}})).await;
    let script = "echo $A $B $C $D $E $F $G $P_j \"$0\" $(pwd)";
    let spec = json!({"containers": [{
        "name": "main",
        "command": ["sh", "-c", script],
        "args": ["$(A)-$(MISSING)-$$(A)"],
        "workingDir": "/some/place",
        "envFrom": [{"prefix": "P_", "configMapRef": {"name": "c"}}, {"secretRef": {"name": "none", "optional": true}}],
        "env": [
            {"name": "A", "value": "a"},
            {"name": "B", "value": "$(A)b"},
            {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
            {"name": "D", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['l']"}}},
            {"name": "G", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        ],
    }]});
    let expected =
        "Succeeded\nmain: Completed 0\nmain> a ab from-map from-secret env v local all a-$(MISSING)-$(A) /some/place";
    cluster.check("env", spec, expected).await;
    cluster.runtime.shutdown().await;
}

#[tokio::test]
async fn images_run_what_is_known_of_them() {
    let cluster = Cluster::start();
    let of = |image: &str, args: &[&str]| json!({"containers": [{"name": "main", "image": image, "args": args}]});
    cluster.check("none", of("argoproj/argosay:v2", &[]), "Succeeded\nmain: Completed 0\nmain> hello argo").await;
    cluster.check("echo", of("argoproj/argosay:v2", &["echo", "hi"]), "Succeeded\nmain: Completed 0\nmain> hi").await;
    cluster.check("exit", of("argoproj/argosay:v2", &["exit", "7"]), "Failed\nmain: Error 7").await;
    cluster
        .check(
            "script",
            shell("/argosay echo text /tmp/a/b && argosay cat /tmp/a/b && argosay assert_contains /tmp/a/b ex && argosay sleep 1ms"),
            "Succeeded\nmain: Completed 0\nmain> text",
        )
        .await;
    let unknown = "container main has no command and what image \"example/tool:1\" runs isn't known here: give the container a \
                   command, or the image an entrypoint under images: in the ConfigMap workflow-controller-configmap";
    let expected = format!("Failed: CreateContainerError: {unknown}\nmain: CreateContainerError {unknown:?}");
    cluster.check("unknown", of("example/tool:1", &["x"]), &expected).await;
    // What is learnt while it runs counts for the next pod.
    let tool = ImageCommand { entrypoint: vec!["echo".to_owned(), "tool".to_owned()], cmd: Vec::new() };
    cluster.images.send_replace(BTreeMap::from([("example/tool:1".to_owned(), tool)]));
    cluster.check("known", of("example/tool:1", &["x"]), "Succeeded\nmain: Completed 0\nmain> tool x").await;
    cluster.runtime.shutdown().await;
}

#[tokio::test]
async fn containers_of_a_pod_run_in_order() {
    let cluster = Cluster::start();
    let step = |name: &str, script: &str| json!({"name": name, "command": ["sh", "-c", script], "volumeMounts": [{"name": "v", "mountPath": "/v"}]});
    let spec = json!({
        "volumes": [{"name": "v", "emptyDir": {}}],
        "initContainers": [step("one", "echo 1 >> /v/log"), step("two", "echo 2 >> /v/log")],
        "containers": [step("a", "mkfifo /v/fifo; cat /v/log; cat /v/fifo"), step("b", "until test -p /v/fifo; do :; done; echo met > /v/fifo")],
    });
    let expected = "Succeeded\none: Completed 0\ntwo: Completed 0\na: Completed 0\nb: Completed 0\na> 1\na> 2\na> met";
    cluster.check("order", spec, expected).await;
    let spec = json!({
        "initContainers": [{"name": "one", "command": ["false"]}, {"name": "two", "command": ["true"]}],
        "containers": [{"name": "main", "command": ["true"]}],
    });
    let expected = "Failed\none: Error 1\ntwo: PodInitializing\nmain: PodInitializing";
    cluster.check("init-fails", spec, expected).await;
    cluster.runtime.shutdown().await;
}

#[tokio::test]
async fn a_failed_container_starts_again_if_its_pod_says_so() {
    let cluster = Cluster::start();
    let mut spec = shell("test -e /v/been && exit 0; touch /v/been; exit 1");
    spec["restartPolicy"] = json!("OnFailure");
    spec["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    cluster.check("again", spec, "Succeeded\nmain: Completed 0, restarts 1").await;
    cluster.runtime.shutdown().await;
}

#[tokio::test]
async fn two_hundred_pods_at_once_all_end() {
    let cluster = Cluster::start();
    let began = std::time::Instant::now();
    for number in 0..200 {
        cluster.create(&format!("p{number}"), shell("true")).await;
    }
    for number in 0..200 {
        assert_eq!(described(&cluster.ended(&format!("p{number}")).await), "Succeeded\nmain: Completed 0");
    }
    println!("200 pods in {:?}", began.elapsed());
    let began = std::time::Instant::now();
    for number in 0..20 {
        cluster.create(&format!("q{number}"), shell("true")).await;
        cluster.ended(&format!("q{number}")).await;
    }
    println!("one pod after the other: {:?} each", began.elapsed() / 20);
    cluster.runtime.shutdown().await;
}
