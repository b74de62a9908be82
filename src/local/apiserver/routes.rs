//! From a request to an answer: which verb on which resource.

use std::{convert::Infallible, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use serde_json::{Value, json};

use crate::local::apiserver::{
    ApiServer, collector, deletion,
    deletion::{DeleteOptions, Deleted},
    discovery, logs, openapi, patch,
    rbac::{self, Deed},
    refusal::{Answer, Refusal},
    requests::{Request, Target, target},
    resources::{Id, Resource},
    reviews,
    selectors::Selector,
    shape,
    store::{Key, Object, Query},
    watch,
    writes::{Part, Written, create, update},
};

pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Answers any request; errors become Status objects.
pub async fn answer(server: &ApiServer, request: &Request) -> Response<Body> {
    let result = match target(&request.path) {
        Some(target) if discovery_of(&target).is_none() => objects(server, request, &target).await,
        Some(_) | None => documents(server, request),
    };
    result.unwrap_or_else(|refusal| {
        let mut response = whole(refusal.code, shape::encode(&refusal.status()));
        if refusal.code == 504 {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    })
}

pub fn whole(code: u16, body: Bytes) -> Response<Body> {
    sent(code, "application/json", Full::new(body).boxed_unsync())
}

pub fn sent(code: u16, media: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media));
    response
}

fn text(code: u16, body: &'static str) -> Response<Body> {
    sent(code, "text/plain; charset=utf-8", Full::new(Bytes::from_static(body.as_bytes())).boxed_unsync())
}

/// `/apis/GROUP/VERSION` of the review kinds looks like a target but is no stored resource.
fn discovery_of(target: &Target<'_>) -> Option<()> {
    reviews::GROUPS.contains(&target.group).then_some(())
}

/// Everything that isn't an object: discovery, schemas, health, reviews.
fn documents(server: &ApiServer, request: &Request) -> Answer<Response<Body>> {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let resources = server.store().lock().resources();
    if let ["healthz" | "livez" | "readyz", ..] = path.as_slice() {
        return Ok(text(200, "ok"));
    }
    if let ["apis", group, "v1", plural] | ["apis", group, "v1", "namespaces", _, plural] = path.as_slice()
        && reviews::GROUPS.contains(group)
    {
        let namespace = match path.as_slice() {
            [_, _, _, "namespaces", namespace, _] => *namespace,
            _ => "",
        };
        let review = reviews::review(server, request, (group, plural), namespace)?;
        return Ok(whole(201, shape::encode(&review)));
    }
    if let Some(document) = discovery::document(&resources, request).or_else(|| openapi::document(&resources, &path)) {
        return Ok(document);
    }
    Ok(text(404, "404 page not found\n"))
}

async fn objects(server: &ApiServer, request: &Request, target: &Target<'_>) -> Answer<Response<Body>> {
    rbac::check(&server.store().lock(), &request.caller, &Deed::of(request, target))?;
    let resource = server.store().lock().resource(&Id::new(target.group, target.plural));
    let Some(resource) = resource.filter(|resource| resource.version == target.version) else {
        return Ok(text(404, "404 page not found\n"));
    };
    if !resource.namespaced && target.namespace.is_some() {
        return Ok(text(404, "404 page not found\n"));
    }
    match (target.name, target.subresource) {
        (None, None) => collection(server, request, target, &resource),
        (Some(_), None) if resource.namespaced && target.namespace.is_none() => Ok(text(404, "404 page not found\n")),
        (Some(name), None) => one(server, request, &resource, &Key::new(target.namespace.unwrap_or_default(), name)),
        (Some(name), Some(subresource)) => {
            let key = Key::new(target.namespace.unwrap_or_default(), name);
            below(server, request, &resource, &key, subresource).await
        }
        (None, Some(_)) => Err(Refusal::no_such_path()),
    }
}

fn collection(
    server: &ApiServer,
    request: &Request,
    target: &Target<'_>,
    resource: &Arc<Resource>,
) -> Answer<Response<Body>> {
    let labels = request.text("labelSelector").unwrap_or_default();
    let fields = request.text("fieldSelector").unwrap_or_default();
    let query = || -> Answer<Query> {
        Ok(Query {
            namespace: target.namespace.map(str::to_owned),
            selector: Selector::parse(resource, labels, fields)?,
        })
    };
    match request.method {
        Method::GET if request.flag("watch") => {
            let watch = watch::start(server.store().clone(), resource.clone(), query()?, request, server.ended())?;
            Ok(sent(200, "application/json", StreamBody::new(watch.frames()).boxed_unsync()))
        }
        Method::GET => list(server, request, resource, &query()?),
        Method::POST if resource.namespaced && target.namespace.is_none() => Err(Refusal::method_not_allowed()),
        Method::POST => {
            let namespace = target.namespace.unwrap_or_default();
            let written = create(server.store(), resource, namespace, request.json()?, &request.write_options()?)?;
            Ok(wrote(request, resource, &written))
        }
        Method::DELETE if resource.namespaced && target.namespace.is_none() => Err(Refusal::method_not_allowed()),
        Method::DELETE => delete_all(server, request, resource, &query()?),
        _ => Err(Refusal::method_not_allowed()),
    }
}

fn list(server: &ApiServer, request: &Request, resource: &Resource, query: &Query) -> Answer<Response<Body>> {
    let limit =
        request.number("limit")?.filter(|limit| *limit != 0).map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let asked = request.number("resourceVersion")?.filter(|asked| *asked != 0);
    let inner = server.store().lock();
    if let Some(asked) = asked
        && inner.version() < asked
    {
        return Err(Refusal::too_new(asked, inner.version()));
    }
    let exact = asked.filter(|_| request.text("resourceVersionMatch") == Some("Exact"));
    let (at, after) = match request.text("continue") {
        Some(token) => {
            let (version, key) = read_continue(token)?;
            (Some(version), Some(key))
        }
        None => (exact, None),
    };
    let listed = inner.list(&resource.id(), query, at, after.as_ref(), limit)?;
    drop(inner);
    let mut metadata = json!({"resourceVersion": listed.version.to_string()});
    if let Some(last) = &listed.last {
        metadata["continue"] = json!(write_continue(listed.version, last));
        if query.selector.is_empty() {
            metadata["remainingItemCount"] = json!(listed.remaining);
        }
    }
    let objects = listed.objects.iter().map(AsRef::as_ref);
    Ok(whole(200, shape::list(resource, request.shape(), metadata, objects)))
}

fn write_continue(version: u64, last: &Key) -> String {
    URL_SAFE_NO_PAD.encode(
        json!({"v": "meta.k8s.io/v1", "rv": version, "namespace": last.namespace, "name": last.name}).to_string(),
    )
}

fn read_continue(token: &str) -> Answer<(u64, Key)> {
    let read = || -> Option<(u64, Key)> {
        let token: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).ok()?).ok()?;
        Some((token["rv"].as_u64()?, Key::new(token["namespace"].as_str()?, token["name"].as_str()?)))
    };
    read().ok_or_else(|| Refusal::bad_request("continue key is not valid"))
}

fn one(server: &ApiServer, request: &Request, resource: &Resource, key: &Key) -> Answer<Response<Body>> {
    match request.method {
        Method::GET => {
            let object = find(server, resource, key)?;
            Ok(whole(200, shape::object(resource, request.shape(), &object)))
        }
        Method::PUT => replace(server, request, resource, key, Part::Main),
        Method::PATCH => apply_patch(server, request, resource, key, Part::Main),
        Method::DELETE => delete_one(server, request, resource, key, &request.json()?),
        _ => Err(Refusal::method_not_allowed()),
    }
}

fn find(server: &ApiServer, resource: &Resource, key: &Key) -> Answer<Arc<Object>> {
    server.store().lock().get(&resource.id(), key).ok_or_else(|| Refusal::not_found(resource, &key.name))
}

async fn below(
    server: &ApiServer,
    request: &Request,
    resource: &Resource,
    key: &Key,
    subresource: &str,
) -> Answer<Response<Body>> {
    match (subresource, &request.method) {
        ("status", &Method::GET) if resource.status => one(server, request, resource, key),
        ("status", &Method::PUT) if resource.status => replace(server, request, resource, key, Part::Status),
        ("status", &Method::PATCH) if resource.status => apply_patch(server, request, resource, key, Part::Status),
        ("finalize", &Method::PUT) if resource.is_namespaces() => replace(server, request, resource, key, Part::Main),
        ("log", &Method::GET) if resource.is_pods() => {
            logs::read(server, request, find(server, resource, key)?.as_ref())
        }
        ("binding", &Method::POST) if resource.is_pods() => bind(server, request, resource, key),
        ("eviction", &Method::POST) if resource.is_pods() => {
            let body = request.json()?;
            delete_one(server, request, resource, key, &body["deleteOptions"])
        }
        ("token", &Method::POST) if resource.is("", "serviceaccounts") => {
            let account = find(server, resource, key)?;
            Ok(whole(201, shape::encode(&server.issued().issue(&account, request.json()?)?)))
        }
        ("status" | "log" | "binding" | "eviction" | "finalize" | "token", _) => Err(Refusal::method_not_allowed()),
        (_, _) => Err(Refusal::no_such_path()),
    }
}

/// Says on which node a pod runs, once.
fn bind(server: &ApiServer, request: &Request, resource: &Resource, key: &Key) -> Answer<Response<Body>> {
    let binding = request.json()?;
    update(server.store(), resource, key, Part::Main, &request.write_options()?, |pod| {
        if pod.pointer("/spec/nodeName").and_then(Value::as_str).is_some_and(|node| !node.is_empty()) {
            let why = format!("pod {} is already assigned to node {}", key.name, pod["spec"]["nodeName"]);
            return Err(Refusal::conflict(resource, &key.name, &why));
        }
        let mut pod = pod.clone();
        pod["spec"]["nodeName"] = binding["target"]["name"].clone();
        Ok(pod)
    })?;
    Ok(whole(
        201,
        shape::encode(&json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})),
    ))
}

fn replace(
    server: &ApiServer,
    request: &Request,
    resource: &Resource,
    key: &Key,
    part: Part,
) -> Answer<Response<Body>> {
    let body = request.json()?;
    let written = update(server.store(), resource, key, part, &request.write_options()?, |_| Ok(body.clone()))?;
    Ok(wrote(request, resource, &written))
}

fn apply_patch(
    server: &ApiServer,
    request: &Request,
    resource: &Resource,
    key: &Key,
    part: Part,
) -> Answer<Response<Body>> {
    let patch = patch::Patch::parse(request, resource)?;
    let options = request.write_options()?;
    let written = update(server.store(), resource, key, part, &options, |object| patch.apply(resource, object));
    let written = match (written, patch.creates(resource, key)) {
        (Err(refusal), Some(object)) if refusal.code == 404 && part == Part::Main => {
            rbac::check_creation(&server.store().lock(), &request.caller, resource, key)?;
            create(server.store(), resource, &key.namespace, object?, &options)
        }
        (written, _) => written,
    };
    Ok(wrote(request, resource, &written?))
}

fn wrote(request: &Request, resource: &Resource, written: &Written) -> Response<Body> {
    let code = if written.created { 201 } else { 200 };
    let mut response = whole(code, shape::object(resource, request.shape(), &written.object));
    for warning in &written.warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = header::HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}

fn delete_one(
    server: &ApiServer,
    request: &Request,
    resource: &Resource,
    key: &Key,
    body: &Value,
) -> Answer<Response<Body>> {
    let options = DeleteOptions::parse(body, |name| request.text(name).map(str::to_owned))?;
    let mut inner = server.store().lock();
    let deleted = deletion::delete(&mut inner, resource, key, &options)?;
    collector::settle(&mut inner);
    drop(inner);
    match deleted {
        Deleted::Gone(object) if !resource.is_pods() => {
            let mut details = json!({"name": key.name, "kind": resource.plural, "uid": object.uid});
            if !resource.group.is_empty() {
                details["group"] = json!(resource.group);
            }
            let status =
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
            Ok(whole(200, shape::encode(&status)))
        }
        Deleted::Gone(object) | Deleted::Terminating(object) => {
            Ok(whole(200, shape::object(resource, request.shape(), &object)))
        }
    }
}

fn delete_all(server: &ApiServer, request: &Request, resource: &Resource, query: &Query) -> Answer<Response<Body>> {
    let options = DeleteOptions::parse(&request.json()?, |name| request.text(name).map(str::to_owned))?;
    let mut inner = server.store().lock();
    let listed = inner.list(&resource.id(), query, None, None, None)?;
    for object in &listed.objects {
        // One that went with another's deletion is no error.
        if inner.get(&resource.id(), &object.key).is_some() {
            deletion::delete(&mut inner, resource, &object.key, &options)?;
            collector::settle(&mut inner);
        }
    }
    let metadata = json!({"resourceVersion": inner.version().to_string()});
    drop(inner);
    Ok(whole(200, shape::list(resource, request.shape(), metadata, listed.objects.iter().map(AsRef::as_ref))))
}
