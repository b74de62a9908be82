//! What all parts of one answer share: what is wanted, where items go, how much may go on at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{contract::LABEL_HOME_UID, contract::LABEL_WORKFLOW_UID, node::NodeStatus, workflow::Workflow},
    controller::{
        Controller,
        logs::{item::Item, wanted::Wanted},
    },
};

/// Containers whose output one answer reads at once. Each is a connection to an API server and from there to a machine;
/// others wait until one has ended.
const STREAMS_MAX: usize = 64;
/// Items that wait for a reader; what prints faster than is read waits, too.
const ITEMS_WAITING_MAX: usize = 256;
/// A reader that takes nothing for so long is gone or stuck, and keeps others out.
const STALL: Duration = Duration::from_secs(60);

/// One answer.
pub struct Job {
    /// The controller, whose clients are used.
    pub controller: Arc<Controller>,
    /// What is wanted.
    pub wanted: Wanted,
    /// The UID of the workflow, by which its pods are found.
    pub uid: String,
    /// The workflow has ended: what is there is still read, and nothing is waited for.
    pub ended: CancellationToken,
    /// Containers that may be read at once.
    pub places: Semaphore,
    items: mpsc::Sender<Item>,
    stalled: CancellationToken,
    nodes: Mutex<HashMap<String, NodeStatus>>,
    problems: Mutex<HashMap<String, String>>,
}

/// The reader is gone, so there is nobody to go on for.
#[derive(Debug)]
pub struct Gone;

impl Job {
    /// One answer about this workflow, and where its items come out. `stalled` is cancelled when nobody takes them.
    pub fn new(
        controller: Arc<Controller>,
        wanted: Wanted,
        workflow: &Workflow,
        stalled: CancellationToken,
    ) -> (Arc<Job>, mpsc::Receiver<Item>) {
        let (items, receiver) = mpsc::channel(ITEMS_WAITING_MAX);
        let job = Job {
            controller,
            wanted,
            uid: workflow.metadata.uid.clone().unwrap_or_default(),
            ended: CancellationToken::new(),
            places: Semaphore::new(STREAMS_MAX),
            items,
            stalled,
            nodes: Mutex::default(),
            problems: Mutex::default(),
        };
        job.learn(workflow);
        (Arc::new(job), receiver)
    }

    /// Hands an item to the reader, and waits for a slow one.
    ///
    /// # Errors
    /// If it is gone, or takes nothing any more.
    pub async fn say(&self, item: Item) -> Result<(), Gone> {
        match timeout(STALL, self.items.send(item)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone),
            Err(_) => {
                self.stalled.cancel();
                Err(Gone)
            }
        }
    }

    /// Says what is wrong with something, once until it is wrong in another way.
    pub async fn complain(&self, about: &str, problem: String) -> Result<(), Gone> {
        let before = {
            let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
            problems.insert(about.to_owned(), problem.clone())
        };
        if before.as_ref() == Some(&problem) {
            return Ok(());
        }
        self.say(Item::Problem { problem: format!("{about}: {problem}") }).await
    }

    /// It is right again: the next problem is told.
    pub fn settle(&self, about: &str) {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).remove(about);
    }

    /// Returns once the reader is gone.
    pub async fn gone(&self) {
        self.items.closed().await;
    }

    /// Takes over which nodes there are.
    pub fn learn(&self, workflow: &Workflow) {
        let nodes = workflow.status.nodes.iter().map(|(id, node)| (id.clone(), node.clone()));
        *self.nodes.lock().unwrap_or_else(PoisonError::into_inner) = nodes.collect();
    }

    /// The node of a pod: its name, and whether it or the pod is wanted. One that the status doesn't show yet goes by its ID
    /// and name.
    pub fn node(&self, pod: &str, id: &str, name: &str) -> (String, bool) {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted =
            |other: &str| self.wanted.node.as_deref().is_none_or(|wanted| [pod, id, other].contains(&wanted));
        match nodes.get(id) {
            Some(node) => (node.name.clone(), is_wanted(&node.name) || is_wanted(&node.display_name)),
            None => (name.to_owned(), is_wanted(name)),
        }
    }

    /// Selects the pods of the workflow, and none of another home's.
    pub fn selector(&self) -> String {
        format!("{LABEL_WORKFLOW_UID}={},{LABEL_HOME_UID}={}", self.uid, self.controller.home_uid)
    }
}
