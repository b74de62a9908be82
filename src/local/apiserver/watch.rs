//! Watches: a stream of lines that a client reads at its own pace from the resource's history.
//!
//! A watcher holds no queue. It remembers the version it has seen and fetches what came after; one that falls behind
//! the bounded history is told 410 and lists again. So it can't block a writer, nor grow the server.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, stream};
use hyper::body::Frame;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::local::apiserver::{
    refusal::{Answer, Refusal},
    requests::{Request, Shape},
    resources::{Id, Resource},
    shape,
    store::{Event, EventKind, Object, Query, Store},
};

/// A watch without a timeout ends after this long; Kubernetes ends them after 30 to 60 minutes.
const WATCH_SECONDS_DEFAULT: u64 = 30 * 60;
/// How often a quiet watch is told how far it is.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// Changes that go into one frame: enough to be efficient, few enough to keep the lock short.
const EVENTS_PER_FRAME: usize = 512;

pub struct Watch {
    store: Arc<Store>,
    resource: Arc<Resource>,
    id: Id,
    query: Query,
    shape: Shape,
    /// The last version that this watcher knows of.
    seen: u64,
    changed: watch::Receiver<u64>,
    deadline: Instant,
    next_bookmark: Option<Instant>,
    ended: CancellationToken,
    /// What goes out first: the state at the start, or the error that is all there is.
    first: Vec<u8>,
    over: bool,
}

enum Woken {
    Changed,
    Bookmark,
    Over,
}

/// Prepares a watch; what is wrong with its version becomes an event of it, as Kubernetes does.
pub fn start(
    store: Arc<Store>,
    resource: Arc<Resource>,
    query: Query,
    request: &Request,
    ended: CancellationToken,
) -> Answer<Watch> {
    let asked = request.number("resourceVersion")?;
    let initial = request.flag("sendInitialEvents");
    if request.text("sendInitialEvents").is_some() && request.text("resourceVersionMatch") != Some("NotOlderThan") {
        let message = "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires \
                       setting resourceVersionMatch to NotOlderThan";
        return Err(Refusal::unprocessable(message));
    }
    let bookmarks = request.flag("allowWatchBookmarks");
    let seconds = request.number("timeoutSeconds")?.unwrap_or(WATCH_SECONDS_DEFAULT).min(24 * 3600);
    let (id, shape) = (resource.id(), request.shape());
    let mut first = Vec::new();
    let mut over = false;
    let inner = store.lock();
    let changed = inner.subscribe(&id).ok_or_else(Refusal::no_such_path)?;
    let from_state = initial || (matches!(asked, None | Some(0)) && request.text("sendInitialEvents").is_none());
    let seen = if from_state {
        let listed = inner.list(&id, &query, None, None, None)?;
        for object in &listed.objects {
            shape::event(&mut first, &resource, shape, EventKind::Added, object);
        }
        // Kubernetes has taken the one way to ask for the state as the other since 1.34.
        if bookmarks {
            shape::bookmark(&mut first, &resource, shape, listed.version, true);
        }
        listed.version
    } else {
        let asked = asked.filter(|asked| *asked != 0).unwrap_or(inner.version());
        if let Err(refusal) = inner.events_after(&id, asked, 0) {
            shape::error(&mut first, &refusal);
            over = true;
        }
        asked
    };
    drop(inner);
    let now = Instant::now();
    let next_bookmark = bookmarks.then(|| now + BOOKMARK_INTERVAL);
    let deadline = now + Duration::from_secs(seconds);
    Ok(Watch { store, resource, id, query, shape, seen, changed, deadline, next_bookmark, ended, first, over })
}

impl Watch {
    pub fn frames(self) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
        stream::unfold(self, |mut watch| async move {
            let text = watch.next().await?;
            Some((Ok(Frame::data(Bytes::from(text))), watch))
        })
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        if !self.first.is_empty() {
            return Some(std::mem::take(&mut self.first));
        }
        while !self.over {
            // Marked as seen before fetching: a change in between wakes the next turn.
            self.changed.mark_unchanged();
            let text = self.fetch();
            if !text.is_empty() {
                return Some(text);
            }
            match self.wait().await {
                Woken::Changed => (),
                Woken::Bookmark => return Some(self.mark()),
                Woken::Over => self.over = true,
            }
        }
        None
    }

    /// Everything that came since, a frame at most; empty if there is nothing for this watcher.
    fn fetch(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        while text.is_empty() {
            let events = self.store.lock().events_after(&self.id, self.seen, EVENTS_PER_FRAME);
            match events {
                Ok(events) if events.is_empty() => break,
                Ok(events) => {
                    for event in &events {
                        self.seen = event.version;
                        self.tell(&mut text, event);
                    }
                }
                Err(refusal) => {
                    shape::error(&mut text, &refusal);
                    self.over = true;
                }
            }
        }
        text
    }

    /// A change as this watcher's selector sees it: an object that starts or stops matching comes or goes.
    fn tell(&self, text: &mut Vec<u8>, event: &Event) {
        let inside = |object: &Object| {
            self.query.namespace.as_ref().is_none_or(|namespace| *namespace == object.key.namespace)
                && self.query.selector.matches(object)
        };
        let before = event.previous.as_ref().filter(|previous| inside(previous));
        let now = event.kind != EventKind::Deleted && inside(&event.object);
        match (before, now) {
            (None, false) => (),
            (None, true) => shape::event(text, &self.resource, self.shape, EventKind::Added, &event.object),
            (Some(_), true) => shape::event(text, &self.resource, self.shape, EventKind::Modified, &event.object),
            (Some(_), false) if event.kind == EventKind::Deleted => {
                shape::event(text, &self.resource, self.shape, EventKind::Deleted, &event.object);
            }
            (Some(before), false) => {
                // It left the selection: its last selected state goes out, with the version of the change.
                let last = Object::new(&self.resource, before.value(), event.version);
                let last = last.map_or_else(|_| before.clone(), Arc::new);
                shape::event(text, &self.resource, self.shape, EventKind::Deleted, &last);
            }
        }
    }

    async fn wait(&mut self) -> Woken {
        let far = self.deadline + BOOKMARK_INTERVAL;
        tokio::select! {
            biased;
            changed = self.changed.changed() => if changed.is_ok() { Woken::Changed } else { Woken::Over },
            () = tokio::time::sleep_until(self.next_bookmark.unwrap_or(far)) => Woken::Bookmark,
            () = tokio::time::sleep_until(self.deadline) => Woken::Over,
            () = self.ended.cancelled() => Woken::Over,
        }
    }

    fn mark(&mut self) -> Vec<u8> {
        self.next_bookmark = Some(Instant::now() + BOOKMARK_INTERVAL);
        let mut text = self.fetch();
        if !self.over && text.is_empty() {
            // Other resources' changes count too: this watcher has missed nothing up to now.
            let inner = self.store.lock();
            if inner.events_after(&self.id, self.seen, 1).is_ok_and(|events| events.is_empty()) {
                self.seen = self.seen.max(inner.version());
            }
            drop(inner);
            shape::bookmark(&mut text, &self.resource, self.shape, self.seen, false);
        }
        text
    }
}
