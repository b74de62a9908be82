//! The loop: watch, queue, gather, decide, authorize, write status, apply.
//!
//! [`run`] is the entry point. One pass is on one page, in `reconcile.rs`. Nothing here decides what a workflow does next:
//! that is the engine's; whether a pod may go somewhere is policy's.

pub mod workflows;
pub mod index;
pub mod queue;
pub mod watch;
pub mod watched;
pub mod namespaces;
pub mod leftovers;
pub mod watch_sets;
pub mod feeds;
pub mod config;
pub mod gather;
pub mod landing;
pub mod authorize;
pub mod status;
pub mod apply;
pub mod events;
pub mod policy_status;
pub mod metrics;
pub mod health;
pub mod logs;
pub mod deletion;
pub mod retention;
pub mod reconcile;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    api::ids::{ClusterName, Namespace},
    clusters::{Clusters, call::CallError, cluster::Cluster, health::State, identity, keeper},
    controller::{
        apply::Refusals,
        config::Settings,
        events::Events,
        index::Index,
        metrics::workflows::Counted,
        namespaces::Namespaces,
        queue::{Next, Queue},
        retention::Retention,
        watched::{Waiting, Watched},
        workflows::{Ended, Stored, Uid, Workflows},
    },
    policy::Policies,
};

/// Passes under way at once. They mostly wait for answers, so there may be many; each cluster bounds its own calls. With
/// fewer, the workflows of a frozen cluster could take all places until its breaker opens.
const PASSES_AT_ONCE: usize = 1024;
/// How long the start waits for the pods of other clusters to be known. Their workflows are then a little quicker; a dead
/// cluster must not hold up the rest.
const START_PATIENCE: Duration = Duration::from_secs(2);
/// Pause before home is asked again which cluster it is.
const HOME_PAUSE: Duration = Duration::from_secs(1);
/// How long passes that are under way may take to end after the controller was told to.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// What the controller works with.
pub struct Options {
    /// All clusters; home is where the workflows are. Their clock is that of the controller.
    pub clusters: Clusters,
    /// The policy, started with what [`config::load`] gave: a policy that starts with less denies for good.
    pub policies: Policies,
    /// The controller's own namespace, with its Secret and ConfigMap.
    pub namespace: Namespace,
    /// In namespace mode, the one namespace that is managed. Policy must be told the same.
    pub managed: Option<Namespace>,
    /// What [`config::load`] gave.
    pub settings: Settings,
    /// Where [`health`] answers, if anywhere.
    pub listener: Option<TcpListener>,
    /// Where [`logs`] are served, if anywhere.
    pub logs: Option<logs::Listener>,
}

/// What all passes share.
pub struct Controller {
    /// The clusters.
    pub clusters: Clusters,
    /// The UID of home's namespace `kube-system`, by which pods say whose they are.
    pub home_uid: String,
    /// The policy.
    pub policies: Policies,
    /// The workflows.
    pub workflows: Workflows,
    /// Their pods.
    pub pods: Index,
    /// What the namespaces say that pods go to.
    pub namespaces: Namespaces,
    /// Whose turn it is.
    pub queue: Queue,
    /// How far the watches are.
    pub watched: Watched,
    /// Who waits for which cluster.
    pub waiting: Waiting,
    /// Pods that targets refused.
    pub refusals: Refusals,
    /// The configuration in force, beside policy's.
    pub settings: tokio::sync::watch::Sender<Settings>,
    /// When workflows that have ended are deleted.
    pub retention: Retention,
    /// What has happened so far, for its metrics.
    pub counted: Counted,
    /// Where Events are handed in.
    pub events: Events,
    /// The controller's own namespace, with its Secret and ConfigMap.
    pub namespace: Namespace,
}

/// Runs until cancelled. Then passes under way are ended, and nothing is left running.
///
/// # Errors
/// If the controller may not learn which cluster home is, or if a part of it broke down, which is a mistake in it: start
/// again.
pub async fn run(options: Options, cancelled: CancellationToken) -> anyhow::Result<()> {
    let home_uid = tokio::select! {
        () = cancelled.cancelled() => return Ok(()),
        uid = home_uid(options.clusters.home()) => uid?,
    };
    let (events, notes) = Events::new();
    let controller = Arc::new(Controller {
        clusters: options.clusters,
        home_uid,
        policies: options.policies,
        workflows: Workflows::default(),
        pods: Index::default(),
        namespaces: Namespaces::default(),
        queue: Queue::default(),
        watched: Watched::default(),
        waiting: Waiting::default(),
        refusals: Refusals::default(),
        settings: tokio::sync::watch::Sender::new(options.settings.clone()),
        retention: Retention::default(),
        counted: Counted::default(),
        events,
        namespace: options.namespace.clone(),
    });
    let clock = controller.clusters.clock();
    let mut parts = JoinSet::new();
    parts.spawn(events::post(controller.clusters.home().clone(), notes, clock));
    if let Some(listener) = options.listener {
        parts.spawn(health::serve(listener, controller.clone()));
    }
    if let Some(listener) = options.logs {
        parts.spawn(logs::serve(listener, controller.clone()));
    }
    parts.spawn(policy_status::keep(controller.clone(), options.namespace.clone(), clock));
    parts.spawn(feeds::configuration(controller.clone(), options.namespace.clone()));
    parts.spawn(keeper::keep(controller.clusters.clone(), options.namespace.clone()));
    parts.spawn(feeds::clusters(controller.clone(), options.namespace.clone()));
    parts.spawn(feeds::policy(controller.clone()));
    let retaining = controller.clone();
    parts.spawn(async move { retention::keep(&retaining, clock).await });
    parts.spawn(watch_sets::keep(controller.clone(), options.managed.clone()));
    parts.spawn(feeds::workflows(controller.clone(), options.managed, options.settings.instance_id));
    tokio::select! {
        () = cancelled.cancelled() => Ok(()),
        () = work(&controller, &cancelled) => Ok(()),
        Some(ended) = parts.join_next() => match ended {
            Ok(()) => bail!("a watch of the controller ended"),
            Err(error) => Err(anyhow::Error::new(error).context("a part of the controller broke down")),
        },
    }
}

/// Which cluster home is. Without it no pod could say whose it is, so it is asked for until there is an answer.
async fn home_uid(home: &Cluster) -> anyhow::Result<String> {
    loop {
        home.ready().await;
        match home.call(identity::read(home.client())).await {
            Ok(uid) => return Ok(uid),
            Err(CallError::Refused(status)) if matches!(status.code, 403 | 404) => bail!(
                "the controller needs the right to get the namespace {:?} of its own cluster, by whose uid its pods are \
                 told from those of other homes: {}",
                identity::NAMESPACE,
                CallError::Refused(status),
            ),
            Err(error) => {
                tracing::warn!(%error, "it can't be told yet which cluster home is");
                tokio::time::sleep(HOME_PAUSE).await;
            }
        }
    }
}

/// Makes passes, once enough is known, until cancelled; then lets those under way end.
async fn work(controller: &Arc<Controller>, cancelled: &CancellationToken) {
    know_enough(controller).await;
    tracing::info!(home = %controller.home(), "controller is running");
    let mut passes = JoinSet::new();
    loop {
        tokio::select! {
            () = cancelled.cancelled() => break,
            Some(_) = passes.join_next() => {}
            uid = controller.queue.next(), if passes.len() < PASSES_AT_ONCE => {
                let turn = Turn { controller: controller.clone(), uid, next: Next::Retry };
                passes.spawn(turn.make());
            }
        }
    }
    let ended = timeout(END_PATIENCE, async { while passes.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        tracing::warn!(passes = passes.len(), "passes are cut off");
    }
}

/// Home must be known in full: what is missing there would be taken for gone, and a cluster that isn't known yet for a
/// mistake in a workflow. Other clusters only get a little time.
async fn know_enough(controller: &Controller) {
    let home = controller.home().clone();
    controller.watched.until(|progress| progress.home_problem(&home).is_none()).await;
    let states = controller.clusters.states();
    let others = controller.watched.until(|progress| {
        let ready = states.iter().filter(|(_, state)| **state == State::Ready);
        ready.into_iter().all(|(name, _)| progress.is_told(name))
    });
    if timeout(START_PATIENCE, others).await.is_err() {
        tracing::warn!("not all clusters have told their pods yet");
    }
}

/// One pass, from the queue and back to it, also if it breaks down.
struct Turn {
    controller: Arc<Controller>,
    uid: Uid,
    next: Next,
}

impl Turn {
    async fn make(mut self) {
        let begun = Instant::now();
        self.next = reconcile::pass(&self.controller, &self.uid, self.controller.clusters.now()).await;
        self.controller.counted.passes.observe(begun.elapsed().as_secs_f64());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.controller.queue.done(&self.uid, self.next);
    }
}

impl Controller {
    /// The home cluster's name.
    pub fn home(&self) -> &ClusterName {
        self.clusters.home().name()
    }

    /// A workflow as logs name it.
    pub fn name_of(&self, stored: &Stored) -> String {
        let metadata = &stored.workflow.metadata;
        let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
        format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default())
    }

    /// A workflow has ended, and wants no more passes.
    pub fn end(&self, ended: &Ended) {
        if self.workflows.end(ended) {
            self.forget(&ended.uid);
            self.retention.note(ended);
        }
    }

    /// Drops what is remembered of a workflow that is no more, or has ended.
    pub fn forget(&self, uid: &Uid) {
        self.retention.forget(uid);
        self.queue.forget(uid);
        self.waiting.forget(uid);
        self.refusals.forget(uid);
        self.pods.forget(uid);
    }
}
