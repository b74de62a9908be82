//! What containers print, kept in memory: the runtime writes, the API server reads and follows.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures::{Stream, stream};
use jiff::Timestamp;
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
    Printed(Printed),
    /// So many bytes were dropped before the follower came to them. What comes next begins a line, unless a line alone is
    /// longer than what is kept.
    Gap(usize),
}

/// What was printed, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// What.
    pub bytes: Bytes,
    /// By position in the bytes, in order: lines that begin from there on were begun at this time.
    pub times: Vec<(usize, Timestamp)>,
}

/// What one container printed so far.
#[derive(Default)]
struct Output {
    kept: Vec<u8>,
    /// By position over all that was ever printed: lines that begin from there on were begun at this time.
    times: Vec<(usize, Timestamp)>,
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
        let gone = self.times.partition_point(|(at, _)| *at <= self.dropped).saturating_sub(1);
        self.times.drain(..gone);
    }

    /// Notes when the lines begin that are in these bytes, which come next.
    fn note_time(&mut self, bytes: &[u8], now: Timestamp) {
        let first = match self.kept.last() {
            None | Some(b'\n') => Some(0),
            Some(_) => bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1),
        };
        if let Some(first) = first.filter(|first| *first < bytes.len()) {
            self.times.push((self.dropped + self.kept.len() + first, now));
        }
    }

    /// What is kept from this position on, of all that was ever printed.
    fn from(&self, position: usize) -> Printed {
        let bytes = Bytes::copy_from_slice(&self.kept[position - self.dropped..]);
        let first = self.times.partition_point(|(at, _)| *at <= position).saturating_sub(1);
        let times = self.times[first..].iter().map(|(at, time)| (at.saturating_sub(position), *time));
        Printed { bytes, times: times.collect() }
    }
}

impl Logs {
    /// Adds to the output of a container; the first call makes the container known.
    pub fn append(&self, pod_uid: &str, container: &str, bytes: &[u8]) {
        let now = Timestamp::now();
        self.sender(pod_uid, container).send_modify(|output| {
            output.note_time(bytes, now);
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
    pub fn read(&self, pod_uid: &str, container: &str) -> Option<Printed> {
        let key = Key::new(pod_uid, container);
        let containers = self.locked();
        let output = containers.get(&key)?.borrow();
        Some(output.from(output.dropped))
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
                        Some(from) if from < output.kept.len() => Some((Piece::Printed(output.from(at)), end)),
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
        let mut next = || match output.next().now_or_never() {
            Some(Some(Piece::Printed(printed))) => Some(Some(Ok(printed.bytes))),
            Some(Some(Piece::Gap(bytes))) => Some(Some(Err(bytes))),
            Some(None) => Some(None),
            None => None,
        };
        let bytes = |text: &str| Some(Some(Ok(Bytes::copy_from_slice(text.as_bytes()))));
        logs.append("uid", "main", b"first\nsec");
        assert_eq!(next(), bytes("first\nsec"));
        assert_eq!(next(), None);
        let line = format!("{}\n", "x".repeat(99));
        let lines = line.repeat(CONTAINER_BYTES_MAX / line.len());
        logs.append("uid", "main", format!("ond\n{line}{lines}").as_bytes());
        assert_eq!(next(), Some(Some(Err("ond\n".len() + line.len()))));
        assert_eq!(next(), bytes(&lines));
        logs.append("uid", "main", "y".repeat(CONTAINER_BYTES_MAX + 1).as_bytes());
        assert_eq!(next(), Some(Some(Err(1))));
        assert_eq!(next(), bytes(&"y".repeat(CONTAINER_BYTES_MAX)));
        logs.close("uid", "main");
        assert_eq!(next(), Some(None));
    }

    #[test]
    fn each_line_has_the_time_at_which_it_began() {
        let mut output = Output::default();
        let print = |output: &mut Output, text: &str, second: i64| {
            output.note_time(text.as_bytes(), Timestamp::from_second(second).unwrap());
            output.kept.extend_from_slice(text.as_bytes());
            output.drop_oldest();
        };
        let times = |output: &Output, position: usize| {
            output.from(position).times.iter().map(|(at, time)| (*at, time.as_second())).collect::<Vec<_>>()
        };
        print(&mut output, "a\nbc", 1);
        print(&mut output, "d", 2);
        print(&mut output, "e\nf\n", 3);
        print(&mut output, "", 4);
        print(&mut output, "g\n", 5);
        assert_eq!(times(&output, 0), [(0, 1), (7, 3), (9, 5)]);
        assert_eq!(times(&output, 7), [(0, 3), (2, 5)]);
        assert_eq!(times(&output, 8), [(0, 3), (1, 5)]);
        let lines = format!("{}\n", "x".repeat(99)).repeat(CONTAINER_BYTES_MAX / 100);
        print(&mut output, &lines, 6);
        print(&mut output, &lines, 7);
        let start = output.dropped;
        assert_eq!(times(&output, start).first().map(|(at, _)| *at), Some(0));
        assert!(output.times.len() <= 3, "{:?}", output.times);
    }
}
