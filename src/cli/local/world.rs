//! Starts clusters, policy and controller in this process, and ends them without leaving anything behind.

use std::path::PathBuf;

use anyhow::{Context, bail};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{DynamicObject, PostParams},
    core::GroupVersionKind,
    discovery::{Scope, pinned_kind},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    api::ids::ClusterName,
    cli::{
        interrupt::Interrupt,
        local::{
            files::Object,
            images::{self, Images},
            names::{NAMESPACE, Names},
        },
    },
    clusters::{Clusters, rest_config::Allowed},
    controller,
    local::{
        apiserver::{self, ApiServer},
        logs::Logs,
        runtime::{self, Runtime},
    },
    policy::{self, Policies, recorder::Sink},
};

/// Clusters in this process and the controller of the first.
pub struct World {
    /// The clusters, home first.
    pub clusters: Vec<Cluster>,
    /// The controller's policy.
    pub policies: Policies,
    connections: Clusters,
    controller: Option<JoinHandle<anyhow::Result<()>>>,
    images: JoinHandle<()>,
    ended: CancellationToken,
}

/// What the command line gives to the controller and its policy.
#[derive(Debug, Default)]
pub struct Given {
    /// The folder with policy modules.
    pub policy_folder: Option<PathBuf>,
    /// Where decisions are recorded.
    pub records: Sink,
    /// Where the controller tells how it is.
    pub listener: Option<TcpListener>,
}

/// One cluster.
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Its API.
    pub server: ApiServer,
    /// What its containers print.
    pub logs: Logs,
    runtime: Runtime,
}

impl World {
    /// Starts everything, with `objects` at home; workflows among them are left out. `None` if interrupted.
    ///
    /// # Errors
    /// If the machine can't do it, or an object is refused; what had started is ended then. The CRDs are built into the API
    /// servers.
    pub async fn start(
        names: &Names,
        objects: &[Object],
        given: Given,
        interrupt: &mut Interrupt,
    ) -> anyhow::Result<Option<World>> {
        let Given { policy_folder, records, listener } = given;
        let mut clusters = Vec::new();
        let begun = tokio::select! {
            begun = begin(&mut clusters, names, objects, (policy_folder, records)) => begun.map(Some),
            () = interrupt.received() => Ok(None),
        };
        let Ok(Some((policies, images))) = begun else {
            end(clusters).await;
            return begun.map(|_| None);
        };
        let home = clusters[0].server.client();
        let connections = Clusters::new(names.settings.home.clone(), home.clone(), Allowed::default(), Timestamp::now);
        for cluster in &clusters[1..] {
            connections.insert_client(cluster.name.clone(), cluster.server.client());
        }
        let ended = CancellationToken::new();
        let options = controller::Options {
            clusters: connections.clone(),
            policies: policies.clone(),
            namespace: names.controller_namespace.clone(),
            managed: None,
            settings: names.settings.clone(),
            listener,
            logs: None,
        };
        let controller = tokio::spawn(controller::run(options, ended.clone()));
        let images = tokio::spawn(images::keep(home, names.controller_namespace.to_string(), images));
        Ok(Some(World { clusters, policies, connections, controller: Some(controller), images, ended }))
    }

    /// The cluster of the controller.
    pub fn home(&self) -> &Cluster {
        &self.clusters[0]
    }

    /// Waits until the controller ends by itself, which it should not.
    pub async fn controller_ended(&mut self) -> anyhow::Error {
        let Some(controller) = &mut self.controller else { return std::future::pending().await };
        let ended = controller.await;
        self.controller = None;
        match ended {
            Ok(Ok(())) => anyhow::anyhow!("the controller ended"),
            Ok(Err(error)) => error.context("the controller ended"),
            Err(error) => anyhow::Error::new(error).context("the controller ended"),
        }
    }

    /// Ends everything: the controller first, so that it does not see its clusters go.
    pub async fn shutdown(self) {
        self.ended.cancel();
        self.images.abort();
        if let Some(controller) = self.controller {
            match controller.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!("the controller ended badly: {error:#}"),
                Err(error) => tracing::warn!("the controller ended badly: {error}"),
            }
        }
        self.connections.shutdown().await;
        self.policies.end_records().await;
        end(self.clusters).await;
    }
}

/// Starts the clusters, which are put into `clusters` one by one, and policy; then creates the objects.
async fn begin(
    clusters: &mut Vec<Cluster>,
    names: &Names,
    objects: &[Object],
    (folder, records): (Option<PathBuf>, Sink),
) -> anyhow::Result<(Policies, watch::Sender<Images>)> {
    let configuration = configuration(objects)?;
    let options =
        policy::Options { folder, config: names.settings.policy.clone(), records, ..policy::Options::default() };
    let policies = Policies::start_aside(options);
    let (images, read_images) = watch::channel(images::read(&configuration)?);
    for name in names.clusters() {
        clusters.push(start_cluster(name, names, read_images.clone())?);
    }
    let home = clusters[0].server.client();
    for object in objects.iter().filter(|object| !object.is_workflow() && !object.is_cluster_list()) {
        create(&home, object).await?;
    }
    Ok((policies.await?, images))
}

async fn end(clusters: Vec<Cluster>) {
    for cluster in clusters {
        cluster.runtime.shutdown().await;
        cluster.server.end_watches();
    }
}

/// Creates an object, in [`NAMESPACE`] if it names none and its kind needs one; gives back what the API made of it.
///
/// # Errors
/// What the API answered.
pub async fn create(client: &Client, object: &Object) -> anyhow::Result<DynamicObject> {
    let what = || format!("{}: {} {}", object.origin, object.kind(), object.name());
    let dynamic: DynamicObject = serde_json::from_value(object.value.clone()).with_context(what)?;
    let types = dynamic.types.clone().unwrap_or_default();
    let kind = GroupVersionKind::try_from(&types).with_context(what)?;
    let (resource, capabilities) = match pinned_kind(client, &kind).await {
        Ok(found) => found,
        Err(error) if is_unknown(&error) => {
            bail!("{}: the local cluster has no kind {} in {}", object.origin, kind.kind, kind.api_version());
        }
        Err(error) => return Err(error).with_context(what),
    };
    let namespace = if object.namespace().is_empty() { NAMESPACE } else { object.namespace() };
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Namespaced => Api::namespaced_with(client.clone(), namespace, &resource),
        Scope::Cluster => Api::all_with(client.clone(), &resource),
    };
    match api.create(&PostParams::default(), &dynamic).await {
        // A namespace or account that a file holds exists already, since the file names it.
        Err(kube::Error::Api(status)) if status.is_already_exists() && is_given(object) => {
            api.get(object.name()).await.with_context(what)
        }
        created => created.with_context(what),
    }
}

/// Whether the answer is that there is no such kind, or nothing at all in its group and version.
fn is_unknown(error: &kube::Error) -> bool {
    match error {
        kube::Error::Discovery(_) => true,
        // The answer for a whole group has no reason, only this code.
        kube::Error::Api(status) => status.code == 404,
        _ => false,
    }
}

/// Whether every cluster has it from the start.
fn is_given(object: &Object) -> bool {
    ["Namespace", "ServiceAccount", "CustomResourceDefinition"].contains(&object.kind())
}

fn start_cluster(name: ClusterName, names: &Names, images: watch::Receiver<Images>) -> anyhow::Result<Cluster> {
    let logs = Logs::default();
    let server = ApiServer::new(apiserver::Options {
        name: name.to_string(),
        logs: logs.clone(),
        namespaces: names.namespaces.iter().map(ToString::to_string).collect(),
    });
    for namespace in &names.namespaces {
        for account in &names.service_accounts {
            server.ensure_service_account(namespace.as_str(), account);
        }
    }
    let client = server.client();
    let program = std::env::current_exe().context("finding this program, which pods are run by")?;
    let options = runtime::Options { images, ..runtime::Options::new(program) };
    let runtime = Runtime::start(client, logs.clone(), options)
        .with_context(|| format!("starting the runtime of cluster {name}"))?;
    Ok(Cluster { name, server, logs, runtime })
}

/// The controller's configuration; empty if the files hold none.
fn configuration(objects: &[Object]) -> anyhow::Result<ConfigMap> {
    match objects.iter().find(|object| object.is_configuration()) {
        Some(object) => serde_json::from_value(object.value.clone())
            .with_context(|| format!("{}: ConfigMap {}", object.origin, object.name())),
        None => Ok(ConfigMap::default()),
    }
}
