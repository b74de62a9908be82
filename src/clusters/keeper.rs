//! What the controller itself writes into the Secret `clusters`: which cluster answered first, and renewed tokens. Each
//! write says which version of the Secret it changes, so that nobody's change is lost.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    api::{
        contract::{ANNOTATION_CLUSTER, CLUSTERS_SECRET},
        ids::{ClusterName, Namespace},
    },
    clusters::{
        Clusters,
        call::CallError,
        cluster::{Cluster, Link},
        renewal::{self, Renewal},
        rest_config::RestConfig,
        secret,
        settings::{self, Settings},
        token::{self, Token},
    },
};

/// Pause after the first attempt that failed; it doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_secs(5);
/// Longest pause: a fifth of the shortest life of a token is two minutes.
const PAUSE_LAST: Duration = Duration::from_secs(60);
/// How often a write is made again because another was quicker. Whoever writes so often will be slower once.
const CONFLICTS_MAX: usize = 10;

/// Keeps it so until dropped. `namespace` is where the Secret is.
pub async fn keep(clusters: Clusters, namespace: Namespace) {
    let mut versions = clusters.subscribe();
    let mut running: HashMap<u64, JoinSet<()>> = HashMap::new();
    loop {
        versions.mark_unchanged();
        let connections = clusters.connections();
        let numbers: HashSet<u64> = connections.iter().map(|cluster| cluster.number()).collect();
        running.retain(|number, _| numbers.contains(number));
        for cluster in connections.into_iter().filter(|cluster| cluster.link().config().is_some()) {
            running.entry(cluster.number()).or_insert_with(|| {
                let mut task = JoinSet::new();
                let keeper = Keeper { clusters: clusters.clone(), namespace: namespace.clone(), cluster };
                task.spawn(keeper.run());
                task
            });
        }
        if versions.changed().await.is_err() {
            return;
        }
    }
}

/// Of one cluster.
struct Keeper {
    clusters: Clusters,
    namespace: Namespace,
    cluster: Arc<Cluster>,
}

/// When the token that a client has came to be known.
struct Seen {
    link: Arc<Link>,
    at: Timestamp,
}

impl Keeper {
    async fn run(self) {
        let mut versions = self.clusters.subscribe();
        let mut links = self.cluster.subscribe_client();
        let mut seen = Seen { link: self.cluster.link(), at: self.clusters.now() };
        let mut pause = PAUSE_FIRST;
        let mut said = String::new();
        loop {
            versions.mark_unchanged();
            links.mark_unchanged();
            let link = self.cluster.link();
            if seen.link.config() != link.config() {
                seen = Seen { link, at: self.clusters.now() };
            }
            match self.look(&seen).await {
                Ok(due) => {
                    pause = PAUSE_FIRST;
                    said.clear();
                    let due = due.map(|at| self.when(at));
                    tokio::select! {
                        changed = versions.changed() => if changed.is_err() { return },
                        changed = links.changed() => if changed.is_err() { return },
                        () = until(due) => {}
                    }
                }
                Err(error) => {
                    let reason = format!("{error:#}");
                    if reason != said {
                        tracing::warn!(cluster = %self.cluster.name(), reason, "it is tried again");
                        said = reason;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_LAST);
                }
            }
        }
    }

    /// Does what is due, and says when more will be.
    async fn look(&self, seen: &Seen) -> anyhow::Result<Option<Timestamp>> {
        if let Some(uid) = self.cluster.to_remember() {
            self.remember(&uid).await?;
        }
        let Some(config) = seen.link.config() else { return Ok(None) };
        let Some(renewal) = renewal::plan(config, &self.cluster.settings(), seen.at) else { return Ok(None) };
        if self.clusters.now() < renewal.at {
            return Ok(Some(renewal.at));
        }
        self.renew(config, &renewal).await?;
        Ok(None)
    }

    async fn remember(&self, uid: &str) -> anyhow::Result<()> {
        let is_written = self
            .change(|_, settings| {
                let settings = Settings { uid: Some(uid.to_owned()), ..settings.clone() };
                Some((None, settings))
            })
            .await
            .map_err(|error| self.failed("which cluster it is can't be remembered", error))?;
        if is_written {
            tracing::info!(cluster = %self.cluster.name(), uid, "it is remembered which cluster it is");
        }
        Ok(())
    }

    async fn renew(&self, config: &RestConfig, renewal: &Renewal) -> anyhow::Result<()> {
        let life = Duration::try_from(renewal.life).unwrap_or_default();
        let Token { text, expires } =
            self.cluster.call(token::request(self.cluster.client(), &renewal.account, life)).await.map_err(|error| {
                let settings::Account { namespace, name } = &renewal.account;
                let cluster = self.cluster.name();
                anyhow::anyhow!(
                    "its token can't be renewed as service account {namespace}/{name} there: {error}; by hand: landfall \
                     cluster rotate {cluster}"
                )
            })?;
        let is_written = self
            .change(|value, settings| {
                // Otherwise another token was put there meanwhile.
                let is_same = self.clusters.parse(value).as_ref() == Some(config);
                let value = is_same.then(|| renewal::with_token(value, &text)).flatten()?;
                Some((Some(value), Settings { token_expires: Some(expires), ..settings.clone() }))
            })
            .await
            .map_err(|error| self.failed("its renewed token can't be stored", error))?;
        if is_written {
            tracing::info!(cluster = %self.cluster.name(), %expires, "its token is renewed");
        }
        Ok(())
    }

    /// Changes what the Secret says of the cluster, in one write; whether there was anything to change. `edit` gets the
    /// value and the settings as they are, and gives what they are to be.
    async fn change(
        &self,
        edit: impl Fn(&[u8], &Settings) -> Option<(Option<Vec<u8>>, Settings)>,
    ) -> Result<bool, CallError> {
        let home = self.clusters.home();
        let name = self.cluster.name();
        let api = || Api::<Secret>::namespaced(home.client(), self.namespace.as_str());
        let mut conflicts = 0;
        loop {
            let Some(secret) = home.call(api().get_opt(CLUSTERS_SECRET)).await? else { return Ok(false) };
            let Some(patch) = patch(&secret, name, &edit) else { return Ok(false) };
            match home.call(api().patch(CLUSTERS_SECRET, &PatchParams::default(), &Patch::Merge(patch))).await {
                Ok(_) => return Ok(true),
                Err(CallError::Refused(status)) if status.code == 409 && conflicts < CONFLICTS_MAX => conflicts += 1,
                Err(CallError::Refused(status)) if status.code == 404 => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    fn failed(&self, what: &str, error: CallError) -> anyhow::Error {
        let place = format!("{}/{CLUSTERS_SECRET}", self.namespace);
        match error.code() {
            Some(403) => {
                anyhow::anyhow!("{what}: the controller needs the rights to get and patch secret {place}: {error}")
            }
            Some(_) | None => anyhow::anyhow!("{what}: secret {place}: {error}"),
        }
    }

    /// The moment at which the clock will show this time.
    fn when(&self, at: Timestamp) -> Instant {
        let wait = at.duration_since(self.clusters.now()).max(jiff::SignedDuration::ZERO);
        Instant::now() + Duration::try_from(wait).unwrap_or_default()
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn patch(
    secret: &Secret,
    name: &ClusterName,
    edit: &impl Fn(&[u8], &Settings) -> Option<(Option<Vec<u8>>, Settings)>,
) -> Option<serde_json::Value> {
    let value = &secret.data.as_ref()?.get(name.as_str())?.0;
    let held = settings::parse(secret::annotation(secret, name)).ok()?;
    let (new_value, new_settings) = edit(value, &held)?;
    let mut patch = json!({"metadata": {
        "uid": secret.metadata.uid,
        "resourceVersion": secret.metadata.resource_version,
        "annotations": {format!("{ANNOTATION_CLUSTER}{name}"): new_settings.to_json()},
    }});
    if let Some(new_value) = new_value {
        patch["data"] = json!({name.as_str(): ByteString(new_value)});
    }
    Some(patch)
}
