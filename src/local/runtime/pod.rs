//! One pod from the moment it is seen until nothing of it is left: init containers, containers, status, deadline, deletion.

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::local::runtime::{
    Shared,
    container::{Container, Event, Order, Place},
    objects::{self, Unready},
    prepare::{self, Ready},
    status::{State, Whole},
};

/// Time to end in peace if the pod doesn't say, as in Kubernetes.
const GRACE_DEFAULT: Duration = Duration::from_secs(30);
/// Time to end in peace for a pod that is already gone from the API server, as with the kubelet.
const GRACE_GONE: Duration = Duration::from_secs(2);
/// First pause before a call that failed is made again; it doubles.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// How often a status is offered to an API server that doesn't take it.
const RETRIES: u32 = 10;

/// What is known of a pod from the API server.
#[derive(Clone)]
pub struct View {
    /// As it was last seen.
    pub pod: Pod,
    /// Whether it is there no more.
    pub gone: bool,
}

/// Why a pod shall not go on; the later the more urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    Deadline,
    Deleted,
    Gone,
    Cancelled,
}

/// Runs a pod; returns when nothing of it is left on this machine.
pub async fn run(shared: Arc<Shared>, view: watch::Receiver<View>, cancel: CancellationToken) {
    let pod = view.borrow().pod.clone();
    let namespace = pod.namespace().unwrap_or_default();
    let (init, main) = prepare::not_yet(&pod);
    let (sender, events) = mpsc::unbounded_channel();
    let mut runner = Runner {
        api: Api::namespaced(shared.client.clone(), &namespace),
        folder: shared.folder.join("pods").join(pod.uid().unwrap_or_default()),
        whole: Whole { start: Timestamp::now(), init, main, failure: None, unschedulable: None },
        written: None,
        ending: None,
        order: watch::Sender::new(Order::Run),
        containers: JoinSet::new(),
        sender,
        events,
        shared,
        pod,
        view,
        cancel,
    };
    runner.live().await;
    // Whatever the reason to be here: containers that still run end now.
    let _ = runner.order.send_if_modified(|order| std::mem::replace(order, Order::Kill) != Order::Kill);
    while runner.containers.join_next().await.is_some() {}
    if runner.folder.exists()
        && let Err(error) = tokio::fs::remove_dir_all(&runner.folder).await
    {
        tracing::warn!("can't remove {}: {error}", runner.folder.display());
    }
}

struct Runner {
    shared: Arc<Shared>,
    api: Api<Pod>,
    pod: Pod,
    folder: PathBuf,
    view: watch::Receiver<View>,
    cancel: CancellationToken,
    whole: Whole,
    written: Option<PodStatus>,
    ending: Option<Why>,
    order: watch::Sender<Order>,
    containers: JoinSet<()>,
    sender: mpsc::UnboundedSender<(Place, Event)>,
    events: mpsc::UnboundedReceiver<(Place, Event)>,
}

impl Runner {
    async fn live(&mut self) {
        if self.pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running") {
            // Its processes belonged to a runtime that is no more.
            self.fail("ContainerStatusUnknown", "the processes of this pod are gone".to_owned()).await;
            return self.bury().await;
        }
        if !self.shared.fits(&self.pod) {
            self.whole.unschedulable =
                Some("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.".to_owned());
            self.write().await;
            let why = self.otherwise().await;
            self.end(why).await;
            return self.bury().await;
        }
        if !self.bind().await {
            return;
        }
        if let Some(ready) = self.prepare().await {
            self.go(ready).await;
        }
        self.bury().await;
    }

    /// Takes the pod, as a scheduler does, unless another did. Without it deleting a pod gives it no time to end in peace.
    async fn bind(&self) -> bool {
        if self.pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()) {
            return true;
        }
        let name = self.pod.name_any();
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": self.pod.namespace(), "uid": self.pod.uid()},
            "target": {"apiVersion": "v1", "kind": "Node", "name": self.shared.node_name},
        });
        let parameters = PostParams::default();
        match self.api.create_subresource::<Value, Value>("binding", &name, &parameters, &binding).await {
            Ok(_) => true,
            // It has a place by now, or is another pod. If it was we who gave it that, its answer having got lost, it
            // is one of ours.
            Err(kube::Error::Api(status)) if status.code == 409 => self.is_ours().await,
            // A pod that can't be taken can still be run; if it is gone, that is told by the watch.
            Err(error) => {
                tracing::debug!(pod = name, "can't bind: {error}");
                true
            }
        }
    }

    async fn is_ours(&self) -> bool {
        let now = self.api.get_opt(&self.pod.name_any()).await.ok().flatten();
        now.filter(|now| now.uid() == self.pod.uid()).and_then(|now| now.spec?.node_name).as_ref()
            == Some(&self.shared.node_name)
    }

    /// Gets everything ready; `None` if the pod ended before that.
    async fn prepare(&mut self) -> Option<Ready> {
        let mut pause = RETRY_FIRST;
        loop {
            let error = match prepare::prepare(&self.shared, &self.pod, &self.folder).await {
                Ok(ready) => return Some(ready),
                Err(error) => error,
            };
            let client = self.shared.client.clone();
            let namespace = self.pod.namespace().unwrap_or_default();
            let why = match error {
                Unready::Refused(message) => {
                    self.fail("CreateContainerError", message).await;
                    return None;
                }
                Unready::Waiting { reference, seen, message } => {
                    self.wait_because("CreateContainerConfigError", &message);
                    self.write().await;
                    tokio::select! {
                        () = objects::changed(&client, &namespace, &reference, seen.as_deref()) => continue,
                        why = self.otherwise() => why,
                    }
                }
                Unready::Unanswered(error) => {
                    tracing::warn!(pod = self.pod.name_any(), "can't read what the pod needs: {error}");
                    pause *= 2;
                    tokio::select! {
                        () = sleep(pause) => continue,
                        why = self.otherwise() => why,
                    }
                }
            };
            self.end(why).await;
            return None;
        }
    }

    /// Runs the containers to their end.
    async fn go(&mut self, ready: Ready) {
        for (number, init) in ready.init.into_iter().enumerate() {
            self.start(init);
            self.attend(move |whole| match whole.init.get(number) {
                Some(init) if init.sidecar => init.code().is_some() || matches!(init.state, State::Running { .. }),
                Some(init) => init.code().is_some(),
                None => true,
            })
            .await;
            let failed = self.whole.init[number].code().is_some_and(|code| code != 0);
            if failed || self.ending.is_some() {
                break;
            }
        }
        if self.whole.phase() != "Failed" && self.ending.is_none() {
            for main in ready.main {
                self.start(main);
            }
            self.attend(|whole| whole.main.iter().all(|main| main.code().is_some())).await;
        }
        // Those that run beside the others end after them.
        let sidecars = |whole: &Whole| !whole.init.iter().any(|it| matches!(it.state, State::Running { .. }));
        if !sidecars(&self.whole) {
            let grace = self.grace();
            self.order.send_if_modified(|order| {
                *order == Order::Run && {
                    *order = Order::End { grace };
                    true
                }
            });
            self.attend(sidecars).await;
        }
        self.write().await;
    }

    fn start(&mut self, container: Container) {
        let run = container.run(
            Arc::clone(&self.shared.machine),
            self.shared.logs.clone(),
            self.order.subscribe(),
            self.sender.clone(),
        );
        self.containers.spawn(run);
    }

    /// Notes what happens to the containers until `done`, and writes it. When the pod is to end, waits for those that run.
    async fn attend(&mut self, done: impl Fn(&Whole) -> bool) {
        loop {
            while let Ok(event) = self.events.try_recv() {
                self.note(event);
            }
            let over = done(&self.whole) || (self.ending.is_some() && !self.whole.runs());
            // The last state of all is written once everything has ended; a short pod costs one write less so.
            if over {
                return;
            }
            self.write().await;
            let otherwise = self.otherwise();
            tokio::select! {
                Some(event) = self.events.recv() => self.note(event),
                why = otherwise => self.end(why).await,
            }
        }
    }

    fn note(&mut self, (place, event): (Place, Event)) {
        let progress = match place {
            Place::Init(number) => self.whole.init.get_mut(number),
            Place::Main(number) => self.whole.main.get_mut(number),
        };
        let Some(progress) = progress else { return };
        match event {
            Event::Started { id, since } => {
                progress.restarts += i32::from(progress.last.is_some());
                progress.state = State::Running { id, since };
            }
            Event::Ended { ended, again: None } => progress.state = State::Ended(ended),
            Event::Ended { ended, again: Some(pause) } => {
                progress.last = Some(ended);
                let message = format!("back-off {pause:?} restarting failed container={}", progress.name);
                progress.state = State::Waiting { reason: "CrashLoopBackOff".to_owned(), message: Some(message) };
            }
        }
    }

    /// Waits for a reason not to go on that is more urgent than the one there is.
    fn otherwise(&self) -> impl Future<Output = Why> + use<> {
        otherwise(self.view.clone(), self.cancel.clone(), self.whole.start, self.ending)
    }

    /// Lets the containers end for that reason.
    async fn end(&mut self, why: Why) {
        self.ending = Some(why);
        let order = match why {
            Why::Deadline => {
                let message = "Pod was active on the node longer than the specified deadline".to_owned();
                self.whole.failure = Some(("DeadlineExceeded".to_owned(), message));
                Order::End { grace: self.grace() }
            }
            Why::Deleted => Order::End { grace: self.grace() },
            Why::Gone => Order::End { grace: GRACE_GONE },
            Why::Cancelled => Order::Kill,
        };
        self.order.send_replace(order);
        if why == Why::Deadline && !self.whole.runs() {
            self.write().await;
        }
    }

    /// How long the containers may take to end.
    fn grace(&self) -> Duration {
        let view = self.view.borrow();
        let of_deletion = view.pod.metadata.deletion_grace_period_seconds;
        let of_pod = view.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        let seconds = of_deletion.or(of_pod).and_then(|seconds| u64::try_from(seconds).ok());
        seconds.map_or(GRACE_DEFAULT, Duration::from_secs)
    }

    fn wait_because(&mut self, reason: &str, message: &str) {
        for progress in self.whole.init.iter_mut().chain(&mut self.whole.main) {
            progress.state = State::Waiting { reason: reason.to_owned(), message: Some(message.to_owned()) };
        }
    }

    async fn fail(&mut self, reason: &str, message: String) {
        self.wait_because(reason, &message);
        self.whole.failure = Some((reason.to_owned(), message));
        self.write().await;
    }

    /// Writes the status if it says something new. Nothing is written for a pod that is gone, nor when we are to end.
    async fn write(&mut self) {
        let status = self.whole.status(self.written.as_ref(), Timestamp::now());
        let unwanted = self.cancel.is_cancelled() || self.view.borrow().gone;
        if unwanted || self.written.as_ref() == Some(&status) {
            return;
        }
        // The UID keeps a pod of the same name that came after from getting this status.
        let patch = json!({"metadata": {"uid": self.pod.uid()}, "status": status});
        let mut pause = RETRY_FIRST;
        for _ in 0..RETRIES {
            let patch = Patch::Merge(&patch);
            match self.api.patch_status(&self.pod.name_any(), &PatchParams::default(), &patch).await {
                Ok(_) => break,
                Err(kube::Error::Api(answer)) if (400..500).contains(&answer.code) && answer.code != 429 => {
                    // 404 and 409 mean that the pod is gone, which the watch tells as well.
                    tracing::debug!(pod = self.pod.name_any(), "the status was refused: {answer}");
                    break;
                }
                Err(error) => {
                    tracing::warn!(pod = self.pod.name_any(), "can't write the status: {error}");
                    tokio::select! {
                        () = sleep(pause) => pause *= 2,
                        () = self.cancel.cancelled() => break,
                    }
                }
            }
        }
        self.written = Some(status);
    }

    /// Takes a pod that was deleted, and has ended, off the API server.
    async fn bury(&mut self) {
        let doomed = {
            let view = self.view.borrow();
            !view.gone && view.pod.metadata.deletion_timestamp.is_some()
        };
        if doomed && !self.cancel.is_cancelled() {
            delete(&self.api, &self.pod).await;
        }
    }
}

async fn otherwise(
    mut view: watch::Receiver<View>,
    cancel: CancellationToken,
    start: Timestamp,
    ending: Option<Why>,
) -> Why {
    loop {
        let (reason, deadline) = {
            let view = view.borrow_and_update();
            let deleted = view.pod.metadata.deletion_timestamp.is_some().then_some(Why::Deleted);
            let reason = if view.gone { Some(Why::Gone) } else { deleted };
            (reason, view.pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds))
        };
        if let Some(why) = reason.filter(|why| ending.is_none_or(|ending| ending < *why)) {
            return why;
        }
        let left = deadline.filter(|_| ending.is_none()).map(|seconds| {
            let end = start.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
            Duration::try_from(end.duration_since(Timestamp::now())).unwrap_or_default()
        });
        let deadline = async {
            match left {
                Some(left) => sleep(left).await,
                None => std::future::pending().await,
            }
        };
        let running = ending != Some(Why::Cancelled);
        tokio::select! {
            // Whoever watched the API server for us is gone.
            changed = view.changed(), if running => if changed.is_err() { return Why::Cancelled },
            () = cancel.cancelled(), if running => return Why::Cancelled,
            () = deadline => return Why::Deadline,
        }
    }
}

/// Deletes a pod of which nothing runs.
pub async fn delete(api: &Api<Pod>, pod: &Pod) {
    let preconditions = Preconditions { uid: pod.uid(), ..Preconditions::default() };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }.grace_period(0);
    if let Err(error) = api.delete(&pod.name_any(), &params).await {
        tracing::debug!(pod = pod.name_any(), "can't delete: {error}");
    }
}
