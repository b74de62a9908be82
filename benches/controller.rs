//! How long workflows take on an embedded cluster, from create to Succeeded: one alone, and many at once; with a kubelet that
//! ends every pod at once, which leaves the controller's own share, and with the real runtime.
//!
//! `cargo bench --bench controller`, or `cargo test --bench controller` for the unoptimised build.

#[path = "shared/process.rs"]
#[expect(dead_code, reason = "memory is not measured here")]
mod process;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};
use landfall::{
    api::workflow::Workflow,
    clusters::{Clusters, rest_config::Allowed},
    controller,
    local::{
        apiserver::{self, ApiServer},
        logs::Logs,
        runtime::{self, Runtime},
    },
    policy::{self, Policies},
};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Workflows that run one after the other.
const ALONE: usize = 20;
/// Workflows that run at once.
const AT_ONCE: usize = 200;
/// Creates under way at once, as many as a busy client makes.
const CREATES: usize = 50;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    for (name, real) in [("kubelet that ends pods at once", false), ("processes", true)] {
        let (alone, at_once, cpu) = runtime.block_on(measure(real))?;
        println!(
            "{name}: one pod {} ms (median of {ALONE}); {AT_ONCE} at once {:.2} s; {:.2} ms of CPU a workflow, all parts of this process",
            alone.as_millis(),
            at_once.as_secs_f64(),
            cpu.as_secs_f64() * 1000.0 / AT_ONCE as f64,
        );
    }
    Ok(())
}

async fn measure(real: bool) -> anyhow::Result<(Duration, Duration, Duration)> {
    let logs = Logs::default();
    let namespaces = vec!["argo".to_owned()];
    let server = ApiServer::new(apiserver::Options { name: "default".to_owned(), logs: logs.clone(), namespaces });
    let client = server.client();
    let clusters = Clusters::new("default".parse()?, client.clone(), Allowed::default(), Timestamp::now);
    let options = controller::Options {
        clusters,
        policies: Policies::start(policy::Options::default())?,
        namespace: "argo".parse()?,
        managed: None,
        settings: controller::config::parse(&Default::default()).expect("an empty config map is fine"),
        listener: None,
        logs: None,
    };
    let cancelled = CancellationToken::new();
    let controller = tokio::spawn(controller::run(options, cancelled.clone()));
    let pods = if real {
        let program = env!("CARGO_BIN_EXE_landfall").into();
        Pods::Real(Runtime::start(client.clone(), logs, runtime::Options::new(program))?)
    } else {
        Pods::Ended(tokio::spawn(end_pods(client.clone())))
    };

    run(&client, "warm", 1).await?;
    let mut alone = Vec::new();
    for number in 0..ALONE {
        alone.push(run(&client, &format!("alone-{number}"), 1).await?);
    }
    alone.sort();
    let before = process::cpu_time("self")?;
    let at_once = run(&client, "many", AT_ONCE).await?;
    let cpu = process::cpu_time("self")?.saturating_sub(before);

    cancelled.cancel();
    controller.await??;
    match pods {
        Pods::Real(runtime) => runtime.shutdown().await,
        Pods::Ended(task) => task.abort(),
    }
    Ok((alone[alone.len() / 2], at_once, cpu))
}

enum Pods {
    Real(Runtime),
    Ended(JoinHandle<anyhow::Result<()>>),
}

/// Creates so many workflows and waits until all of them have Succeeded.
async fn run(client: &Client, name: &str, count: usize) -> anyhow::Result<Duration> {
    let api: Api<Workflow> = Api::namespaced(client.clone(), "argo");
    let version = api.list(&Default::default()).await?.metadata.resource_version.context("a list has a version")?;
    let mut events = api.watch(&WatchParams::default(), &version).await?.boxed();
    let begun = Instant::now();
    stream::iter(0..count)
        .map(|number| create(&api, format!("{name}-{number}")))
        .buffer_unordered(CREATES)
        .try_collect::<()>()
        .await?;
    let mut open: HashSet<String> = (0..count).map(|number| format!("{name}-{number}")).collect();
    while !open.is_empty() {
        if let Some(WatchEvent::Added(workflow) | WatchEvent::Modified(workflow)) = events.try_next().await?
            && workflow.status.finished_at.is_some()
        {
            anyhow::ensure!(workflow.status.phase.as_str() == "Succeeded", "{:?}", workflow.status);
            open.remove(&workflow.name_any());
        }
    }
    Ok(begun.elapsed())
}

async fn create(api: &Api<Workflow>, name: String) -> anyhow::Result<()> {
    let templates = json!([{"name": "main", "container": {"image": "argoproj/argosay:v2"}}]);
    let workflow = json!({"metadata": {"name": name}, "spec": {"entrypoint": "main", "templates": templates}});
    api.create(&PostParams::default(), &serde_json::from_value(workflow)?).await?;
    Ok(())
}

/// Stands in for a kubelet.
async fn end_pods(client: Client) -> anyhow::Result<()> {
    let api: Api<Pod> = Api::namespaced(client, "argo");
    let mut events = api.watch(&WatchParams::default(), "0").await?.boxed();
    while let Some(event) = events.try_next().await? {
        if let WatchEvent::Added(pod) = event {
            let state = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
            let main =
                json!({"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
            let patch = json!({"status": {"phase": "Succeeded", "containerStatuses": [main]}});
            api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
        }
    }
    Ok(())
}
