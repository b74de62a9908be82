//! Follows the output of every container of a cluster, line by line.

use std::collections::BTreeSet;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    runtime::{
        WatchStreamExt,
        watcher::{self, watcher},
    },
};
use tokio::{sync::mpsc::Sender, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{
        contract::{ANNOTATION_NODE_NAME, LABEL_WORKFLOW},
        ids::{ClusterName, Target},
    },
    cli::local::lines,
    controller::logs::lines::Lines,
    local::logs::{Logs, Piece},
};

/// Where the output comes from and goes to.
pub struct Source {
    /// The cluster.
    pub cluster: ClusterName,
    /// Its API.
    pub client: Client,
    /// Its containers' output.
    pub logs: Logs,
    /// Where lines go, each with its prefix.
    pub lines: Sender<String>,
}

/// Follows the containers of all workflow pods until `ended`; what they have printed by then is still passed on.
pub async fn follow(source: Source, ended: CancellationToken) {
    let api: Api<Pod> = Api::all(source.client.clone());
    let config = watcher::Config::default().labels(LABEL_WORKFLOW);
    let mut pods = std::pin::pin!(watcher(api.clone(), config).default_backoff().applied_objects());
    let mut followers = Followers { source, seen: BTreeSet::new(), tasks: JoinSet::new(), ended: ended.clone() };
    loop {
        tokio::select! {
            () = ended.cancelled() => break,
            Some(_) = followers.tasks.join_next() => {}
            pod = pods.next() => match pod {
                Some(Ok(pod)) => followers.add(&pod),
                Some(Err(error)) => tracing::debug!(%error, "watching pods for their logs"),
                None => break,
            },
        }
    }
    // The last pods may have come and gone faster than their events.
    if let Ok(pods) = api.list(&ListParams::default().labels(LABEL_WORKFLOW)).await {
        pods.items.iter().for_each(|pod| followers.add(pod));
    }
    while followers.tasks.join_next().await.is_some() {}
}

struct Followers {
    source: Source,
    seen: BTreeSet<String>,
    tasks: JoinSet<()>,
    ended: CancellationToken,
}

impl Followers {
    fn add(&mut self, pod: &Pod) {
        let Some(uid) = pod.uid() else { return };
        if !self.seen.insert(uid.clone()) {
            return;
        }
        let Ok(namespace) = pod.namespace().unwrap_or_default().parse() else { return };
        let target = Target { cluster: self.source.cluster.clone(), namespace };
        let node = pod.annotations().get(ANNOTATION_NODE_NAME).cloned().unwrap_or_else(|| pod.name_any());
        let spec = pod.spec.iter();
        for container in spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers)) {
            let prefix = lines::log_prefix(&target, &node, &container.name);
            let output = self.source.logs.follow(&uid, &container.name);
            self.tasks.spawn(pass_on(prefix, Box::pin(output), self.source.lines.clone(), self.ended.clone()));
        }
    }
}

/// Passes the output on by lines. Once `ended`, only what is there already.
async fn pass_on<S>(prefix: String, mut output: S, lines: Sender<String>, ended: CancellationToken)
where
    S: futures::Stream<Item = Piece> + Unpin,
{
    let mut begun = Lines::default();
    loop {
        let piece = tokio::select! {
            biased;
            piece = output.next() => piece,
            () = ended.cancelled() => None,
        };
        let Some(piece) = piece else { break };
        let gap = match piece {
            Piece::Printed(printed) => {
                begun.push(&printed.bytes);
                None
            }
            Piece::Gap(bytes) => Some(format!("[{bytes} bytes were printed too fast to be kept]")),
        };
        let whole: Vec<_> = begun.by_ref().collect();
        let rest = gap.as_ref().and_then(|_| begun.end());
        let news = whole.into_iter().chain(rest).map(|piece| piece.text).chain(gap);
        for line in news {
            if lines.send(lines::log(&prefix, &line)).await.is_err() {
                return;
            }
        }
    }
    if let Some(piece) = begun.end() {
        drop(lines.send(lines::log(&prefix, &piece.text)).await);
    }
}
