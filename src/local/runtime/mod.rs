//! Runs the pods of one API server, ours or a real one, as processes of this machine.
//!
//! ```text
//! watch ─> pod (one task each) ─> prepare (objects, env, volumes, images) ─> container (one task each) ─> process ══ socket ══ sandbox
//!            └─> status                                                                                    this process   child
//! ```
//!
//! A container is kept apart by namespaces, not from ill will but from accidents: it has its own processes and its own root
//! file system, which is the machine's with a writable layer on top, and it shares the machine's network.
//! Images aren't pulled: commands are those of the machine, and what an image runs by itself must be known ([`images`]).
//! Probes, resource limits and the device plugins of a kubelet are deliberately not here.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{Config, Event, watcher},
    },
};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

pub use crate::local::runtime::pod::delete;
use crate::local::{
    logs::Logs,
    runtime::{folder::Folder, images::ImageCommand, machine::Machine, pod::View},
};

mod applets;
mod container;
mod env;
pub mod folder;
pub mod images;
mod machine;
mod objects;
mod pod;
mod prepare;
mod process;
mod root;
mod sandbox;
mod spec;
mod status;
mod volumes;

/// How the pods are run.
pub struct Options {
    /// This program: it is started again for each container, see [`entry`].
    pub program: PathBuf,
    /// What images run by themselves, by their exact names; read anew for each pod.
    pub images: watch::Receiver<BTreeMap<String, ImageCommand>>,
    /// The name of the one node.
    pub node_name: String,
    /// Pods that nobody has placed are left alone: there is a scheduler that will.
    pub bound_only: bool,
    /// A folder that is made for volumes and removed at the end. It must not exist, or be empty.
    pub folder: PathBuf,
}

impl Options {
    /// Options with a folder among the system's temporary ones and no image but the built-in ones.
    pub fn new(program: PathBuf) -> Options {
        Options {
            program,
            images: watch::Sender::new(BTreeMap::new()).subscribe(),
            node_name: "local".to_owned(),
            bound_only: false,
            folder: folder::temporary(),
        }
    }
}

/// A running runtime. Dropping it ends all pods soon after; [`Runtime::shutdown`] waits for that.
pub struct Runtime {
    cancel: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Runtime {
    /// Starts to run the pods of the API server behind `client`; what they print goes to `logs`.
    ///
    /// # Errors
    /// If the folder for volumes can't be made.
    pub fn start(client: Client, logs: Logs, options: Options) -> anyhow::Result<Runtime> {
        let folder = options.folder.clone();
        let taken = folder::take(options.folder).with_context(|| format!("can't make {}", folder.display()))?;
        let machine = Arc::new(Machine::new(options.program, folder.clone()));
        let Options { images, node_name, bound_only, .. } = options;
        let shared = Arc::new(Shared { client, logs, machine, images, node_name, bound_only, folder });
        let cancel = CancellationToken::new();
        let task = tokio::spawn(watch_pods(shared, taken, cancel.clone()));
        Ok(Runtime { cancel, task: Some(task) })
    }

    /// Kills everything that runs and removes what was made for it. Nothing is written to the API server.
    pub async fn shutdown(mut self) {
        self.cancel.cancel();
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
        {
            tracing::warn!("the local runtime ended badly: {error}");
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// To be called first in `main`: if this process was started as the sandbox of a container or as a program that is built in
/// (`argosay`), it does that work and returns the exit code.
pub fn entry(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let program = arguments.next()?;
    if let Some(applet) = applets::named(&program) {
        return Some(applet(arguments.collect()));
    }
    (arguments.next()?.to_str() == Some(sandbox::COMMAND)).then(|| sandbox::run(arguments.next()))
}

/// This machine's, as Kubernetes calls it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What the tasks of all pods share.
struct Shared {
    client: Client,
    logs: Logs,
    machine: Arc<Machine>,
    images: watch::Receiver<BTreeMap<String, ImageCommand>>,
    node_name: String,
    bound_only: bool,
    folder: PathBuf,
}

impl Shared {
    /// Whether the pod may run on the one node, by its labels.
    fn fits(&self, pod: &Pod) -> bool {
        let architecture = architecture();
        let system = std::env::consts::OS;
        let wanted = pod.spec.iter().flat_map(|spec| spec.node_selector.iter().flatten());
        wanted.into_iter().all(|(label, value)| match label.as_str() {
            "kubernetes.io/os" | "beta.kubernetes.io/os" => value == system,
            "kubernetes.io/arch" | "beta.kubernetes.io/arch" => value == architecture,
            "kubernetes.io/hostname" => *value == self.node_name,
            _ => false,
        })
    }

    /// Whether the pod is ours to run: not yet placed, or placed here.
    fn concerns(&self, pod: &Pod) -> bool {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        (node.is_empty() && !self.bound_only) || node == self.node_name
    }
}

async fn watch_pods(shared: Arc<Shared>, taken: Folder, cancel: CancellationToken) {
    // The first pod shall not wait for the trial.
    let machine = Arc::clone(&shared.machine);
    let trial = tokio::spawn(async move { machine.isolation().await });
    let place = taken.path.clone();
    let sweep = tokio::task::spawn_blocking(move || folder::sweep(&place));
    let mut events =
        std::pin::pin!(watcher(Api::<Pod>::all(shared.client.clone()), Config::default()).default_backoff());
    let mut pods = Pods { views: HashMap::new(), listed: Vec::new(), tasks: JoinSet::new(), shared, cancel };
    loop {
        tokio::select! {
            () = pods.cancel.cancelled() => break,
            Some(_) = pods.tasks.join_next() => {}
            event = events.next() => match event {
                Some(Ok(event)) => pods.note(event),
                Some(Err(error)) => tracing::warn!("can't watch pods: {error}"),
                None => break,
            },
        }
    }
    pods.cancel.cancel();
    // It is short, and a process of it must not outlive us.
    let _ = trial.await;
    let _ = sweep.await;
    while pods.tasks.join_next().await.is_some() {}
    // Dropping it removes it. If this task is dropped instead, the same happens then.
    let _ = tokio::task::spawn_blocking(move || drop(taken)).await;
}

/// All pods of the API server that concern this runtime, by UID.
struct Pods {
    shared: Arc<Shared>,
    cancel: CancellationToken,
    views: HashMap<String, watch::Sender<View>>,
    /// Those seen in the list that is being read.
    listed: Vec<String>,
    tasks: JoinSet<()>,
}

impl Pods {
    fn note(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(pod) => {
                self.listed.extend(pod.uid());
                self.seen(pod);
            }
            Event::InitDone => {
                let lost: Vec<String> = self.views.keys().filter(|uid| !self.listed.contains(uid)).cloned().collect();
                for uid in lost {
                    self.gone(&uid);
                }
            }
            Event::Apply(pod) => self.seen(pod),
            Event::Delete(pod) => self.gone(&pod.uid().unwrap_or_default()),
        }
    }

    fn seen(&mut self, pod: Pod) {
        let Some(uid) = pod.uid() else { return };
        if let Some(view) = self.views.get(&uid) {
            if view.receiver_count() == 0 {
                self.bury(pod);
            } else {
                view.send_replace(View { pod, gone: false });
            }
            return;
        }
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        let ended = matches!(phase, "Succeeded" | "Failed");
        if ended || !self.shared.concerns(&pod) {
            return;
        }
        let (sender, receiver) = watch::channel(View { pod, gone: false });
        self.views.insert(uid, sender);
        self.tasks.spawn(pod::run(Arc::clone(&self.shared), receiver, self.cancel.clone()));
    }

    /// A pod whose task has ended may still wait for its kubelet to delete it.
    fn bury(&mut self, pod: Pod) {
        // Somebody else may have placed it in the meantime.
        if !self.shared.concerns(&pod) {
            return;
        }
        let waits = pod.metadata.deletion_grace_period_seconds.is_some_and(|seconds| seconds != 0);
        if waits && pod.metadata.deletion_timestamp.is_some() {
            let api = Api::namespaced(self.shared.client.clone(), &pod.namespace().unwrap_or_default());
            self.tasks.spawn(async move { pod::delete(&api, &pod).await });
        }
    }

    fn gone(&mut self, uid: &str) {
        if let Some(view) = self.views.remove(uid) {
            view.send_modify(|view| view.gone = true);
            self.shared.logs.remove(uid);
        }
    }
}
