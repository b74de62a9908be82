//! `landfall controller`: the controller of a real cluster.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    api::ids::Namespace,
    cli::{
        Outcome,
        connection::Connection,
        interrupt::Interrupt,
        listen::{self, Listen},
        logging,
        logs::serve::Serving,
        records,
    },
    clusters::{Clusters, rest_config::Allowed},
    controller,
    policy::{self, Policies},
};

/// Flags of `landfall controller`; named as Argo's where Argo has them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall controller
  landfall controller --kubeconfig ~/.kube/config --context kind-home --namespace argo
  landfall controller --namespaced --managed-namespace team-a --policy-dir /etc/landfall/policies
  landfall controller --decision-records /var/log/landfall/decisions.jsonl --listen 127.0.0.1:9090

In a cluster it needs no flags. It reads its configuration from a ConfigMap and the other \
clusters from the Secret \"clusters\", both in its own namespace. LANDFALL_LOG says what is logged, as `info` or `landfall::policy=debug`.")]
pub struct Arguments {
    /// Watch workflows of one namespace only; pods may then be in the namespace of that name only, in any cluster
    #[arg(long)]
    namespaced: bool,
    /// The namespace to watch if --namespaced; the controller's own if not given
    #[arg(long, value_name = "NAMESPACE", requires = "namespaced")]
    managed_namespace: Option<Namespace>,
    /// The controller's own namespace; that of the service account or of the kubeconfig's context if not given
    #[arg(short, long)]
    namespace: Option<Namespace>,
    #[command(flatten)]
    connection: Connection,
    /// A folder with policy modules, *.wasm; files that change in it are taken up
    #[arg(long, value_name = "DIR")]
    policy_dir: Option<PathBuf>,
    /// The folder that the Secret "clusters" may name files in; without it it may name none
    #[arg(long, value_name = "DIR")]
    credentials_dir: Option<PathBuf>,
    /// Take clusters whose certificate isn't checked, and credentials over plain HTTP
    #[arg(long)]
    allow_insecure_clusters: bool,
    /// Where /healthz, /readyz and /metrics are served: an address, or off
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9090")]
    listen: Listen,
    #[command(flatten)]
    serving: Serving,
    #[command(flatten)]
    records: records::Records,
    /// How log lines look
    #[arg(long, value_enum, default_value_t)]
    log_format: logging::Format,
}

/// Runs the controller until it is told to end.
pub async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    logging::start(arguments.log_format, logging::NORMAL)?;
    let mut interrupt = Interrupt::listen()?;
    let listener = listen::bind(&arguments.listen, ("/metrics and probes", "--listen")).await?;
    let config = arguments.connection.config().await?;
    let namespace: Namespace = match &arguments.namespace {
        Some(namespace) => namespace.clone(),
        None => config.default_namespace.parse().context("the namespace of the kubeconfig's context")?,
    };
    let logs = arguments.serving.bind(&namespace).await?;
    let managed = arguments.namespaced.then(|| arguments.managed_namespace.unwrap_or_else(|| namespace.clone()));
    let client = kube::Client::try_from(config).context("connecting to the cluster")?;
    let settings = controller::config::load(client.clone(), &namespace).await?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let options = policy::Options {
        folder: arguments.policy_dir,
        config: settings.policy.clone(),
        managed: managed.clone(),
        records: arguments.records.sink(),
        ..policy::Options::default()
    };
    let policies = tokio::select! {
        started = Policies::start_aside(options) => started?,
        () = interrupt.received() => return Ok(Outcome::Done),
    };
    let allowed =
        Allowed { credentials_folder: arguments.credentials_dir, insecure: arguments.allow_insecure_clusters };
    let clusters = Clusters::new(settings.home.clone(), client, allowed, Timestamp::now);
    let options = controller::Options {
        clusters: clusters.clone(),
        policies: policies.clone(),
        namespace,
        managed,
        settings,
        listener,
        logs,
    };
    let cancelled = CancellationToken::new();
    let mut running = std::pin::pin!(controller::run(options, cancelled.clone()));
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = interrupt.received() => {
            cancelled.cancel();
            running.await
        }
    };
    clusters.shutdown().await;
    policies.end_records().await;
    ended.map(|()| Outcome::Done)
}
