//! Workflows spread over three clusters, one of which stands still for a while.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    bars::Bars,
    place::{self, NAMESPACE, PATIENCE, Place, pod, tasks, workflow},
};

/// Workflows of each run, a third of them in each cluster.
const WORKFLOWS: usize = 200;
/// Pods of each, one after the other.
const PODS: usize = 5;
/// How long one cluster stands still.
const FROZEN: Duration = Duration::from_secs(60);
/// Where pods go: home, and the others. The last one is frozen.
const CLUSTERS: [Option<&str>; 3] = [None, Some("other-1"), Some("other-2")];

/// Measures it.
pub async fn run(bars: &mut Bars) -> anyhow::Result<()> {
    let place = Place::<3>::start(2).await?;
    let warm = CLUSTERS.iter().enumerate().map(|(index, cluster)| of("warm", index, *cluster)).collect();
    place.run(warm).await?;

    let undisturbed = others(&place, "undisturbed", false).await?;
    let disturbed = others(&place, "disturbed", true).await?;
    let ratio = undisturbed.as_secs_f64() / disturbed.as_secs_f64();
    println!(
        "{WORKFLOWS} workflows of {PODS} pods in three clusters: those of two took {:.1} s, and {:.1} s while the third stood \
         still for {} s: {ratio:.2} times the throughput",
        undisturbed.as_secs_f64(),
        disturbed.as_secs_f64(),
        FROZEN.as_secs()
    );
    bars.judge("a frozen cluster leaves the others 0.9 of their throughput", ratio >= 0.9);
    let wrong = wrong_pods(&place).await?;
    println!("{} pods are not as they should be {}", wrong.len(), wrong.join(", "));
    bars.judge("nothing is lost or doubled", wrong.is_empty());
    Ok(())
}

/// How long the workflows of the first two clusters take.
async fn others(place: &Place<3>, name: &str, is_frozen: bool) -> anyhow::Result<Duration> {
    let all = (0..WORKFLOWS).map(|index| (index % 3, of(name, index, CLUSTERS[index % 3])));
    let (third, others): (Vec<_>, Vec<_>) = all.partition(|(cluster, _)| *cluster == 2);
    let only = |workflows: Vec<(usize, Value)>| workflows.into_iter().map(|(_, workflow)| workflow).collect();
    let (third, others): (Vec<Value>, Vec<Value>) = (only(third), only(others));
    let freeze = async {
        if is_frozen {
            let halfway = succeeded(place, WORKFLOWS * PODS / 2);
            timeout(PATIENCE, halfway).await.context("half of the pods never succeeded")?;
            place.clusters[2].freeze();
            tokio::time::sleep(FROZEN).await;
            place.clusters[2].thaw();
        }
        anyhow::Ok(Instant::now())
    };
    let third = async {
        place.run(third).await?;
        anyhow::Ok(Instant::now())
    };
    let (others, third, thawed) = tokio::try_join!(place.run(others), third, freeze)?;
    if is_frozen {
        println!("those of the third ended {:.1} s after it went on", (third - thawed).as_secs_f64());
    }
    Ok(others)
}

/// Waits until so many more pods have succeeded than had when it was made.
async fn succeeded(place: &Place<3>, count: usize) {
    let watches = place.clusters.iter().map(|cluster| {
        let pods = Api::<Pod>::namespaced(cluster.admin(), NAMESPACE);
        watcher(pods, watcher::Config::default().fields("status.phase=Succeeded")).default_backoff().boxed()
    });
    let mut events = stream::select_all(watches);
    let mut left = count;
    while left > 0 {
        // Those from before come as a list.
        if let Ok(Some(Event::Apply(_))) = events.try_next().await {
            left -= 1;
        }
    }
}

/// Each node must have had one pod, in its cluster, and no more.
async fn wrong_pods(place: &Place<3>) -> anyhow::Result<Vec<String>> {
    let mut created = BTreeMap::<String, usize>::new();
    for cluster in 0..3 {
        let made = place.writes(cluster).into_iter().filter(|entry| entry.resource == "pods" && entry.verb == "create");
        let there: BTreeSet<String> =
            place::pods(&place.clusters[cluster]).await?.iter().map(ResourceExt::name_any).collect();
        ensure!(there.len() <= made.clone().filter(|entry| entry.code == 201).count(), "pods that nobody made");
        for entry in made.filter(|entry| entry.code == 201 && entry.namespace == NAMESPACE) {
            *created.entry(format!("{cluster}/{}", entry.name)).or_default() += 1;
        }
    }
    let expected = (2 * WORKFLOWS + CLUSTERS.len()) * PODS;
    let mut wrong: Vec<String> = created
        .iter()
        .filter(|(_, count)| **count != 1)
        .map(|(name, count)| format!("{name}: {count} times"))
        .collect();
    if created.len() != expected {
        wrong.push(format!("{} pods were made, not {expected}", created.len()));
    }
    Ok(wrong)
}

fn of(name: &str, index: usize, cluster: Option<&str>) -> Value {
    let templates = [tasks("main", "pod", PODS, true), pod("pod", cluster, "argoproj/argosay:v2")];
    workflow(&format!("{name}-{index}"), &templates)
}
