//! `landfall local node`: this machine as a node of a cluster, whose pods run as processes.

use std::{
    io::Write as _,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;

use crate::{
    api::contract::CONFIG_MAP,
    cli::{
        Outcome,
        connection::{self, Connection},
        hint,
        interrupt::Interrupt,
        local::images,
        logging,
    },
    controller::logs::tls::Identity,
    local::{node, runtime},
};

/// Flags of `landfall local node`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall local node --kubeconfig admin.yaml
  landfall local node --context test --name node-1 --bound-only
  landfall local node --listen 192.0.2.7:10250 --client-certificate-authority kubelet-clients.pem

Registers a Node, and runs pods as processes of this machine with the rights of who started it: only for \
clusters whose pods you trust. No image is pulled; what images run by themselves is read from `images:` of the \
ConfigMap workflow-controller-configmap, as for `landfall local up`.

After Ctrl-C all processes are ended, their pods are Failed, and the Node is gone.")]
pub struct Arguments {
    /// The node's name
    #[arg(long, default_value = "landfall-local")]
    name: String,
    /// Leave pods alone that no scheduler has bound to this node
    #[arg(long)]
    bound_only: bool,
    /// Where the API server asks for logs; beyond this machine only with --client-certificate-authority
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The address by which the API server reaches this machine, if it is not that of --listen
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// The authority of the API server's client certificate, as PEM; without it everybody who reaches --listen may read logs
    #[arg(long, value_name = "FILE")]
    client_certificate_authority: Option<PathBuf>,
    /// The namespace of the ConfigMap that says what images run
    #[arg(long, value_name = "NAMESPACE", default_value = "landfall")]
    images_namespace: String,
    #[command(flatten)]
    connection: Connection,
}

/// Runs the node until the end is asked for.
///
/// # Errors
/// If the API server refuses, or the listener can't be had.
pub async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    logging::start(logging::Format::Text, logging::QUIET)?;
    let mut interrupt = Interrupt::listen()?;
    if !arguments.listen.ip().is_loopback() && arguments.client_certificate_authority.is_none() {
        return Err(hint::error(
            format!("--listen {}: everybody who reaches that could read the logs of all pods here", arguments.listen),
            "say with --client-certificate-authority who lets the API server in, or listen on 127.0.0.1",
        ));
    }
    let client = connection::client(arguments.connection.config().await?)?;
    let (sender, receiver) = tokio::sync::watch::channel(images::Images::new());
    let program = std::env::current_exe().context("finding this program")?;
    let runtime = runtime::Options {
        images: receiver,
        node_name: arguments.name.clone(),
        bound_only: arguments.bound_only,
        ..runtime::Options::new(program)
    };
    let listener = TcpListener::bind(arguments.listen).await;
    let listener = listener.with_context(|| format!("listening on {}", arguments.listen))?;
    let mut address = listener.local_addr().context("the address of the listener")?;
    address.set_ip(arguments.address.unwrap_or(address.ip()));
    let names = vec![arguments.name.clone(), address.ip().to_string()];
    let identity = match &arguments.client_certificate_authority {
        Some(file) => Identity::self_signed_for(names, file)?,
        None => Identity::self_signed(names)?,
    };
    let options = node::Options { runtime, listener, address, acceptor: identity.acceptor() };
    let started = tokio::select! {
        started = node::Node::start(client.clone(), options) => started?,
        () = interrupt.received() => return Ok(Outcome::Interrupted),
    };
    say(&format!("node {} runs pods; what images run is read from {CONFIG_MAP}", arguments.name));
    tokio::select! {
        () = images::keep(client, arguments.images_namespace, sender) => {}
        () = interrupt.received() => {}
    }
    started.shutdown().await?;
    say(&format!("node {} is gone", arguments.name));
    Ok(Outcome::Interrupted)
}

/// Whoever closed stderr doesn't want to know.
fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "local  │ {line}"));
}
