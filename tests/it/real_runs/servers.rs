//! Servers that are killed, frozen, compacted, forgotten and replaced while workflows run on them.

use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt as _, api::ListParams};

use crate::{
    real,
    real_runs::{World, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn runs_outlive_what_happens_to_their_servers() {
    let Some([home, other]) = real::own_clusters(&[]).await else { return };
    home.install_crds().await;
    for cluster in [&home, &other] {
        cluster.make_namespace("argo").await;
    }
    let mut world = World::start(&home, &other, "argo".to_owned(), "default").await;
    // Boxed, because one future of all this is too large for the stack.
    Box::pin(target_is_killed(&world)).await;
    Box::pin(home_is_killed(&world)).await;
    Box::pin(target_stands_still(&world)).await;
    Box::pin(history_is_gone(&world)).await;
    Box::pin(controller_is_away(&mut world)).await;
    Box::pin(target_is_forgotten(&world)).await;
    Box::pin(target_is_replaced(&world)).await;
    world.stop_controller().await;
}

async fn target_is_killed(world: &World<'_>) {
    let pods = world.run_halfway("target-killed").await;
    world.other.stop();
    world.create("meanwhile").await;
    let here = world.running(world.home, "meanwhile").await;
    world.other.start().await;
    world.finish(&pods).await;
    world.succeeded("target-killed").await;
    let there = world.running(world.other, "meanwhile").await;
    world.finish(&[here, there]).await;
    world.succeeded("meanwhile").await;
}

async fn home_is_killed(world: &World<'_>) {
    let pods = world.run_halfway("home-killed").await;
    world.home.stop();
    world.home.start().await;
    world.finish(&pods).await;
    world.succeeded("home-killed").await;
}

/// Connections stay, and nothing is answered.
async fn target_stands_still(world: &World<'_>) {
    let pods = world.run_halfway("target-frozen").await;
    world.other.freeze();
    world.create("while-frozen").await;
    let here = world.running(world.home, "while-frozen").await;
    // It is told after thirty seconds.
    told(world, "target-frozen", "has not answered since").await;
    world.other.thaw();
    world.finish(&pods).await;
    world.succeeded("target-frozen").await;
    let there = world.running(world.other, "while-frozen").await;
    world.finish(&[here, there]).await;
    world.succeeded("while-frozen").await;
}

/// Watches can't be resumed: 410.
async fn history_is_gone(world: &World<'_>) {
    let pods = world.run_halfway("history-gone").await;
    world.other.compact().await;
    world.home.compact().await;
    world.finish(&pods).await;
    world.succeeded("history-gone").await;
}

/// Pods end that nobody watches.
async fn controller_is_away(world: &mut World<'_>) {
    let pods = world.run_halfway("controller-away").await;
    world.stop_controller().await;
    world.finish(&pods).await;
    world.start_controller().await;
    world.succeeded("controller-away").await;
}

/// The target is taken out of the Secret while it has pods, and put there again.
async fn target_is_forgotten(world: &World<'_>) {
    let pods = world.run_halfway("forgotten").await;
    world.know(false).await;
    world.finish(&pods).await;
    told(world, "forgotten", "configured any more").await;
    world.know(true).await;
    world.succeeded("forgotten").await;
}

/// Another cluster answers at the target's address: nothing is done there.
async fn target_is_replaced(world: &World<'_>) {
    let pods = world.run_halfway("replaced").await;
    world.other.replace().await;
    world.other.make_namespace("argo").await;
    assert!(real::kubelet::finish(&world.home.admin(), &pods[0]).await);
    world.create("after").await;
    told(world, "after", "landfall cluster confirm").await;
    let made: Vec<Pod> = world.pods(world.other).list(&ListParams::default()).await.unwrap().items;
    assert!(made.is_empty(), "{made:?}");
}

/// Waits until a node of the workflow says why it doesn't go on.
async fn told(world: &World<'_>, workflow: &str, words: &str) {
    until(world.workflows(), "", |found| {
        let mut messages = found.status.nodes.values().filter_map(|node| node.message.as_deref());
        found.name_any() == workflow && messages.any(|message| message.contains(words))
    })
    .await;
}
