//! One watch of one kind in one cluster, kept going for ever: list, follow, and list again whenever following can't be
//! trusted any more. What the objects mean is the business of whoever gets the changes.
//!
//! A list is handed over whole, so that its receiver can tell what vanished unseen. Silence is a failure, and a cluster
//! that can't be reached is left to its breaker: the watch goes on when the breaker closes.

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, WatchEvent, WatchParams},
    core::Status,
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use crate::clusters::{
    call::{self, CallError},
    cluster::Cluster,
};

/// Objects a page of a list: what an API server answers without strain.
const PAGE: u32 = 500;
/// A watch that says nothing for this long, not even a bookmark, is taken for dead; servers send one about every minute.
const SILENCE: Duration = Duration::from_secs(150);
/// How long the server may take to begin a watch.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(15);
/// Failures in a row after which the version that we resume from is no longer trusted.
const FAILURES_MAX: u32 = 3;
/// Pause after the first failure; it doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// Longest pause.
const PAUSE_LAST: Duration = Duration::from_secs(30);
/// A watch that lived shorter than this counts as failed, so that a server that ends them at once is not hammered.
const LIFE_MIN: Duration = Duration::from_secs(1);

/// What is watched.
pub struct Source<K> {
    /// The kind and namespace, by the cluster's client of the moment.
    pub api: Box<dyn Fn(kube::Client) -> Api<K> + Send + Sync>,
    /// Which labels the objects bear.
    pub labels: Option<String>,
    /// Which fields the objects have.
    pub fields: Option<String>,
    /// Takes away what nobody reads, as soon as an object arrives.
    pub strip: fn(&mut K),
}

/// What happened to the objects.
pub enum Change<K> {
    /// These are all.
    Listed(Vec<K>),
    /// This one is new or changed.
    Applied(K),
    /// This one is gone.
    Deleted(K),
    /// They can't be listed or watched, for this reason. Until the next list nothing is known of them.
    Refused(String),
}

/// Watches until dropped.
pub async fn follow<K>(cluster: Arc<Cluster>, source: Source<K>, mut tell: impl FnMut(Change<K>) + Send)
where
    K: Clone + DeserializeOwned + Debug + Resource + Send + 'static,
{
    let mut pause = PAUSE_FIRST;
    let kind = (source.api)(cluster.client()).resource_url().to_owned();
    let mut log = Log { cluster: cluster.clone(), kind, said: None };
    loop {
        cluster.ready().await;
        match list(&cluster, &source).await {
            Ok((objects, version)) => {
                let mut from = Following { version, listed: Some(objects), has_lived: false };
                resume(&cluster, &source, &mut from, &mut tell, &mut log).await;
                if from.has_lived {
                    pause = PAUSE_FIRST;
                    continue;
                }
            }
            Err(CallError::Refused(status)) => {
                let reason = format!("can't list: {}", CallError::Refused(status));
                log.refused(&reason);
                tell(Change::Refused(reason));
            }
            // The call has told the breaker.
            Err(CallError::Unreachable(_)) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_LAST);
    }
}

/// Says once what is refused, however often it is tried.
struct Log {
    cluster: Arc<Cluster>,
    kind: String,
    said: Option<String>,
}

impl Log {
    fn refused(&mut self, reason: &str) {
        if self.said.as_deref() != Some(reason) {
            tracing::warn!(cluster = %self.cluster.name(), kind = self.kind, reason, "it is tried again and again");
            self.said = Some(reason.to_owned());
        }
    }
}

async fn list<K>(cluster: &Cluster, source: &Source<K>) -> Result<(Vec<K>, String), CallError>
where
    K: Clone + DeserializeOwned + Debug + Resource,
{
    // What a list lacks counts as gone, so it must be the right cluster's.
    cluster.verify().await?;
    let api = (source.api)(cluster.client());
    let mut objects = Vec::new();
    let mut params = ListParams {
        label_selector: source.labels.clone(),
        field_selector: source.fields.clone(),
        limit: Some(PAGE),
        ..ListParams::default()
    };
    loop {
        // A list that takes more pages than the history lasts ends in 410, which is a failure like any other: from the start.
        let mut page = cluster.call(api.list(&params)).await?;
        page.items.iter_mut().for_each(source.strip);
        objects.append(&mut page.items);
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            return Ok((objects, page.metadata.resource_version.unwrap_or_default()));
        }
    }
}

/// Where a watch goes on.
struct Following<K> {
    version: String,
    /// The list that the version is of. It is handed over when a watch has begun: what can only be listed isn't followed.
    listed: Option<Vec<K>>,
    /// Whether a watch since the list has lived for a while.
    has_lived: bool,
}

/// Why one watch request is over.
enum Over {
    /// The cluster is spoken to by another client now: go on through that one.
    Reconnected,
    /// Go on from where it was.
    Ended,
    /// Something went wrong; the version may still be good.
    Failed,
    /// The server doesn't want to.
    Refused(Box<Status>),
    /// The version is too old: only a list helps.
    Expired,
}

/// Follows from a version, over as many watch requests as it takes. Returns when only a list helps.
async fn resume<K>(
    cluster: &Cluster,
    source: &Source<K>,
    from: &mut Following<K>,
    tell: &mut impl FnMut(Change<K>),
    log: &mut Log,
) where
    K: Clone + DeserializeOwned + Debug + Resource,
{
    let mut failures = 0;
    while failures < FAILURES_MAX {
        cluster.ready().await;
        let begun = Instant::now();
        let before = from.version.clone();
        let mut clients = cluster.subscribe_client();
        let over = tokio::select! {
            over = watch(cluster, source, from, tell, log) => over,
            // It fails only if the sender is gone, and the cluster holds it.
            _ = clients.changed() => Over::Reconnected,
        };
        let has_lived = from.listed.is_none() && LIFE_MIN <= begun.elapsed();
        from.has_lived |= has_lived;
        match over {
            Over::Expired => return,
            Over::Reconnected => {}
            Over::Ended if has_lived => failures = 0,
            Over::Refused(status) if failures + 1 == FAILURES_MAX || is_lasting(&status) => {
                let reason = format!("can't watch: {}", CallError::Refused(status));
                log.refused(&reason);
                // What was listed is still worth something: ends of pods are noticed by it.
                if let Some(objects) = from.listed.take() {
                    tell(Change::Listed(objects));
                }
                tell(Change::Refused(reason));
                return;
            }
            Over::Ended | Over::Failed | Over::Refused(_) => {
                failures = if from.version == before { failures + 1 } else { 1 };
                tokio::time::sleep(PAUSE_FIRST.saturating_mul(1 << failures)).await;
            }
        }
        // What comes next must be the same cluster's as what was listed.
        if cluster.verify().await.is_err() {
            failures += 1;
        }
    }
}

/// Whether asking again is of no use, as where a right is missing.
fn is_lasting(status: &Status) -> bool {
    (400..500).contains(&status.code) && status.code != 429
}

async fn watch<K>(
    cluster: &Cluster,
    source: &Source<K>,
    from: &mut Following<K>,
    tell: &mut impl FnMut(Change<K>),
    log: &mut Log,
) -> Over
where
    K: Clone + DeserializeOwned + Debug + Resource,
{
    let api = (source.api)(cluster.client());
    let params = WatchParams {
        label_selector: source.labels.clone(),
        field_selector: source.fields.clone(),
        bookmarks: true,
        ..WatchParams::default()
    };
    let mut events = match call::bounded(BEGIN_TIMEOUT, api.watch(&params, &from.version)).await {
        Ok(events) => events.map_err(call::classify).boxed(),
        Err(error) => {
            if let CallError::Unreachable(reason) = &error {
                cluster.lost(reason);
            }
            return failed(cluster, error);
        }
    };
    cluster.heard();
    if let Some(objects) = from.listed.take() {
        log.said = None;
        tell(Change::Listed(objects));
    }
    loop {
        let event = timeout(SILENCE, events.next()).await;
        if let Ok(Some(Ok(_))) = &event {
            cluster.heard();
        }
        let mut object = match event {
            Err(_) | Ok(None) => return Over::Ended,
            Ok(Some(Err(error))) => return failed(cluster, error),
            Ok(Some(Ok(WatchEvent::Error(status)))) => return failed(cluster, CallError::Refused(status)),
            Ok(Some(Ok(WatchEvent::Bookmark(bookmark)))) => {
                from.version = bookmark.metadata.resource_version;
                continue;
            }
            Ok(Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)))) => Change::Applied(object),
            Ok(Some(Ok(WatchEvent::Deleted(object)))) => Change::Deleted(object),
        };
        if let Change::Applied(object) | Change::Deleted(object) = &mut object {
            (source.strip)(object);
            from.version = object.resource_version().unwrap_or_default();
        }
        tell(object);
    }
}

fn failed(cluster: &Cluster, error: CallError) -> Over {
    match error {
        CallError::Refused(status) if status.code == 410 => Over::Expired,
        CallError::Refused(status) => {
            tracing::debug!(cluster = %cluster.name(), reason = status.message, "watch failed");
            Over::Refused(status)
        }
        CallError::Unreachable(reason) => {
            // A stream that breaks says little; whether the cluster is gone shows with the next request.
            tracing::debug!(cluster = %cluster.name(), reason, "watch broke");
            Over::Failed
        }
    }
}
