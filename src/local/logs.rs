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

/// What a follower gets next.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// What was printed.
    Bytes(Bytes),
    /// So many bytes were dropped before the follower came to them. What comes next begins a line, unless a line alone is
    /// longer than what is kept.
    Gap(usize),
}

/// What one container printed so far.
#[derive(Default)]
struct Output {
    kept: Vec<u8>,
    /// Bytes dropped from the front, so that a follower knows where it is.
    dropped: usize,
    closed: bool,
}

impl Output {
    /// Drops whole lines from the front until the rest may be kept; only a part of a line that is too long by itself.
    fn drop_oldest(&mut self) {
        let Some(over) = self.kept.len().checked_sub(CONTAINER_BYTES_MAX).filter(|over| *over > 0) else { return };
        let rest_of_line = self.kept[over - 1..].iter().position(|byte| *byte == b'\n');
        let end = rest_of_line.map(|rest| over + rest).filter(|end| *end < self.kept.len()).unwrap_or(over);
        self.kept.drain(..end);
        self.dropped += end;
    }
}

impl Logs {
    /// Adds to the output of a container; the first call makes the container known.
    pub fn append(&self, pod_uid: &str, container: &str, bytes: &[u8]) {
        self.sender(pod_uid, container).send_modify(|output| {
            output.kept.extend_from_slice(bytes);
            output.drop_oldest();
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

    /// What is kept, then what comes, until the container ends; waits if it hasn't started. Nothing that is printed waits for
    /// a follower: what it was too slow for is a gap.
    pub fn follow(&self, pod_uid: &str, container: &str) -> impl Stream<Item = Piece> + Send + use<> {
        let receiver = self.sender(pod_uid, container).subscribe();
        stream::unfold((receiver, 0_usize), |(mut receiver, at)| async move {
            loop {
                let closed = {
                    let output = receiver.borrow_and_update();
                    let end = output.dropped + output.kept.len();
                    let piece = match at.checked_sub(output.dropped) {
                        None => Some((Piece::Gap(output.dropped - at), output.dropped)),
                        Some(from) if from < output.kept.len() => {
                            Some((Piece::Bytes(Bytes::copy_from_slice(&output.kept[from..])), end))
                        }
                        Some(_) => None,
                    };
                    if let Some((piece, at)) = piece {
                        drop(output);
                        return Some((piece, (receiver, at)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, StreamExt};

    #[test]
    fn a_follower_that_is_too_slow_gets_a_gap_and_then_whole_lines() {
        let logs = Logs::default();
        let mut output = std::pin::pin!(logs.follow("uid", "main"));
        let mut next = || output.next().now_or_never();
        let bytes = |text: &str| Some(Some(Piece::Bytes(Bytes::copy_from_slice(text.as_bytes()))));
        logs.append("uid", "main", b"first\nsec");
        assert_eq!(next(), bytes("first\nsec"));
        assert_eq!(next(), None);
        let line = format!("{}\n", "x".repeat(99));
        let lines = line.repeat(CONTAINER_BYTES_MAX / line.len());
        logs.append("uid", "main", format!("ond\n{line}{lines}").as_bytes());
        assert_eq!(next(), Some(Some(Piece::Gap("ond\n".len() + line.len()))));
        assert_eq!(next(), bytes(&lines));
        logs.append("uid", "main", "y".repeat(CONTAINER_BYTES_MAX + 1).as_bytes());
        assert_eq!(next(), Some(Some(Piece::Gap(1))));
        assert_eq!(next(), bytes(&"y".repeat(CONTAINER_BYTES_MAX)));
        logs.close("uid", "main");
        assert_eq!(next(), Some(None));
    }
}
