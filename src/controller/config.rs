//! The ConfigMap `workflow-controller-configmap`: what of it is ours to read. Keys of Argo's that we don't act on are
//! accepted, so that a cluster's ConfigMap serves both controllers; keys that nobody knows are named in a warning.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;

use crate::{
    api::{
        contract::CONFIG_MAP,
        ids::{ClusterName, Namespace},
    },
    controller::Controller,
    policy::config::{Config, KEY_NAMESPACE_ROLES, KEY_POLICIES, Warning},
};

/// Names the home cluster.
const KEY_CLUSTER: &str = "cluster";
/// Says which workflows are ours, as Argo's.
const KEY_INSTANCE_ID: &str = "instanceID";
/// How long a cluster may be away before the nodes that run there are given up.
const KEY_CLUSTER_LOST_TIMEOUT: &str = "clusterLostTimeout";

/// Where the ConfigMap doesn't say: longer than a control plane takes to be upgraded or mended, and short enough that
/// somebody who waits for a workflow learns of it the same day.
const CLUSTER_LOST_TIMEOUT: SignedDuration = SignedDuration::from_hours(1);
/// A shorter time than this would give up pods over a server that is restarted.
const CLUSTER_LOST_TIMEOUT_MIN: SignedDuration = SignedDuration::from_mins(1);
/// The longest time, which is as good as for ever.
const CLUSTER_LOST_TIMEOUT_MAX: SignedDuration = SignedDuration::from_hours(365 * 24);

/// Keys that others read: Argo's, and `images`, which the runtime of local clusters reads.
const KEYS_OF_OTHERS: &[&str] = &[
    "artifactDrivers",
    "artifactRepository",
    "columns",
    "config",
    "containerRuntimeExecutor",
    "cronSyncPeriod",
    "executor",
    "failedPodRestart",
    "featureFlags",
    "images",
    "initialDelay",
    "kubeConfig",
    "links",
    "mainContainer",
    "metricsConfig",
    "namespaceParallelism",
    "navColor",
    "nodeEvents",
    "parallelism",
    "persistence",
    "podGCDeleteDelayDuration",
    "podGCGracePeriodSeconds",
    "podSpecLogStrategy",
    "resourceRateLimit",
    "retentionPolicy",
    "semaphoreLimitCacheSeconds",
    "sso",
    "synchronization",
    "telemetryConfig",
    "tracingConfig",
    "workflowDefaults",
    "workflowEvents",
    "workflowRequirements",
    "workflowRestrictions",
];

/// What the ConfigMap says.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The home cluster's name. Read at the start only.
    pub home: ClusterName,
    /// Which workflows are ours: those that bear this ID, or with none, those that bear none. Read at the start only.
    pub instance_id: Option<String>,
    /// How long a cluster may be away before the nodes that run there are given up.
    pub cluster_lost_timeout: SignedDuration,
    /// What it says of policy.
    pub policy: Config,
    /// What is probably not meant as it is written.
    pub warnings: Vec<Warning>,
}

/// Reads the texts of the ConfigMap.
///
/// # Errors
/// If any key of ours is wrong: the message names them all.
pub fn parse(data: &BTreeMap<String, String>) -> anyhow::Result<Settings> {
    let text = |key: &str| data.get(key).map(String::as_str);
    let named = |key: &str| text(key).map(str::trim).filter(|name| !name.is_empty());
    let home = named(KEY_CLUSTER).map_or_else(|| Ok(ClusterName::home()), str::parse);
    let home = home.map_err(|error| anyhow!("{KEY_CLUSTER}: {error}"))?;
    let (policy, warnings) = Config::parse(text(KEY_NAMESPACE_ROLES), text(KEY_POLICIES))?;
    let cluster_lost_timeout = named(KEY_CLUSTER_LOST_TIMEOUT).map_or(Ok(CLUSTER_LOST_TIMEOUT), lost_timeout)?;
    let instance_id = named(KEY_INSTANCE_ID).map(str::to_owned);
    Ok(Settings { home, instance_id, cluster_lost_timeout, policy, warnings })
}

/// A time as Go writes it: `30m`, `1h30m`.
fn lost_timeout(text: &str) -> anyhow::Result<SignedDuration> {
    let given: SignedDuration =
        text.parse().map_err(|_| anyhow!("{KEY_CLUSTER_LOST_TIMEOUT}: {text:?} is not a time as 30m or 1h30m"))?;
    if !(CLUSTER_LOST_TIMEOUT_MIN..=CLUSTER_LOST_TIMEOUT_MAX).contains(&given) {
        return Err(anyhow!(
            "{KEY_CLUSTER_LOST_TIMEOUT}: {text} is not between {CLUSTER_LOST_TIMEOUT_MIN:#} and {CLUSTER_LOST_TIMEOUT_MAX:#}"
        ));
    }
    Ok(given)
}

/// Reads the ConfigMap of the controller's namespace as it is now; without one, everything has its default. To be called
/// before [`crate::controller::run`], so that policy starts with what is configured and never with less or more.
///
/// # Errors
/// If the home cluster can't be asked, or something in it is wrong.
pub async fn load(client: kube::Client, namespace: &Namespace) -> anyhow::Result<Settings> {
    let api: Api<ConfigMap> = Api::namespaced(client, namespace.as_str());
    let found =
        api.get_opt(CONFIG_MAP).await.with_context(|| format!("reading config map {namespace}/{CONFIG_MAP}"))?;
    let data = found.and_then(|config_map| config_map.data).unwrap_or_default();
    parse(&data).with_context(|| format!("config map {namespace}/{CONFIG_MAP}"))
}

/// The configuration in force, and what becomes of a new one.
#[derive(Default)]
pub struct Reader {
    last: Last,
}

/// What was seen last.
#[derive(Default, PartialEq)]
enum Last {
    /// No ConfigMap so far: what was loaded at the start is in force.
    #[default]
    Nothing,
    /// One that says this.
    Data(BTreeMap<String, String>),
    /// That there is none any more.
    Gone,
}

impl Reader {
    /// Takes over what the ConfigMap says now. If anything in it is wrong, or it is gone, the last good configuration stays
    /// in force as a whole, and policy's state says so.
    pub fn take(&mut self, controller: &Controller, namespace: &Namespace, config_map: Option<ConfigMap>) {
        let Some(config_map) = config_map else {
            if let Last::Data(_) = self.last {
                self.last = Last::Gone;
                // Defaults could allow what this cluster's operator didn't.
                let error = anyhow!("config map {namespace}/{CONFIG_MAP} is gone");
                refuse(controller, &error);
            }
            return;
        };
        let now = Last::Data(config_map.data.clone().unwrap_or_default());
        if self.last == now {
            return;
        }
        self.last = now;
        let data = config_map.data.unwrap_or_default();
        report_keys(&data);
        match parse(&data) {
            Ok(settings) => {
                for warning in &settings.warnings {
                    tracing::warn!(key = CONFIG_MAP, "{warning}");
                }
                if settings.home != *controller.home() {
                    tracing::warn!(key = KEY_CLUSTER, "takes effect at the next start");
                }
                controller.policies.configure(settings.policy.clone());
                controller.settings.send_replace(settings);
            }
            Err(error) => {
                let error = error.context(format!("config map {namespace}/{CONFIG_MAP}"));
                refuse(controller, &error);
            }
        }
    }
}

/// Policy logs it, and its state, an Event and a condition tell of it.
fn refuse(controller: &Controller, error: &anyhow::Error) {
    controller.policies.refuse(format!("{error:#}: the last good configuration stays in force"));
}

fn report_keys(data: &BTreeMap<String, String>) {
    let ours = [KEY_CLUSTER, KEY_CLUSTER_LOST_TIMEOUT, KEY_INSTANCE_ID, KEY_NAMESPACE_ROLES, KEY_POLICIES];
    let others = data.keys().map(String::as_str).filter(|key| !ours.contains(key));
    let (known, unknown): (Vec<&str>, Vec<&str>) = others.partition(|key| KEYS_OF_OTHERS.contains(key));
    if !known.is_empty() {
        tracing::info!(keys = known.join(", "), "keys of the config map that are not acted on");
    }
    for key in unknown {
        tracing::warn!(key, "unknown key in the config map");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::parse;

    #[test]
    fn reads_our_keys_and_leaves_others() {
        let check = |text: &str, expected: Result<(&str, Option<&str>), &str>| {
            let data = serde_json::from_str(text).expect("a map of texts");
            let parsed = parse(&data).map(|settings| (settings.home.to_string(), settings.instance_id));
            let parsed = parsed.map_err(|error| format!("{error:#}"));
            let expected = expected.map(|(home, id)| (home.to_owned(), id.map(str::to_owned)));
            match (parsed, expected) {
                (Err(found), Err(start)) => assert!(found.starts_with(start), "{found}"),
                (found, expected) => assert_eq!(found, expected.map_err(str::to_owned), "{text}"),
            }
        };
        check("{}", Ok(("default", None)));
        check(r#"{"cluster": "east\n", "instanceID": "a", "parallelism": "3"}"#, Ok(("east", Some("a"))));
        check(r#"{"cluster": "East"}"#, Err("cluster: cluster name \"East\" is not a DNS label"));
        check(r#"{"namespaceRoles": "- namespaces: x"}"#, Err("namespaceRoles line 1"));
    }

    #[test]
    fn the_time_after_which_a_cluster_is_lost() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let data = BTreeMap::from([("clusterLostTimeout".to_owned(), text.to_owned())]);
            let read = parse(&data).map(|settings| format!("{:#}", settings.cluster_lost_timeout));
            assert_eq!(read.map_err(|error| error.to_string()), expected.map(str::to_owned).map_err(str::to_owned));
        };
        check("", Ok("1h"));
        check("90m", Ok("1h 30m"));
        check("1h30m0s", Ok("1h 30m"));
        check("8760h", Ok("8760h"));
        check("soon", Err("clusterLostTimeout: \"soon\" is not a time as 30m or 1h30m"));
        check("600", Err("clusterLostTimeout: \"600\" is not a time as 30m or 1h30m"));
        check("59s", Err("clusterLostTimeout: 59s is not between 1m and 8760h"));
        check("-5m", Err("clusterLostTimeout: -5m is not between 1m and 8760h"));
    }
}
