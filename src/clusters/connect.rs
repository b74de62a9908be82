//! A checked connection description into a client. Nothing is sent here: the client connects with its first request.

use std::{fs, time::Duration};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, header};

use crate::clusters::rest_config::{Credential, Pem, RestConfig, Trust};

/// A server that doesn't accept a connection within this time counts as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What we call ourselves in the target's audit log, unless the config says otherwise.
const USER_AGENT: &str = concat!("landfall/", env!("CARGO_PKG_VERSION"));

/// A client for this description. Errors name the field or file and never show a value.
pub fn client(config: &RestConfig) -> anyhow::Result<kube::Client> {
    let mut kube = kube::Config::new(config.host.clone());
    // The built-in retry would send a POST again that the server may have carried out.
    kube.default_retry = false;
    kube.connect_timeout = Some(CONNECT_TIMEOUT);
    kube.tls_server_name = config.server_name.clone();
    let agent = config.user_agent.as_deref().unwrap_or(USER_AGENT);
    kube.headers.push((header::USER_AGENT, HeaderValue::from_str(agent).context("field `UserAgent`")?));
    match &config.trust {
        Trust::System => {}
        Trust::Anybody => kube.accept_invalid_certs = true,
        Trust::Authority(Pem::Text(text)) => kube.root_cert = Some(certificates(text.reveal())?),
        Trust::Authority(Pem::File(path)) => kube.root_cert_file = Some(path.clone()),
    }
    kube.auth_info = auth_info(&config.credential)?;
    kube::Client::try_from(kube).map_err(describe)
}

fn auth_info(credential: &Credential) -> anyhow::Result<kube::config::AuthInfo> {
    let mut auth = kube::config::AuthInfo::default();
    match credential {
        Credential::Token(token) => auth.token = Some(token.reveal().to_owned().into()),
        Credential::TokenFile(path) => auth.token_file = Some(path.to_string_lossy().into_owned()),
        Credential::Basic { username, password } => {
            auth.username = Some(username.clone());
            auth.password = Some(password.reveal().to_owned().into());
        }
        Credential::Certificate { certificate, key } => {
            auth.client_certificate_data = Some(STANDARD.encode(pem_text(certificate, "CertFile")?));
            auth.client_key_data = Some(STANDARD.encode(pem_text(key, "KeyFile")?).into());
        }
    }
    Ok(auth)
}

fn pem_text(pem: &Pem, field: &str) -> anyhow::Result<String> {
    match pem {
        Pem::Text(text) => Ok(text.reveal().to_owned()),
        Pem::File(path) => fs::read_to_string(path).with_context(|| format!("field `{field}`: {}", path.display())),
    }
}

/// Every certificate of a PEM bundle, as DER.
fn certificates(bundle: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut found = Vec::new();
    let mut rest = bundle;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let Some((body, after)) = after.split_once(END) else {
            bail!("field `CAData`: a certificate has no end");
        };
        let packed: String = body.split_whitespace().collect();
        let Ok(der) = STANDARD.decode(packed) else {
            bail!("field `CAData`: a certificate is not base64");
        };
        found.push(der);
        rest = after;
    }
    if found.is_empty() {
        bail!("field `CAData`: holds no certificate");
    }
    Ok(found)
}

/// The kind of failure only: what the TLS library says of a key may quote it.
fn describe(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::RustlsTls(_) => anyhow::anyhow!("the certificates or the key can't be used for TLS"),
        kube::Error::Auth(_) => anyhow::anyhow!("the credential can't be used"),
        other => anyhow::Error::new(other),
    }
}
