//! Which workflows want a pass: each at most once, never two passes of one at a time, some only at a given time.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::controller::workflows::Uid;

/// Pause after the first failed pass of a workflow; it doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Longest pause between failing passes: what mends itself is noticed this late at most.
const BACKOFF_LAST: Duration = Duration::from_secs(30);

/// What a pass asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing until an event wakes the workflow.
    Wait,
    /// Another pass at once.
    Again,
    /// Another pass then, if nothing wakes the workflow before.
    At(Instant),
    /// The pass could not finish: another one after a pause that grows.
    Retry,
}

/// The queue. It keeps time itself, so that nothing else needs timers.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Uid>,
    /// Those in `ready`.
    queued: HashSet<Uid>,
    running: HashSet<Uid>,
    /// Those woken while they run.
    again: HashSet<Uid>,
    due: BTreeSet<(Instant, Uid)>,
    due_of: HashMap<Uid, Instant>,
    failures: HashMap<Uid, u32>,
}

impl Queue {
    /// Asks for a pass as soon as may be.
    pub fn wake(&self, uid: &Uid) {
        self.lock().wake(uid);
        self.changed.notify_one();
    }

    /// The next workflow whose turn it is. Its pass must end with [`Queue::done`].
    pub async fn next(&self) -> Uid {
        loop {
            let wait = {
                let mut state = self.lock();
                state.ripen(Instant::now());
                if let Some(uid) = state.take() {
                    return uid;
                }
                state.due.first().map(|(due, _)| *due)
            };
            match wait {
                Some(due) => tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// Ends a pass.
    pub fn done(&self, uid: &Uid, next: Next) {
        self.lock().done(uid, next, Instant::now());
        self.changed.notify_one();
    }

    /// How many workflows wait for a pass that is due, and how many passes are under way.
    pub fn depth(&self) -> (usize, usize) {
        let state = self.lock();
        (state.ready.len(), state.running.len())
    }

    /// Forgets a workflow that is no more.
    pub fn forget(&self, uid: &Uid) {
        let mut state = self.lock();
        state.failures.remove(uid);
        state.undue(uid);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&mut self, uid: &Uid) {
        if self.running.contains(uid) {
            self.again.insert(uid.clone());
        } else if self.queued.insert(uid.clone()) {
            self.undue(uid);
            self.ready.push_back(uid.clone());
        }
    }

    fn take(&mut self) -> Option<Uid> {
        let uid = self.ready.pop_front()?;
        self.queued.remove(&uid);
        self.running.insert(uid.clone());
        Some(uid)
    }

    /// Moves those whose time has come.
    fn ripen(&mut self, now: Instant) {
        while let Some((due, uid)) = self.due.first().cloned()
            && due <= now
        {
            self.undue(&uid);
            self.wake(&uid);
        }
    }

    fn done(&mut self, uid: &Uid, next: Next, now: Instant) {
        self.running.remove(uid);
        let woken = self.again.remove(uid);
        match next {
            Next::Retry => {
                let failures = self.failures.entry(uid.clone()).or_default();
                let pause = BACKOFF_FIRST.saturating_mul(1 << (*failures).min(16)).min(BACKOFF_LAST);
                *failures = failures.saturating_add(1);
                // An event that came meanwhile cuts the pause short, but doesn't undo it.
                let pause = if woken { BACKOFF_FIRST } else { pause };
                self.at(uid, now + pause);
                return;
            }
            Next::Wait => {
                self.failures.remove(uid);
            }
            Next::Again => {
                self.failures.remove(uid);
                self.wake(uid);
            }
            Next::At(due) => {
                self.failures.remove(uid);
                self.at(uid, due);
            }
        }
        if woken {
            self.wake(uid);
        }
    }

    fn at(&mut self, uid: &Uid, due: Instant) {
        self.undue(uid);
        self.due.insert((due, uid.clone()));
        self.due_of.insert(uid.clone(), due);
    }

    fn undue(&mut self, uid: &Uid) {
        if let Some(due) = self.due_of.remove(uid) {
            self.due.remove(&(due, uid.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Next, Queue};
    use crate::controller::workflows::Uid;

    async fn next_within(queue: &Queue, limit: Duration) -> Option<String> {
        tokio::time::timeout(limit, queue.next()).await.ok().map(|uid| uid.to_string())
    }

    const SOON: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn each_once_and_never_twice_at_a_time() {
        let queue = Queue::default();
        let (a, b): (Uid, Uid) = ("a".into(), "b".into());
        queue.wake(&a);
        queue.wake(&a);
        queue.wake(&b);
        assert_eq!(next_within(&queue, SOON).await.as_deref(), Some("a"));
        queue.wake(&a);
        assert_eq!(next_within(&queue, SOON).await.as_deref(), Some("b"));
        assert_eq!(next_within(&queue, SOON).await, None);
        queue.done(&a, Next::Wait);
        assert_eq!(next_within(&queue, SOON).await.as_deref(), Some("a"));
        queue.done(&a, Next::Wait);
        assert_eq!(next_within(&queue, SOON).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn waits_for_its_time_and_backs_off() {
        let queue = Queue::default();
        let a: Uid = "a".into();
        let second = Duration::from_secs(1);
        queue.wake(&a);
        queue.next().await;
        let begun = Instant::now();
        queue.done(&a, Next::At(begun + second));
        queue.next().await;
        assert_eq!(begun.elapsed(), second);

        for pause in [100, 200, 400] {
            let begun = Instant::now();
            queue.done(&a, Next::Retry);
            queue.next().await;
            assert_eq!(begun.elapsed().as_millis(), pause);
        }
        queue.done(&a, Next::Wait);
        queue.wake(&a);
        assert_eq!(next_within(&queue, SOON).await.as_deref(), Some("a"));
    }
}
