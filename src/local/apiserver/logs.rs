//! `GET …/pods/NAME/log`: what a container printed, and what it prints from now on.

use std::convert::Infallible;

use bytes::Bytes;
use futures::StreamExt as _;
use http::Response;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::local::{
    apiserver::{
        ApiServer,
        refusal::{Answer, Refusal},
        requests::Request,
        routes::{Body, sent},
        store::{Object, text},
    },
    logs::{Piece, Printed},
};

const PLAIN: &str = "text/plain";

pub fn read(server: &ApiServer, request: &Request, pod: &Object) -> Answer<Response<Body>> {
    let value = pod.value();
    let container = choose(&value, &pod.key.name, request.text("container"))?;
    let lines = request.number("tailLines")?.map(|lines| usize::try_from(lines).unwrap_or(usize::MAX));
    let bytes = request.number("limitBytes")?.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if request.flag("previous") {
        let message = format!("previous terminated container {container:?} in pod {:?} not found", pod.key.name);
        return Err(Refusal::bad_request(message));
    }
    let since = since(request)?;
    let mut stamper = Stamper { stamps: request.flag("timestamps"), is_within: false };
    let so_far = server.logs().read(&pod.uid, &container);
    if so_far.is_none() && !has_started(&value, &container) {
        let reason = waiting_reason(&value, &container);
        let message = format!("container {container:?} in pod {:?} is waiting to start: {reason}", pod.key.name);
        return Err(Refusal::bad_request(message));
    }
    let start = so_far.as_ref().map_or(0, |so_far| tail(&so_far.bytes, lines).max(beginning(so_far, since)));
    if !request.flag("follow") {
        let mut shown = so_far.map(|so_far| stamper.stamp(&so_far, start)).unwrap_or_default();
        shown.truncate(bytes.unwrap_or(usize::MAX));
        return Ok(sent(200, PLAIN, Full::new(shown).boxed_unsync()));
    }
    let mut skip = start;
    let ended = server.ended();
    let stream = server.logs().follow(&pod.uid, &container).take_until(ended.cancelled_owned());
    let stream = stream.filter_map(move |piece| {
        let news = match piece {
            Piece::Printed(news) => {
                let skipped = skip.min(news.bytes.len());
                skip -= skipped;
                Some(Ok::<_, Infallible>(Frame::data(stamper.stamp(&news, skipped))))
            }
            // As a kubelet does when it rotates the files of logs.
            Piece::Gap(_) => None,
        };
        std::future::ready(news)
    });
    Ok(sent(200, PLAIN, StreamBody::new(stream).boxed_unsync()))
}

/// From when on lines are wanted.
fn since(request: &Request) -> Answer<Option<Timestamp>> {
    let seconds = request.number("sinceSeconds")?;
    match (seconds, request.text("sinceTime")) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            Err(Refusal::bad_request("at most one of `sinceTime` or `sinceSeconds` may be specified"))
        }
        (Some(0), None) => Err(Refusal::bad_request("sinceSeconds: Invalid value: 0: must be greater than 0")),
        (Some(seconds), None) => {
            let span = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            Ok(Some(Timestamp::now().checked_sub(span).unwrap_or(Timestamp::MIN)))
        }
        (None, Some(time)) => match time.parse() {
            Ok(time) => Ok(Some(time)),
            Err(error) => Err(Refusal::bad_request(format!("sinceTime: {error}"))),
        },
    }
}

/// Where the lines begin that were begun since then.
fn beginning(printed: &Printed, since: Option<Timestamp>) -> usize {
    let Some(since) = since else { return 0 };
    printed.times.iter().find(|(_, time)| since <= *time).map_or(printed.bytes.len(), |(at, _)| *at)
}

/// Puts the time before each line, if that is wanted.
struct Stamper {
    stamps: bool,
    /// What comes next goes on with a line.
    is_within: bool,
}

impl Stamper {
    /// The bytes from `start` on.
    fn stamp(&mut self, printed: &Printed, start: usize) -> Bytes {
        if !self.stamps {
            return printed.bytes.slice(start..);
        }
        let mut stamped = Vec::new();
        let mut at = start;
        for line in printed.bytes[start..].split_inclusive(|byte| *byte == b'\n') {
            let begun = printed.times.partition_point(|(from, _)| *from <= at);
            if let Some((_, time)) = printed.times[..begun].last().filter(|_| !self.is_within) {
                stamped.extend_from_slice(format!("{time:.9} ").as_bytes());
            }
            stamped.extend_from_slice(line);
            self.is_within = !line.ends_with(b"\n");
            at += line.len();
        }
        stamped.into()
    }
}

/// The container that is asked for, or the only one.
fn choose(pod: &Value, name: &str, asked: Option<&str>) -> Answer<String> {
    let names = |list: &str| -> Vec<&str> {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers.map(|container| text(container, "/name")).collect()
    };
    let (main, init) = (names("containers"), names("initContainers"));
    match asked {
        Some(asked) if main.contains(&asked) || init.contains(&asked) => Ok(asked.to_owned()),
        Some(asked) => Err(Refusal::bad_request(format!("container {asked} is not valid for pod {name}"))),
        None if main.len() == 1 && init.is_empty() => Ok(main[0].to_owned()),
        None if main.len() == 1 => Err(Refusal::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}] or one of the init containers: [{}]",
            main.join(" "),
            init.join(" ")
        ))),
        None => Err(Refusal::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            main.join(" ")
        ))),
    }
}

fn state<'a>(pod: &'a Value, container: &str) -> Option<&'a Value> {
    let lists = ["containerStatuses", "initContainerStatuses"];
    let statuses = lists.iter().filter_map(|list| pod["status"][*list].as_array()).flatten();
    statuses.filter(|status| text(status, "/name") == container).map(|status| &status["state"]).next()
}

fn has_started(pod: &Value, container: &str) -> bool {
    state(pod, container).is_some_and(|state| state.get("running").is_some() || state.get("terminated").is_some())
}

fn waiting_reason(pod: &Value, container: &str) -> String {
    let reason = state(pod, container).and_then(|state| state.pointer("/waiting/reason")?.as_str());
    reason.unwrap_or("ContainerCreating").to_owned()
}

/// Where the last so many lines begin.
fn tail(output: &[u8], lines: Option<usize>) -> usize {
    let Some(lines) = lines else { return 0 };
    if lines == 0 {
        return output.len();
    }
    let end = output.strip_suffix(b"\n").unwrap_or(output);
    let breaks = end.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    breaks.map(|(at, _)| at + 1).nth(lines - 1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_gets_the_time_at_which_it_began() {
        let printed = |text: &'static str, times: &[(usize, i64)]| Printed {
            bytes: Bytes::from_static(text.as_bytes()),
            times: times.iter().map(|(at, second)| (*at, Timestamp::from_second(*second).unwrap())).collect(),
        };
        let mut stamper = Stamper { stamps: true, is_within: false };
        let mut check = |printed: &Printed, start: usize, expected: &str| {
            let text = String::from_utf8(stamper.stamp(printed, start).to_vec()).unwrap();
            assert_eq!(text.replace("1970-01-01T00:00:0", "").replace(".000000000Z", ""), expected);
        };
        let first = printed("a\nb\nc", &[(0, 1), (4, 2)]);
        check(&first, 2, "1 b\n2 c");
        check(&printed("d\ne\n", &[(0, 2), (2, 3)]), 0, "d\n3 e\n");
        let since = |second: i64| beginning(&first, Timestamp::from_second(second).ok());
        assert_eq!([since(0), since(1), since(2), since(3)], [0, 0, 4, 5]);
    }

    #[test]
    fn tails_count_lines() {
        let output = b"a\nb\nc\n";
        for (lines, expected) in [(None, 0), (Some(0), 6), (Some(1), 4), (Some(2), 2), (Some(3), 0), (Some(9), 0)] {
            assert_eq!(tail(output, lines), expected, "{lines:?}");
        }
        assert_eq!(tail(b"a\nb", Some(1)), 2);
    }
}
