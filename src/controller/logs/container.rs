//! The output of one container, passed on line by line. What breaks off is taken up where it was: the times that stand before
//! the lines tell which were passed on.

use std::time::Duration;

use futures::AsyncBufReadExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{Api, api::LogParams};
use tokio::time::timeout;

use crate::{
    api::ids::Target,
    clusters::{
        call::{self, CallError},
        cluster::Cluster,
    },
    controller::logs::{
        item::{Item, Line},
        job::{Gone, Job},
        lines::{Lines, Piece},
    },
};

/// How long an API server may take to begin: it has to reach the machine that runs the pod.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(20);
/// An output that says nothing for so long may have been cut off without a word.
const SILENCE: Duration = Duration::from_secs(150);
/// Pause before what broke off is taken up.
const PAUSE: Duration = Duration::from_secs(1);

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// Where its pod is.
    pub target: Target,
    /// The pod's name.
    pub pod: String,
    /// The pod's UID.
    pub uid: String,
    /// Its node's name.
    pub node: String,
    /// Its own name.
    pub name: String,
}

/// How far the output was passed on.
#[derive(Default)]
struct Mark {
    /// The time of the last line.
    time: Option<Timestamp>,
    /// How many lines of that time were passed on.
    count: usize,
    /// How many of them to leave out, as they come again.
    again: usize,
}

/// The line that pieces are of.
#[derive(Default)]
struct Current {
    time: Option<Timestamp>,
    is_shown: bool,
}

/// How a container is, by the cluster's own word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It may print more.
    Open,
    /// It has printed all.
    Finished,
    /// Its pod is no more, and another may have the name.
    Replaced,
}

/// Passes on what the container prints: what there is and, if that is wanted, what comes until it has ended.
///
/// # Errors
/// If nobody reads any more.
pub async fn pass_on(job: &Job, container: &Container) -> Result<(), Gone> {
    let about = container.to_string();
    let mut mark = Mark::default();
    loop {
        let is_last_round = !job.wanted.follow || job.ended.is_cancelled();
        let state = match read(job, container, &mut mark).await? {
            Ok(state) => {
                job.settle(&about);
                state
            }
            Err(problem) => {
                job.complain(&about, problem).await?;
                State::Open
            }
        };
        if is_last_round || state != State::Open {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = job.ended.cancelled() => {}
        }
        wait_for_cluster(job, &container.target).await;
    }
}

/// While a cluster is away there is no use in asking; at the end it is not waited for.
async fn wait_for_cluster(job: &Job, target: &Target) {
    if let Some(cluster) = job.controller.clusters.get(&target.cluster) {
        tokio::select! {
            () = cluster.ready() => {}
            () = job.ended.cancelled() => {}
        }
    }
}

/// How the container is.
async fn look(cluster: &Cluster, api: &Api<Pod>, container: &Container) -> Result<State, String> {
    match cluster.call(api.get(&container.pod)).await {
        Ok(pod) if pod.metadata.uid.as_deref() != Some(&container.uid) => Ok(State::Replaced),
        Ok(pod) if has_ended(&pod, &container.name) => Ok(State::Finished),
        Ok(_) => Ok(State::Open),
        Err(CallError::Refused(status)) if status.code == 404 => Ok(State::Replaced),
        Err(error) => Err(error.to_string()),
    }
}

fn unconnected(target: &Target) -> String {
    format!("cluster \"{}\" is not connected", target.cluster)
}

/// The status of a container.
pub fn status<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let lists = [&status.container_statuses, &status.init_container_statuses];
    lists.into_iter().flatten().flatten().find(|status| status.name == name)
}

fn has_ended(pod: &Pod, name: &str) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let state = status(pod, name).and_then(|status| status.state.as_ref());
    matches!(phase, Some("Succeeded" | "Failed")) || state.is_some_and(|state| state.terminated.is_some())
}

/// Reads once, from where it was, and says whether there will be more, or what went wrong.
async fn read(job: &Job, container: &Container, mark: &mut Mark) -> Result<Result<State, String>, Gone> {
    let target = &container.target;
    let Some(cluster) = job.controller.clusters.get(&target.cluster) else { return Ok(Err(unconnected(target))) };
    let api: Api<Pod> = Api::namespaced(cluster.client(), target.namespace.as_str());
    let params = mark.params(job, container);
    // Not as a call that could make the cluster unavailable: behind a log there is a single machine, which may be away.
    let output = call::bounded(BEGIN_TIMEOUT, api.log_stream(&container.pod, &params)).await;
    // Looked at after that and before anything is passed on: an output goes by the pod's name, and if the pod is still the
    // one that was listed, it was the one that was opened. One that has ended by then is read to its end.
    let state = match look(&cluster, &api, container).await {
        Ok(State::Replaced) => return Ok(Ok(State::Replaced)),
        Ok(state) => state,
        Err(problem) => return Ok(Err(problem)),
    };
    let output = match output {
        Ok(output) => output,
        // There is nothing to read, or not yet.
        Err(CallError::Refused(status)) if matches!(status.code, 400 | 404) => return Ok(Ok(state)),
        Err(error) => return Ok(Err(error.to_string())),
    };
    let mut output = Box::pin(output);
    let mut lines = Lines::default();
    let mut current = Current::default();
    loop {
        let read = match timeout(SILENCE, output.fill_buf()).await {
            Ok(Ok([])) => break,
            Ok(Ok(bytes)) => {
                lines.push(bytes);
                bytes.len()
            }
            // What is not whole comes again.
            Ok(Err(error)) => return Ok(Err(format!("its output broke off: {error}"))),
            // Maybe there is just nothing to say. It is asked for anew, from here.
            Err(_) if job.wanted.follow && state == State::Open => return Ok(Ok(State::Open)),
            Err(_) => return Ok(Err("its output stopped coming".to_owned())),
        };
        output.consume_unpin(read);
        for piece in lines.by_ref() {
            say(job, container, (mark, &mut current), piece).await?;
        }
    }
    if let Some(piece) = lines.end() {
        say(job, container, (mark, &mut current), piece).await?;
    }
    Ok(Ok(state))
}

/// Passes on a line, or a piece of one, unless that was done before.
async fn say(
    job: &Job,
    container: &Container,
    (mark, current): (&mut Mark, &mut Current),
    piece: Piece,
) -> Result<(), Gone> {
    let Piece { mut text, begins } = piece;
    if begins {
        let time = take_time(&mut text);
        *current = Current { time, is_shown: mark.is_news(time) };
    }
    if !current.is_shown {
        return Ok(());
    }
    if text.ends_with('\r') {
        text.pop();
    }
    let Container { target, pod, node, name, .. } = container.clone();
    let Target { cluster, namespace } = target;
    job.say(Item::Line(Line { node, pod, cluster, namespace, container: name, text, time: current.time })).await
}

/// Takes the time off the beginning of a line.
fn take_time(text: &mut String) -> Option<Timestamp> {
    let (time, rest) = text.split_once(' ').unwrap_or((text.as_str(), ""));
    let time = time.parse().ok()?;
    *text = rest.to_owned();
    Some(time)
}

impl Mark {
    fn params(&mut self, job: &Job, container: &Container) -> LogParams {
        let params = LogParams {
            container: Some(container.name.clone()),
            follow: job.wanted.follow,
            timestamps: true,
            ..LogParams::default()
        };
        self.again = self.count;
        match self.time {
            // Only whole seconds go over the wire.
            Some(time) => LogParams { since_time: Timestamp::from_second(time.as_second()).ok(), ..params },
            None => LogParams {
                tail_lines: job.wanted.tail,
                since_seconds: job.wanted.since_seconds,
                since_time: job.wanted.since_time,
                ..params
            },
        }
    }

    /// Whether a line of this time was not passed on yet; it then counts as passed on.
    fn is_news(&mut self, time: Option<Timestamp>) -> bool {
        let Some(time) = time else { return true };
        match self.time {
            Some(last) if time < last && self.again > 0 => return false,
            Some(last) if time == last => {
                if self.again > 0 {
                    self.again -= 1;
                    return false;
                }
                self.count += 1;
            }
            Some(_) | None => {
                self.time = Some(time);
                self.count = 1;
                self.again = 0;
            }
        }
        true
    }
}

/// `other/argo POD:CONTAINER`.
impl std::fmt::Display for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}:{}", self.target, self.pod, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::{Mark, take_time};

    #[test]
    fn lines_that_come_again_are_left_out() {
        let mut mark = Mark::default();
        let hear = |mark: &mut Mark, seconds: &[i64]| -> Vec<i64> {
            let of = |second: i64| jiff::Timestamp::from_second(second).ok();
            seconds.iter().copied().filter(|second| mark.is_news(of(*second))).collect()
        };
        assert_eq!(hear(&mut mark, &[1, 2, 2, 3, 3]), [1, 2, 2, 3, 3]);
        mark.again = mark.count;
        assert_eq!(hear(&mut mark, &[2, 2, 3, 3, 3, 4]), [3, 4]);
        mark.again = mark.count;
        assert_eq!(hear(&mut mark, &[4, 5, 5]), [5, 5]);
        // A clock that was set back loses nothing.
        assert_eq!(hear(&mut mark, &[4, 6]), [4, 6]);
        assert!(mark.is_news(None));
    }

    #[test]
    fn a_time_is_taken_off_where_there_is_one() {
        for (line, rest, has_time) in [
            ("2026-11-24T08:30:00.123456789Z hello you", "hello you", true),
            ("2026-11-24T08:30:00Z ", "", true),
            ("2026-11-24T08:30:00Z", "", true),
            ("hello you", "hello you", false),
            ("", "", false),
        ] {
            let mut text = line.to_owned();
            assert_eq!((take_time(&mut text).is_some(), text.as_str()), (has_time, rest), "{line}");
        }
    }
}
