//! The pods of one workflow, in every target that its status names, and the containers in them that have printed something.

use std::{collections::HashSet, sync::Arc};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
};
use tokio::{
    sync::mpsc::{self, UnboundedSender},
    task::JoinSet,
    time::timeout,
};

use crate::{
    api::{
        contract::ANNOTATION_NODE_ID, contract::ANNOTATION_NODE_NAME, ids::Namespace, ids::Target, workflow::Workflow,
    },
    clusters::{cluster::Cluster, health::State},
    controller::{
        Controller,
        logs::{
            DRAIN,
            container::{self, Container},
            item::Item,
            job::{Gone, Job},
        },
        status,
        watch::{Change, Source, follow},
        workflows,
    },
};

/// What watches tell. There is one of these for each change of a few objects, so they may queue up.
enum News {
    /// The workflow is so; `None`: it is no more.
    Workflow(Box<Option<Workflow>>),
    /// These pods are there.
    Pods(Target, Vec<Pod>),
    /// Something about a place is wrong.
    Problem(Target, String),
    /// It is right.
    Right(Target),
}

/// Passes on what there is, pod by pod in the order in which they began.
///
/// # Errors
/// If nobody reads any more.
pub async fn once(job: &Arc<Job>, workflow: &Workflow) -> Result<(), Gone> {
    let mut found = Vec::new();
    for target in targets(&job.controller, workflow) {
        match list(job, &target).await {
            Ok(pods) => found.extend(pods.into_iter().map(|pod| (target.clone(), pod))),
            Err(problem) => job.complain(&target.to_string(), problem).await?,
        }
    }
    found.sort_by_key(|(_, pod)| pod.metadata.creation_timestamp.clone().map(|time| time.0));
    let containers = found.iter().flat_map(|(target, pod)| containers(job, target, pod));
    for container in containers {
        container::pass_on(job, &container).await?;
    }
    job.say(Item::End { end: workflow.status.phase.to_string() }).await
}

/// Passes on what there is and what comes, of pods as they begin, until the workflow has ended.
///
/// # Errors
/// If nobody reads any more.
pub async fn until_the_end(job: &Arc<Job>, mut workflow: Workflow) -> Result<(), Gone> {
    let (tell, mut news) = mpsc::unbounded_channel();
    let (mut watches, mut watched) = (JoinSet::new(), HashSet::new());
    let mut readers = Readers::default();
    watches.spawn(watch_workflow(job.clone(), tell.clone()));
    let mut is_there = true;
    loop {
        job.learn(&workflow);
        for target in targets(&job.controller, &workflow) {
            if watched.insert(target.clone()) {
                watches.spawn(watch_target(job.clone(), target, tell.clone()));
            }
        }
        if !is_there || workflow.status.phase.is_completed() {
            break;
        }
        tokio::select! {
            Some(news) = news.recv() => match news {
                News::Workflow(now) => match *now {
                    Some(now) => workflow = now,
                    None => is_there = false,
                },
                News::Pods(target, pods) => readers.begin(job, &target, &pods),
                News::Problem(target, problem) => job.complain(&target.to_string(), problem).await?,
                News::Right(target) => job.settle(&target.to_string()),
            },
            Some(read) = readers.tasks.join_next() => read.unwrap_or(Ok(()))?,
            () = job.gone() => return Err(Gone),
        }
    }
    watches.shutdown().await;
    job.ended.cancel();
    // The last pods may have come and gone faster than their events.
    for target in watched {
        match list(job, &target).await {
            Ok(pods) => readers.begin(job, &target, &pods),
            Err(problem) => job.complain(&target.to_string(), format!("the end may be missing: {problem}")).await?,
        }
    }
    readers.drain(job).await?;
    let end = if is_there { workflow.status.phase.to_string() } else { String::new() };
    job.say(Item::End { end }).await
}

/// The containers that are read, each once.
#[derive(Default)]
struct Readers {
    seen: HashSet<Container>,
    tasks: JoinSet<Result<(), Gone>>,
}

impl Readers {
    fn begin(&mut self, job: &Arc<Job>, target: &Target, pods: &[Pod]) {
        for container in pods.iter().flat_map(|pod| containers(job, target, pod)) {
            if self.seen.insert(container.clone()) {
                let job = job.clone();
                self.tasks.spawn(async move {
                    let Ok(_place) = job.places.acquire().await else { return Ok(()) };
                    container::pass_on(&job, &container).await
                });
            }
        }
    }

    /// What has been printed is passed on; a container that goes on after its workflow is not waited for.
    async fn drain(&mut self, job: &Job) -> Result<(), Gone> {
        let all = async {
            while let Some(read) = self.tasks.join_next().await {
                read.unwrap_or(Ok(()))?;
            }
            Ok(())
        };
        match timeout(DRAIN, all).await {
            Ok(drained) => drained,
            Err(_) => {
                let problem = format!("{} containers still run and are not followed any more", self.tasks.len());
                job.complain("end", problem).await
            }
        }
    }
}

/// Home and the workflow's own namespace, and wherever else its pods went.
fn targets(controller: &Controller, workflow: &Workflow) -> Vec<Target> {
    let namespace = workflow.metadata.namespace.clone().and_then(|name| Namespace::try_from(name).ok());
    let own = namespace.map(|namespace| Target { cluster: controller.home().clone(), namespace });
    let mut targets: Vec<Target> = own.into_iter().collect();
    for target in &workflow.status.targets {
        if !targets.contains(target) {
            targets.push(target.clone());
        }
    }
    targets
}

/// The containers of a pod that have begun, as far as they are wanted.
fn containers(job: &Job, target: &Target, pod: &Pod) -> Vec<Container> {
    let annotation = |key: &str| pod.annotations().get(key).map_or("", String::as_str);
    let name = pod.name_any();
    let (node, is_wanted) = job.node(&name, annotation(ANNOTATION_NODE_ID), annotation(ANNOTATION_NODE_NAME));
    let Some(spec) = pod.spec.as_ref().filter(|_| is_wanted) else { return Vec::new() };
    let names = spec.init_containers.iter().flatten().chain(&spec.containers).map(|container| &container.name);
    let names = names.filter(|name| job.wanted.container.as_ref().is_none_or(|wanted| wanted == *name));
    let begun = names.filter(|name| {
        let state = container::status(pod, name).and_then(|status| status.state.as_ref());
        state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    });
    begun
        .map(|container| Container {
            target: target.clone(),
            pod: name.clone(),
            uid: pod.uid().unwrap_or_default(),
            node: node.clone(),
            name: container.clone(),
        })
        .collect()
}

async fn list(job: &Job, target: &Target) -> Result<Vec<Pod>, String> {
    let Some(cluster) = job.controller.clusters.get(&target.cluster) else { return Err(why_none(job, target)) };
    let api: Api<Pod> = Api::namespaced(cluster.client(), target.namespace.as_str());
    let params = ListParams::default().labels(&job.selector());
    cluster.call(api.list(&params)).await.map(|list| list.items).map_err(|error| error.to_string())
}

/// Why there is no connection to a cluster.
fn why_none(job: &Job, target: &Target) -> String {
    match job.controller.clusters.states().get(&target.cluster) {
        Some(State::Unavailable { reason, .. }) => reason.clone(),
        Some(State::Ready) => "the cluster is about to be connected".to_owned(),
        None => "the cluster is not configured".to_owned(),
    }
}

async fn watch_workflow(job: Arc<Job>, tell: UnboundedSender<News>) {
    let home = job.controller.clusters.home().clone();
    let namespace = job.wanted.namespace.clone();
    let source = Source {
        api: Box::new(move |client| status::api(client, Some(namespace.as_str()))),
        labels: None,
        fields: Some(format!("metadata.name={}", job.wanted.workflow)),
        strip: |object: &mut DynamicObject| object.metadata.managed_fields = None,
    };
    let read = move |object: DynamicObject| {
        let is_it = object.metadata.uid.as_deref() == Some(&job.uid);
        is_it.then(|| workflows::decode(job.uid.as_str().into(), object).workflow)
    };
    follow(home, source, move |change| {
        let now = match change {
            Change::Listed(mut objects) => objects.pop().and_then(&read),
            Change::Applied(object) => read(object),
            Change::Deleted(_) => None,
            Change::Refused(_) => return,
        };
        // It fails only if nobody listens any more.
        drop(tell.send(News::Workflow(Box::new(now))));
    })
    .await;
}

/// Follows the pods of one target, over all connections to its cluster.
async fn watch_target(job: Arc<Job>, target: Target, tell: UnboundedSender<News>) {
    let mut versions = job.controller.clusters.subscribe();
    loop {
        versions.mark_unchanged();
        match job.controller.clusters.get(&target.cluster) {
            None => {
                drop(tell.send(News::Problem(target.clone(), why_none(&job, &target))));
                if versions.changed().await.is_err() {
                    return;
                }
            }
            Some(cluster) => tokio::select! {
                () = watch_pods(&job, cluster.clone(), &target, &tell) => {}
                () = tell_state(&cluster, &target, &tell) => {}
                () = cluster.cancelled().cancelled() => {}
            },
        }
    }
}

async fn watch_pods(job: &Job, cluster: Arc<Cluster>, target: &Target, tell: &UnboundedSender<News>) {
    let namespace = target.namespace.clone();
    let source = Source {
        api: Box::new(move |client| Api::namespaced(client, namespace.as_str())),
        labels: Some(job.selector()),
        fields: None,
        strip: |pod: &mut Pod| pod.metadata.managed_fields = None,
    };
    let (target, tell) = (target.clone(), tell.clone());
    follow(cluster, source, move |change| {
        let news = match change {
            Change::Listed(pods) => News::Pods(target.clone(), pods),
            Change::Applied(pod) => News::Pods(target.clone(), vec![pod]),
            Change::Deleted(_) => return,
            Change::Refused(problem) => News::Problem(target.clone(), problem),
        };
        drop(tell.send(news));
    })
    .await;
}

/// Says when the cluster can't be reached, for as long as it is connected.
async fn tell_state(cluster: &Cluster, target: &Target, tell: &UnboundedSender<News>) {
    loop {
        if let State::Unavailable { reason, .. } = cluster.state() {
            drop(tell.send(News::Problem(target.clone(), reason)));
            cluster.ready().await;
            drop(tell.send(News::Right(target.clone())));
        }
        cluster.unavailable().await;
    }
}
