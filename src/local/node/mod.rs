//! The process runtime as a node of an API server that we don't run: it registers as a Node, runs the pods that are bound to
//! it and, if wanted, those that nobody has placed, and serves what they print as a kubelet does. It only needs a client.
//!
//! At the end nothing of it is left: pods that still ran are told to have failed, and the Node is deleted.

mod kubelet;
mod object;
mod rest;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use k8s_openapi::api::{coordination::v1::Lease, core::v1};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::local::{
    logs::Logs,
    node::object::Facts,
    runtime::{self, Runtime},
};

/// Where nodes tell that they live.
const NAMESPACE_LEASES: &str = "kube-node-lease";
/// How often it is told, as kubelets do; after four times that nobody believes any more that the node lives.
const BEAT: Duration = Duration::from_secs(10);
/// Of so many beats one tells of the whole Node: somebody may have deleted it.
const BEATS_OF_NODE: u32 = 6;
/// Who writes, for server-side apply.
const MANAGER: &str = "landfall-local-node";

/// What makes a node.
pub struct Options {
    /// How pods are run; the node has the name that stands there.
    pub runtime: runtime::Options,
    /// Where the API server asks for logs, and the address by which it reaches that.
    pub listener: TcpListener,
    /// See there.
    pub address: SocketAddr,
    /// As whom the listener shows itself, and whom it lets in.
    pub acceptor: TlsAcceptor,
}

/// A node that runs. [`Node::shutdown`] ends it; dropping it leaves the Node and its pods as a machine that broke down does.
pub struct Node {
    client: Client,
    facts: Facts,
    uid: Option<String>,
    runtime: Runtime,
    tasks: JoinSet<()>,
}

impl Node {
    /// Registers it and starts to run pods.
    ///
    /// # Errors
    /// If the API server refuses, or has another node of this name, or the folder for volumes can't be made.
    pub async fn start(client: Client, options: Options) -> anyhow::Result<Node> {
        let Options { runtime, listener, address, acceptor } = options;
        let facts = Facts { name: runtime.node_name.clone(), address };
        let uid = register(&client, &facts).await?;
        let logs = Logs::default();
        let runtime = Runtime::start(client.clone(), logs.clone(), runtime)?;
        let mut tasks = JoinSet::new();
        let kubelet = kubelet::Kubelet { client: client.clone(), logs, node: facts.name.clone() };
        tasks.spawn(kubelet::serve(listener, acceptor, Arc::new(kubelet)));
        tasks.spawn(live(client.clone(), facts.clone()));
        Ok(Node { client, facts, uid, runtime, tasks })
    }

    /// Ends all processes, tells of the pods that they failed, and deletes the Node.
    ///
    /// # Errors
    /// What could not be told to the API server; nothing runs any more all the same.
    pub async fn shutdown(mut self) -> anyhow::Result<()> {
        self.tasks.shutdown().await;
        self.runtime.shutdown().await;
        rest::fail(&self.client, &self.facts.name).await?;
        let preconditions = Preconditions { uid: self.uid, ..Preconditions::default() };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let nodes: Api<v1::Node> = Api::all(self.client.clone());
        match nodes.delete(&self.facts.name, &params).await {
            Ok(_) => {}
            // Somebody did that, or made another one of the name.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(error).with_context(|| format!("deleting node {}", self.facts.name)),
        }
        let leases: Api<Lease> = Api::namespaced(self.client, NAMESPACE_LEASES);
        match leases.delete(&self.facts.name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            deleted => deleted.map(drop).with_context(|| format!("deleting the lease of node {}", self.facts.name)),
        }
    }
}

/// Makes the Node what it is, unless it is another's; its UID.
async fn register(client: &Client, facts: &Facts) -> anyhow::Result<Option<String>> {
    let nodes: Api<v1::Node> = Api::all(client.clone());
    let found = nodes.get_opt(&facts.name).await.with_context(|| format!("reading node {}", facts.name))?;
    if found.is_some_and(|node| node.labels().get(object::LABEL).map(String::as_str) != Some(object::LABEL_VALUE)) {
        bail!("there is another node {} in the cluster", facts.name);
    }
    let parameters = PatchParams::apply(MANAGER).force();
    let made = nodes.patch(&facts.name, &parameters, &Patch::Apply(facts.object())).await;
    let uid = made.with_context(|| format!("registering node {}", facts.name))?.uid();
    let told = nodes.patch_status(&facts.name, &parameters, &Patch::Apply(facts.status())).await;
    told.with_context(|| format!("telling how node {} is", facts.name))?;
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE_LEASES);
    let told = leases.patch(&facts.name, &parameters, &Patch::Apply(facts.lease())).await;
    told.with_context(|| format!("telling that node {} lives", facts.name))?;
    Ok(uid)
}

/// Tells again and again that it lives.
async fn live(client: Client, facts: Facts) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE_LEASES);
    let parameters = PatchParams::apply(MANAGER).force();
    let mut beats = 0_u32;
    loop {
        tokio::time::sleep(BEAT).await;
        beats = beats.wrapping_add(1);
        let told = if beats.is_multiple_of(BEATS_OF_NODE) {
            register(&client, &facts).await.map(drop)
        } else {
            let told = leases.patch(&facts.name, &parameters, &Patch::Apply(facts.lease())).await;
            told.map(drop).map_err(anyhow::Error::new)
        };
        if let Err(error) = told {
            tracing::warn!("the API server does not know that the node lives: {error:#}");
        }
    }
}
