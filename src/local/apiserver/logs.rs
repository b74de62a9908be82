//! `GET …/pods/NAME/log`: what a container printed, and what it prints from now on.

use std::convert::Infallible;

use futures::StreamExt as _;
use http::Response;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use jiff::Timestamp;
use serde_json::Value;

use crate::local::{
    apiserver::{
        ApiServer,
        refusal::{Answer, Refusal},
        requests::Request,
        routes::{Body, sent},
        store::{Object, text},
    },
    reading::Reading,
};

const PLAIN: &str = "text/plain";

pub fn read(server: &ApiServer, request: &Request, pod: &Object) -> Answer<Response<Body>> {
    let value = pod.value();
    let container = choose(&value, &pod.key.name, request.text("container"))?;
    if request.flag("previous") {
        let message = format!("previous terminated container {container:?} in pod {:?} not found", pod.key.name);
        return Err(Refusal::bad_request(message));
    }
    let reading = Reading::parse(|name| request.text(name), Timestamp::now()).map_err(Refusal::bad_request)?;
    let so_far = server.logs().read(&pod.uid, &container);
    if so_far.is_none() && !has_started(&value, &container) {
        let reason = waiting_reason(&value, &container);
        let message = format!("container {container:?} in pod {:?} is waiting to start: {reason}", pod.key.name);
        return Err(Refusal::bad_request(message));
    }
    if !reading.follow {
        let shown = so_far.map(|so_far| reading.so_far(&so_far)).unwrap_or_default();
        return Ok(sent(200, PLAIN, Full::new(shown).boxed_unsync()));
    }
    let ended = server.ended();
    let stream = reading.follow(server.logs(), (&pod.uid, &container), so_far.as_ref());
    let stream = stream.take_until(ended.cancelled_owned()).map(|news| Ok::<_, Infallible>(Frame::data(news)));
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
