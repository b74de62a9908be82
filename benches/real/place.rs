//! A home cluster with our controller as a process of its own, other clusters, and the workflows that are run there.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Pod, Secret},
    rbac::v1::ClusterRoleBinding,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use landfall::api::workflow::Workflow;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    process,
    real::{self, access::User, cluster::RealCluster, kubelet::Kubelet},
};

/// Where the workflows and all pods are.
pub const NAMESPACE: &str = "argo";
/// Creates under way at once, as many as a busy client makes.
const CREATES: usize = 50;
/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The place. Everything of it ends when this is dropped.
pub struct Place<const COUNT: usize> {
    /// The first is home; the others are named `other-1`, `other-2`.
    pub clusters: [RealCluster; COUNT],
    /// Whom the controller is at home.
    pub user: User,
    /// Whom it is elsewhere, in the order of the clusters without the first.
    pub users_elsewhere: Vec<User>,
    _kubelets: Vec<Kubelet>,
    controller: Child,
    folder: TempDir,
}

impl<const COUNT: usize> Place<COUNT> {
    /// Starts all of it. `known` of the other clusters are in the Secret from the start.
    pub async fn start(known: usize) -> anyhow::Result<Place<COUNT>> {
        let clusters: [RealCluster; COUNT] =
            real::own_clusters(&[]).await.context("the programs of a Kubernetes control plane are needed")?;
        for cluster in &clusters {
            cluster.make_namespace(NAMESPACE).await;
        }
        let home = &clusters[0];
        home.install_crds().await;
        let user = home.new_user();
        allow_all(home, &user).await?;
        let mut users_elsewhere = Vec::new();
        for cluster in &clusters[1..] {
            let user = cluster.new_user();
            allow_all(cluster, &user).await?;
            users_elsewhere.push(user);
        }
        let kubelets = clusters.iter().map(|cluster| Kubelet::start(cluster.admin(), NAMESPACE)).collect();
        allow_pods(home).await?;
        let folder = tempfile::tempdir()?;
        let controller = run_controller(&folder, &home.kubeconfig("home", &user.token))?;
        let place = Place { clusters, _kubelets: kubelets, user, users_elsewhere, controller, folder };
        place.know(known).await?;
        Ok(place)
    }

    /// The home cluster.
    pub fn home(&self) -> &RealCluster {
        &self.clusters[0]
    }

    /// Puts so many of the other clusters into the Secret.
    pub async fn know(&self, count: usize) -> anyhow::Result<()> {
        let mut data = BTreeMap::new();
        for (index, user) in self.users_elsewhere.iter().enumerate().take(count) {
            let config = self.clusters[index + 1].rest_config(&user.token).to_string();
            data.insert(format!("other-{}", index + 1), STANDARD.encode(config));
        }
        let secrets: Api<Secret> = Api::namespaced(self.home().admin(), NAMESPACE);
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "clusters"}, "data": data});
        secrets.patch("clusters", &PatchParams::apply("bench").force(), &Patch::Apply(secret)).await?;
        Ok(())
    }

    /// Time that the controller has spent on processors.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        process::cpu_time(&self.controller.id().to_string())
    }

    /// Memory of the controller that is in use now, in MB.
    pub fn memory(&self) -> anyhow::Result<f64> {
        Ok(process::resident_bytes(&self.controller.id().to_string())? as f64 / 1e6)
    }

    /// What the controller has written in the home cluster, or in another.
    pub fn writes(&self, cluster: usize) -> Vec<real::audit::Entry> {
        let user = if cluster == 0 { &self.user } else { &self.users_elsewhere[cluster - 1] };
        self.clusters[cluster].audit(&user.name).into_iter().filter(real::audit::Entry::is_write).collect()
    }

    /// Creates workflows, and returns how long it took from the first create until the last has succeeded.
    pub async fn run(&self, workflows: Vec<Value>) -> anyhow::Result<Duration> {
        let names: HashSet<String> = workflows.iter().map(name_of).collect();
        let client = self.home().admin();
        let mut waiting = std::pin::pin!(wait(client.clone(), names));
        let begun = Instant::now();
        let mut creating = std::pin::pin!(create(client, workflows));
        let ended = async {
            tokio::select! {
                created = &mut creating => created?,
                waited = &mut waiting => bail!("nothing was created yet: {waited:?}"),
            }
            waiting.await
        };
        tokio::time::timeout(PATIENCE, ended).await.with_context(|| self.last_words())??;
        Ok(begun.elapsed())
    }

    /// What the controller said last.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl<const COUNT: usize> Drop for Place<COUNT> {
    fn drop(&mut self) {
        // It is gone already if that fails.
        drop(self.controller.kill());
        drop(self.controller.wait());
    }
}

fn run_controller(folder: &TempDir, kubeconfig: &str) -> anyhow::Result<Child> {
    let file = folder.path().join("kubeconfig");
    fs::write(&file, kubeconfig)?;
    let log = File::create(folder.path().join("log"))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_landfall"));
    command.arg("controller").arg("--kubeconfig").arg(file).args(["--namespace", NAMESPACE, "--listen", "off"]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(command.spawn()?)
}

/// Makes a user an administrator, whom audit sees.
async fn allow_all(cluster: &RealCluster, user: &User) -> anyhow::Result<()> {
    let bindings: Api<ClusterRoleBinding> = Api::all(cluster.admin());
    let binding = json!({
        "metadata": {"name": user.name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user.name}],
    });
    bindings.create(&PostParams::default(), &serde_json::from_value(binding)?).await?;
    Ok(())
}

/// The built-in module's rules: pods may go anywhere.
async fn allow_pods(home: &RealCluster) -> anyhow::Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(home.admin(), NAMESPACE);
    let roles = json!([{"namespace": NAMESPACE, "rules": [{"clusterNames": [""], "namespaces": [""]}]}]);
    let map = json!({
        "metadata": {"name": "workflow-controller-configmap"}, "data": {"namespaceRoles": roles.to_string()},
    });
    maps.create(&PostParams::default(), &serde_json::from_value(map)?).await?;
    Ok(())
}

/// Creates workflows.
pub async fn create(client: Client, workflows: Vec<Value>) -> anyhow::Result<()> {
    let api: Api<Workflow> = Api::namespaced(client, NAMESPACE);
    let one = async |workflow: Value| {
        api.create(&PostParams::default(), &serde_json::from_value(workflow)?).await?;
        anyhow::Ok(())
    };
    stream::iter(workflows).map(one).buffer_unordered(CREATES).try_collect::<()>().await
}

async fn wait(client: Client, mut names: HashSet<String>) -> anyhow::Result<()> {
    let api: Api<Workflow> = Api::namespaced(client, NAMESPACE);
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    while !names.is_empty() {
        // After an error it lists again.
        if let Ok(Some(Event::Apply(workflow) | Event::InitApply(workflow))) = events.try_next().await
            && workflow.status.finished_at.is_some()
            && names.remove(&workflow.name_any())
        {
            ensure!(workflow.status.phase.as_str() == "Succeeded", "{}: {:?}", workflow.name_any(), workflow.status);
        }
    }
    Ok(())
}

/// All pods of a cluster.
pub async fn pods(cluster: &RealCluster) -> anyhow::Result<Vec<Pod>> {
    Ok(Api::<Pod>::namespaced(cluster.admin(), NAMESPACE).list(&ListParams::default()).await?.items)
}

/// How many pods of a cluster run.
pub async fn running(cluster: &RealCluster) -> anyhow::Result<usize> {
    let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone());
    Ok(pods(cluster).await?.iter().filter(|pod| phase(pod).as_deref() == Some("Running")).count())
}

fn name_of(workflow: &Value) -> String {
    workflow["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// A workflow of these templates, which begins with the one named `main`.
pub fn workflow(name: &str, templates: &[Value]) -> Value {
    json!({"metadata": {"name": name}, "spec": {"entrypoint": "main", "templates": templates}})
}

/// A template of one pod.
pub fn pod(name: &str, cluster: Option<&str>, image: &str) -> Value {
    let mut template = json!({"name": name, "container": {"image": image, "command": ["main"]}});
    if let Some(cluster) = cluster {
        template["clusterName"] = json!(cluster);
    }
    template
}

/// A template of tasks without order, or, as a chain, each after the one before.
pub fn tasks(name: &str, template: &str, count: usize, is_chain: bool) -> Value {
    let task = |index: usize| {
        let depends = if is_chain && index > 0 { format!("task-{}", index - 1) } else { String::new() };
        json!({"name": format!("task-{index}"), "template": template, "depends": depends})
    };
    json!({"name": name, "dag": {"tasks": (0..count).map(task).collect::<Vec<_>>()}})
}
