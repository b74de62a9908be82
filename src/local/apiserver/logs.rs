//! `GET …/pods/NAME/log`: what a container printed, and what it prints from now on.

use std::convert::Infallible;

use futures::StreamExt as _;
use http::Response;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;

use crate::local::{
    apiserver::{
        ApiServer,
        refusal::{Answer, Refusal},
        requests::Request,
        routes::{Body, sent},
        store::{Object, text},
    },
    logs::Piece,
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
    if request.flag("timestamps") || request.text("sinceSeconds").is_some() || request.text("sinceTime").is_some() {
        let message = "timestamps, sinceSeconds and sinceTime are not supported: this local server does not keep \
                       when a line was printed";
        return Err(Refusal::bad_request(message));
    }
    let so_far = server.logs().read(&pod.uid, &container);
    if so_far.is_none() && !has_started(&value, &container) {
        let reason = waiting_reason(&value, &container);
        let message = format!("container {container:?} in pod {:?} is waiting to start: {reason}", pod.key.name);
        return Err(Refusal::bad_request(message));
    }
    let so_far = so_far.unwrap_or_default();
    let start = tail(&so_far, lines);
    if !request.flag("follow") {
        let mut shown = so_far.slice(start..);
        shown.truncate(bytes.unwrap_or(usize::MAX));
        return Ok(sent(200, PLAIN, Full::new(shown).boxed_unsync()));
    }
    let mut skip = start;
    let ended = server.ended();
    let stream = server.logs().follow(&pod.uid, &container).take_until(ended.cancelled_owned());
    let stream = stream.filter_map(move |piece| {
        let news = match piece {
            Piece::Bytes(news) => {
                let skipped = skip.min(news.len());
                skip -= skipped;
                Some(Ok::<_, Infallible>(Frame::data(news.slice(skipped..))))
            }
            // As a kubelet does when it rotates the files of logs.
            Piece::Gap(_) => None,
        };
        std::future::ready(news)
    });
    Ok(sent(200, PLAIN, StreamBody::new(stream).boxed_unsync()))
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
    fn tails_count_lines() {
        let output = b"a\nb\nc\n";
        for (lines, expected) in [(None, 0), (Some(0), 6), (Some(1), 4), (Some(2), 2), (Some(3), 0), (Some(9), 0)] {
            assert_eq!(tail(output, lines), expected, "{lines:?}");
        }
        assert_eq!(tail(b"a\nb", Some(1)), 2);
    }
}
