//! What the controller holds in memory: at rest, and with many workflows.

use std::time::{Duration, Instant};

use anyhow::ensure;

use kube::Api;
use serde_json::{Value, json};

use crate::{
    bars::Bars,
    place::{self, NAMESPACE, PATIENCE, Place, pod, tasks, workflow},
    real::kubelet::HOLDS,
};

/// Workflows that have ended and are kept.
const FINISHED: usize = 10_000;
/// Workflows that run, and the pods of each.
const RUNNING: (usize, usize) = (40, 50);
/// Between two looks.
const TURN: Duration = Duration::from_millis(200);

/// Measures it.
pub async fn run(bars: &mut Bars) -> anyhow::Result<()> {
    let place = Place::<1>::start(0).await?;
    place.run(vec![workflow("first", &[pod("main", None, "argoproj/argosay:v2")])]).await?;
    let at_rest = place.memory()?;
    println!("at rest: {at_rest:.0} MB");
    bars.judge("40 MB at rest", at_rest <= 40.0);

    finished(&place).await?;
    println!("{FINISHED} finished workflows: {:.0} MB", place.memory()?);
    let (workflows, pods) = RUNNING;
    let templates = [tasks("main", "pod", pods, false), pod("pod", None, HOLDS)];
    let running = (0..workflows).map(|index| workflow(&format!("running-{index}"), &templates)).collect();
    place::create(place.home().admin(), running).await?;
    let mut highest: f64 = 0.0;
    let begun = Instant::now();
    while place::running(place.home()).await? < workflows * pods {
        ensure!(begun.elapsed() < PATIENCE, "not all pods run");
        highest = highest.max(place.memory()?);
        tokio::time::sleep(TURN).await;
    }
    let memory = place.memory()?;
    highest = highest.max(memory);
    println!("and {} running pods: {memory:.0} MB, {highest:.0} MB at most", workflows * pods);
    bars.judge("120 MB with 10,000 finished workflows and 2,000 running pods", highest <= 120.0);
    Ok(())
}

/// Copies the one that has ended.
async fn finished(place: &Place<1>) -> anyhow::Result<()> {
    let api: Api<landfall::api::workflow::Workflow> = Api::namespaced(place.home().admin(), NAMESPACE);
    let mut copy: Value = serde_json::to_value(api.get("first").await?)?;
    let labels = copy["metadata"]["labels"].take();
    let copies = (0..FINISHED).map(|index| {
        copy["metadata"] = json!({"name": format!("finished-{index}"), "labels": labels});
        copy.clone()
    });
    place::create(place.home().admin(), copies.collect()).await?;
    // The watch has told the controller of all of them when it has run another one.
    place.run(vec![workflow("after", &[pod("main", None, "argoproj/argosay:v2")])]).await?;
    Ok(())
}
