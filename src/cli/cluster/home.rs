//! The home cluster, as the commands need it: its name and identity, and the controller's namespace and configuration.

use anyhow::Context;
use clap::Args;

use crate::{
    api::ids::{ClusterName, Namespace},
    cli::{
        connection::{self, Connection},
        hint,
    },
    clusters::{
        call::{self, CallError},
        grants::Owner,
        identity,
    },
    controller::config::{self, Settings},
};

/// Where home is.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    pub connection: Connection,
    /// The controller's namespace at home; that of the kubeconfig's context if not given
    #[arg(short, long)]
    pub namespace: Option<Namespace>,
}

/// The home cluster.
pub struct Home {
    /// Speaks to it.
    pub client: kube::Client,
    /// Its name in rules, templates and labels.
    pub name: ClusterName,
    /// The UID of its namespace `kube-system`.
    pub uid: String,
    /// The controller's namespace.
    pub namespace: Namespace,
    /// What the controller is configured with.
    pub settings: Settings,
    flags: Flags,
}

impl Home {
    /// Reads what there is to know of it.
    ///
    /// # Errors
    /// If it can't be reached, or its configuration is wrong.
    pub async fn reach(flags: &Flags) -> anyhow::Result<Home> {
        let config = flags.connection.config().await?;
        let namespace: Namespace = match &flags.namespace {
            Some(namespace) => namespace.clone(),
            None => config.default_namespace.parse().context("the namespace of the kubeconfig's context")?,
        };
        let client = connection::client(config).context("home")?;
        let uid = call::bounded(crate::cli::cluster::target::CALL, identity::read(client.clone())).await;
        let uid = uid.map_err(unreachable)?;
        let settings = config::load(client.clone(), &namespace).await?;
        let name = settings.home.clone();
        Ok(Home { client, name, uid, namespace, settings, flags: flags.clone() })
    }

    /// The controller, as its objects in targets name it.
    pub fn owner(&self) -> Owner<'_> {
        Owner { home: &self.name, home_uid: &self.uid, controller: &self.namespace }
    }

    /// `kubectl` with what leads it to the controller's namespace, for lines to copy.
    pub fn kubectl(&self) -> String {
        let mut line = "kubectl".to_owned();
        if let Some(file) = &self.flags.connection.kubeconfig {
            line += &format!(" --kubeconfig {}", file.display());
        }
        if let Some(context) = &self.flags.connection.context {
            line += &format!(" --context {context}");
        }
        line + &format!(" -n {}", self.namespace)
    }

    /// The flags that lead another `landfall cluster` to the same home, for lines to copy; each with a space before it.
    pub fn flags(&self) -> String {
        let mut line = String::new();
        if let Some(file) = &self.flags.connection.kubeconfig {
            line += &format!(" --kubeconfig {}", file.display());
        }
        if let Some(context) = &self.flags.connection.context {
            line += &format!(" --context {context}");
        }
        if let Some(namespace) = &self.flags.namespace {
            line += &format!(" -n {namespace}");
        }
        line
    }
}

fn unreachable(error: CallError) -> anyhow::Error {
    let hint = match &error {
        CallError::Refused(_) => "the command needs the right to get the namespace kube-system of the home cluster",
        CallError::Unreachable(_) => "name the home cluster with --kubeconfig, --context or KUBECONFIG",
    };
    hint::error(format!("the home cluster can't be asked who it is: {error}"), hint)
}
