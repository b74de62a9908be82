//! How pods are ended: deletion, deadline, shutdown. Nothing may be left running.

use std::{fs, path::Path};

use kube::api::DeleteParams;
use serde_json::json;

use crate::runtime::{Cluster, described, shell};

#[tokio::test]
async fn deletion_gives_time_to_end() {
    let cluster = Cluster::start();
    let pod =
        cluster.create("polite", shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done")).await;
    cluster.printed(&pod, "main", "up").await;
    cluster.when("polite", |pod| described(pod) == "Running\nmain: running").await;
    cluster.pods().delete("polite", &DeleteParams::default()).await.unwrap();
    cluster.printed(&pod, "main", "bye").await;
    cluster.gone("polite").await;

    let pod = cluster.create("stubborn", shell("trap '' TERM; echo up; while :; do sleep 0.01; done")).await;
    cluster.printed(&pod, "main", "up").await;
    cluster.pods().delete("stubborn", &DeleteParams::default().grace_period(1)).await.unwrap();
    cluster.gone("stubborn").await;
    cluster.runtime.shutdown().await;
}

#[tokio::test]
async fn a_pod_ends_at_its_deadline() {
    let cluster = Cluster::start();
    let mut spec = shell("sleep 1000");
    spec["activeDeadlineSeconds"] = json!(1);
    let expected =
        "Failed: DeadlineExceeded: Pod was active on the node longer than the specified deadline\nmain: Error 143";
    cluster.check("late", spec, expected).await;
    cluster.runtime.shutdown().await;
}

#[tokio::test]
async fn shutdown_leaves_nothing() {
    let cluster = Cluster::start();
    // Its own session, so that it isn't in any process group we know of.
    let mark = format!("landfall-left-{}", std::process::id());
    let pod = cluster
        .create("stays", shell(&format!("trap '' TERM; setsid sh -c 'sleep 1000; : {mark}' & echo up; wait")))
        .await;
    cluster.printed(&pod, "main", "up").await;
    assert!(runs(&mark), "the pod runs");
    let folder = cluster.folder.clone();
    cluster.runtime.shutdown().await;
    assert!(!runs(&mark), "a process is left");
    assert!(!folder.exists(), "{} is left", folder.display());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(folder.to_str().unwrap()), "a mount is left");
}

/// Whether a process of this machine has the text in its command line.
fn runs(mark: &str) -> bool {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| fs::read(Path::new("/proc").join(entry.file_name()).join("cmdline")).ok())
        .any(|line| String::from_utf8_lossy(&line).contains(mark))
}
