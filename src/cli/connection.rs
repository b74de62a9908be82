//! Which cluster a command speaks to: the flags of kubectl that say so, and a client made of them.

use std::{
    error::Error,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig};

use crate::cli::hint;

/// A server that doesn't accept a connection within this time counts as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a cluster is found.
#[derive(Clone, Debug, Default, Args)]
pub struct Connection {
    /// A kubeconfig; without it KUBECONFIG, then ~/.kube/config, then the service account of the pod
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long)]
    pub context: Option<String>,
}

impl Connection {
    /// How to reach the cluster that is meant.
    ///
    /// # Errors
    /// If it can't be found.
    pub async fn config(&self) -> anyhow::Result<kube::Config> {
        if self.kubeconfig.is_none() && self.context.is_none() {
            return kube::Config::infer().await.map_err(none_found);
        }
        config_of(read(self.kubeconfig.as_deref())?, self.context.as_deref()).await
    }
}

/// Outside of a pod that is a matter of the kubeconfig.
fn none_found(error: InferConfigError) -> anyhow::Error {
    let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    hint::error(format!("no cluster is found: {why}"), "name a kubeconfig by --kubeconfig, or in KUBECONFIG")
}

/// How to reach the cluster of a context; of the current one if none is named.
///
/// # Errors
/// If the kubeconfig lacks something, or what it names can't be read.
pub async fn config_of(kubeconfig: Kubeconfig, context: Option<&str>) -> anyhow::Result<kube::Config> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config.context("finding the cluster in the kubeconfig")
}

/// The kubeconfig that a flag names; else the one that kubectl takes, several merged. Paths of files are absolute.
///
/// # Errors
/// If it can't be read.
pub fn read(file: Option<&Path>) -> anyhow::Result<Kubeconfig> {
    match file {
        Some(file) => Kubeconfig::read_from(file).with_context(|| format!("reading {}", file.display())),
        None => Kubeconfig::read().context("reading the kubeconfig"),
    }
}

/// A client for commands: it sends a request once, and has no secret in the address, which could be logged.
///
/// # Errors
/// If the credential or the certificates can't be used; the text doesn't show them.
pub fn client(mut config: kube::Config) -> anyhow::Result<kube::Client> {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    take_user(&mut config)?;
    kube::Client::try_from(config).map_err(|error| match error {
        // What the TLS library says of a key may quote it.
        kube::Error::RustlsTls(_) => anyhow::anyhow!("the certificates or the key can't be used for TLS"),
        kube::Error::Auth(_) => anyhow::anyhow!("the credential can't be used"),
        other => anyhow::Error::new(other).context("connecting"),
    })
}

/// Moves a user that stands in the address to where credentials are. As for Go's HTTP client, it counts where there is no
/// other.
fn take_user(config: &mut kube::Config) -> anyhow::Result<()> {
    let authority = config.cluster_url.authority().map(ToString::to_string).unwrap_or_default();
    let Some((user, host)) = authority.rsplit_once('@') else { return Ok(()) };
    let mut parts = config.cluster_url.clone().into_parts();
    parts.authority = Some(host.parse().context("the address of the cluster")?);
    config.cluster_url = http::Uri::from_parts(parts).context("the address of the cluster")?;
    let auth = &mut config.auth_info;
    let has_other = auth.token.is_some()
        || auth.token_file.is_some()
        || auth.username.is_some()
        || auth.exec.is_some()
        || auth.client_certificate.is_some()
        || auth.client_certificate_data.is_some();
    if !has_other {
        let (username, password) = user.split_once(':').unwrap_or((user, ""));
        auth.username = Some(username.to_owned());
        auth.password = Some(password.to_owned().into());
    }
    Ok(())
}
