//! The way to the controller: by the proxy that every API server has for services, or directly. The caller's token goes along;
//! the API server takes `Authorization` for itself, so that it stands in a header of our own.

use std::fs;

use anyhow::Context;
use futures::AsyncBufRead;
use http::{HeaderValue, Request, Response, header};
use kube::client::{Body, ConfigExt};
use tower::{BoxError, Layer, ServiceExt};

use crate::{
    api::contract::{HEADER_TOKEN, LOGS_PORT, LOGS_SERVICE},
    cli::{connection, hint, logs::Route},
    clusters::call,
    controller::logs::wanted::Wanted,
};

/// Asks, and gives the answer as it comes.
///
/// # Errors
/// If there is no token to ask with, or the controller can't be reached, or says no.
pub async fn ask(
    mut config: kube::Config,
    route: &Route,
    wanted: &Wanted,
) -> anyhow::Result<impl AsyncBufRead + use<>> {
    let token = match &route.token_file {
        Some(file) => fs::read_to_string(file).with_context(|| file.display().to_string())?.trim().to_owned(),
        None => bearer(&config).await?,
    };
    let mut value = HeaderValue::try_from(&token).ok().context("the token has letters in it that no token has")?;
    value.set_sensitive(true);
    let path = match &route.address {
        Some(address) => {
            config = direct(address, route)?;
            wanted.path()
        }
        None => {
            let service = format!("https:{LOGS_SERVICE}:{LOGS_PORT}");
            format!("/api/v1/namespaces/{}/services/{service}/proxy{}", route.controller_namespace, wanted.path())
        }
    };
    let client = connection::client(config)?;
    let request = Request::get(path).header(HEADER_TOKEN, value).body(Vec::new()).context("the request")?;
    client.request_stream(request).await.map_err(|error| explain(error, route))
}

/// The bearer token that the kubeconfig's credential is, or that its plug-in gives.
async fn bearer(config: &kube::Config) -> anyhow::Result<String> {
    let layer = config.auth_layer().ok().context("the credential of the kubeconfig can't be used")?;
    let mut given = None;
    if let Some(layer) = layer {
        let catch = tower::service_fn(|request: Request<Body>| async move {
            Ok::<_, BoxError>(Response::new(request.headers().get(header::AUTHORIZATION).cloned()))
        });
        let caught = layer.layer(catch).oneshot(Request::new(Body::empty())).await;
        given = caught.ok().context("the credential of the kubeconfig can't be used")?.into_body();
    }
    let text = given.as_ref().and_then(|value| value.to_str().ok()).and_then(|text| text.strip_prefix("Bearer "));
    text.map(str::to_owned).ok_or_else(|| {
        hint::error(
            "the kubeconfig has no token, by which alone the controller can find out who asks: client certificates and \
             passwords don't reach it",
            "make a token for a service account that may read these logs, and ask with it:\n  kubectl create token ACCOUNT \
             -n NAMESPACE > token\n  landfall logs … --token-file token",
        )
    })
}

fn direct(address: &http::Uri, route: &Route) -> anyhow::Result<kube::Config> {
    if address.scheme_str() != Some("https") {
        return Err(hint::error(
            format!("--address {address}: not an address that begins with https://"),
            "the token would go over the network as it is",
        ));
    }
    let mut config = kube::Config::new(address.clone());
    config.root_cert_file = route.certificate_authority.clone();
    config.accept_invalid_certs = route.insecure_skip_tls_verify;
    Ok(config)
}

/// What went wrong on the way, and what to do about it. What the controller says itself is clear enough.
fn explain(error: kube::Error, route: &Route) -> anyhow::Error {
    let status = match error {
        kube::Error::Api(status) => status,
        error => {
            let text = format!("the controller can't be reached: {}", call::classify(error));
            return match &route.address {
                Some(_) => hint::error(
                    text,
                    "a certificate that the controller made itself is checked by nothing: --insecure-skip-tls-verify, or give \
                     it one with --logs-certificate and here --certificate-authority",
                ),
                None => anyhow::anyhow!(text),
            };
        }
    };
    let namespace = &route.controller_namespace;
    let is_service = status.message.contains(&format!("\"https:{LOGS_SERVICE}:{LOGS_PORT}\""))
        || status.message.contains(&format!("\"{LOGS_SERVICE}\""));
    match status.code {
        403 if is_service => hint::error(
            &status.message,
            format!(
                "let this user get services/proxy of the name https:{LOGS_SERVICE}:{LOGS_PORT} in namespace {namespace}, or ask \
                 the controller directly with --address"
            ),
        ),
        404 | 503 if is_service => hint::error(
            &status.message,
            format!(
                "is the controller in namespace {namespace} (--controller-namespace), and does it serve logs (--logs-listen)?"
            ),
        ),
        code => anyhow::anyhow!("{} (HTTP {code})", status.message),
    }
}
