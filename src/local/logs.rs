//! What containers print, kept in memory: the runtime writes, the API server reads and follows.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures::{Stream, stream};
use tokio::sync::watch;

/// Bytes kept of one container's output; older lines go first. A laptop's clusters live in memory, so a chatty pod must not grow it.
pub const CONTAINER_BYTES_MAX: usize = 1024 * 1024;

/// The logs of all containers of one cluster. Cloning gives another handle to the same logs.
#[derive(Clone, Default)]
pub struct Logs {
    containers: Arc<Mutex<HashMap<Key, watch::Sender<Output>>>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    pod_uid: String,
    container: String,
}

/// What one container printed so far.
#[derive(Default)]
struct Output {
    kept: Vec<u8>,
    /// Bytes dropped from the front, so that a follower knows where it is.
    dropped: usize,
    closed: bool,
}

impl Logs {
    /// Adds to the output of a container; the first call makes the container known.
    pub fn append(&self, pod_uid: &str, container: &str, bytes: &[u8]) {
        self.sender(pod_uid, container).send_modify(|output| {
            output.kept.extend_from_slice(bytes);
            if let Some(over) = output.kept.len().checked_sub(CONTAINER_BYTES_MAX) {
                output.kept.drain(..over);
                output.dropped += over;
            }
        });
    }

    /// Says that the container has ended: followers end after the last byte.
    pub fn close(&self, pod_uid: &str, container: &str) {
        self.sender(pod_uid, container).send_modify(|output| output.closed = true);
    }

    /// Forgets a pod; its followers end.
    pub fn remove(&self, pod_uid: &str) {
        self.locked().retain(|key, _| key.pod_uid != pod_uid);
    }

    /// What is kept of the container's output now; `None` if it never started.
    pub fn read(&self, pod_uid: &str, container: &str) -> Option<Bytes> {
        let key = Key::new(pod_uid, container);
        let containers = self.locked();
        let sender = containers.get(&key)?;
        Some(Bytes::copy_from_slice(&sender.borrow().kept))
    }

    /// What is kept, then what comes, until the container ends; waits if it hasn't started.
    pub fn follow(&self, pod_uid: &str, container: &str) -> impl Stream<Item = Bytes> + Send + use<> {
        let receiver = self.sender(pod_uid, container).subscribe();
        stream::unfold((receiver, 0), |(mut receiver, mut at)| async move {
            loop {
                let closed = {
                    let output = receiver.borrow_and_update();
                    let from = at.max(output.dropped) - output.dropped;
                    if from < output.kept.len() {
                        let news = Bytes::copy_from_slice(&output.kept[from..]);
                        at = output.dropped + output.kept.len();
                        drop(output);
                        return Some((news, (receiver, at)));
                    }
                    output.closed
                };
                if closed || receiver.changed().await.is_err() {
                    return None;
                }
            }
        })
    }

    fn sender(&self, pod_uid: &str, container: &str) -> watch::Sender<Output> {
        let key = Key::new(pod_uid, container);
        self.locked().entry(key).or_default().clone()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<Key, watch::Sender<Output>>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn new(pod_uid: &str, container: &str) -> Key {
        Key { pod_uid: pod_uid.to_owned(), container: container.to_owned() }
    }
}
