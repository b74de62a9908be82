//! A context of a kubeconfig into the JSON of Go's `rest.Config`, as the Secret `clusters` holds it. Pure: what a
//! kubeconfig names is read by a function that the caller gives.
//!
//! The kubeconfig is the merged one, as JSON, with the paths of its files made absolute. What can't be kept in a Secret
//! without becoming something else is refused by the name of its field, with the way out.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Uri;
use serde_json::{Map, Value, json};

use crate::clusters::rest_config::Sensitive;

/// Why a context is not used. It names the field and never shows a secret value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Refusal {
    /// What is wrong and where.
    pub what: String,
    /// The way out.
    pub way_out: String,
}

/// How a cluster is reached, without saying who reaches it.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Its URL, without a user in it.
    pub url: Uri,
    /// Whom to trust.
    pub trust: Trust,
    /// The name to expect in its certificate, where it isn't the URL's.
    pub server_name: Option<String>,
}

/// Whom to trust to be the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Trust {
    /// The authorities of whichever system connects.
    System,
    /// These authorities, as PEM.
    Authority(Vec<u8>),
    /// Anybody.
    Anybody,
}

/// Who reaches it.
#[derive(Clone, Debug, PartialEq)]
pub enum Credential {
    /// With this token.
    Token(Sensitive),
    /// With this name and password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: Sensitive,
    },
    /// With this certificate, and its key.
    Certificate {
        /// PEM.
        certificate: Vec<u8>,
        /// PEM.
        key: Sensitive,
    },
}

/// Reads a file that the kubeconfig names.
pub type Read<'a> = &'a dyn Fn(&Path) -> Result<Vec<u8>, String>;

/// One context, and what it refers to.
pub struct Context<'a> {
    name: &'a str,
    cluster: &'a Value,
    user: &'a Value,
    read: Read<'a>,
}

impl<'a> Context<'a> {
    /// Finds a context and what it refers to.
    ///
    /// # Errors
    /// If the kubeconfig lacks one of them.
    pub fn find(kubeconfig: &'a Value, name: &'a str, read: Read<'a>) -> Result<Context<'a>, Refusal> {
        let Some(context) = entry(kubeconfig, "contexts", "context", name) else {
            let known: Vec<&str> = names(kubeconfig, "contexts");
            return refuse(
                format!("the kubeconfig has no context {name:?}"),
                match known.as_slice() {
                    [] => "it has none at all; name another file with --kubeconfig or KUBECONFIG".to_owned(),
                    known => format!("it has {}; --kubeconfig or KUBECONFIG name other files", known.join(", ")),
                },
            );
        };
        let cluster = text(context, "cluster").unwrap_or_default();
        let Some(cluster) = entry(kubeconfig, "clusters", "cluster", cluster) else {
            return refuse(
                format!("context {name:?} is of cluster {cluster:?}, which the kubeconfig does not have"),
                "add it with `kubectl config set-cluster`".to_owned(),
            );
        };
        // A user that is missing is nobody, as for kubectl.
        let user = text(context, "user").and_then(|user| entry(kubeconfig, "users", "user", user));
        Ok(Context { name, cluster, user: user.unwrap_or(&Value::Null), read })
    }

    /// How its cluster is reached.
    ///
    /// # Errors
    /// If it can't be reached like that from elsewhere, or a file can't be read.
    pub fn server(&self) -> Result<Server, Refusal> {
        let url = text(self.cluster, "server").unwrap_or_default();
        let Some((url, _)) = split_user(url) else {
            return refuse(
                format!("the cluster of context {:?} has no usable server URL", self.name),
                "give the address with --server".to_owned(),
            );
        };
        if text(self.cluster, "proxy-url").is_some() {
            return refuse(
                format!("context {:?} reaches its cluster through a proxy (proxy-url)", self.name),
                "the controller can't: give it an address that it reaches without, in a kubeconfig without proxy-url"
                    .to_owned(),
            );
        }
        let authority = self.pem(self.cluster, "certificate-authority-data", "certificate-authority")?;
        let insecure = self.cluster.get("insecure-skip-tls-verify") == Some(&Value::Bool(true));
        let trust = match (authority, insecure) {
            (Some(_), true) => {
                return refuse(
                    format!("context {:?} has insecure-skip-tls-verify beside an authority to trust", self.name),
                    "take insecure-skip-tls-verify away from the kubeconfig".to_owned(),
                );
            }
            (None, true) => Trust::Anybody,
            (Some(pem), false) => Trust::Authority(pem),
            (None, false) => Trust::System,
        };
        Ok(Server { url, trust, server_name: text(self.cluster, "tls-server-name").map(str::to_owned) })
    }

    /// The context's own credential, if it can be used by somebody else than this machine.
    ///
    /// # Errors
    /// If it can't, if there is none or more than one, or a file can't be read.
    pub fn credential(&self) -> Result<Credential, Refusal> {
        self.refuse_helpers()?;
        let token = match (text(self.user, "token"), text(self.user, "tokenFile")) {
            (Some(token), _) => Some(Credential::Token(Sensitive::from(token.to_owned()))),
            (None, Some(file)) => Some(Credential::Token(self.token_file(file)?)),
            (None, None) => None,
        };
        let basic = match (text(self.user, "username"), text(self.user, "password")) {
            (Some(username), Some(password)) => Some(Credential::Basic {
                username: username.to_owned(),
                password: Sensitive::from(password.to_owned()),
            }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return self.refuse("a username or a password without the other", "complete the kubeconfig");
            }
        };
        let certificate = self.pem(self.user, "client-certificate-data", "client-certificate")?;
        let key = self.pem(self.user, "client-key-data", "client-key")?;
        let certificate = match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let Ok(key) = String::from_utf8(key) else {
                    return self.refuse("a client key that is not PEM", "mend the kubeconfig");
                };
                Some(Credential::Certificate { certificate, key: Sensitive::from(key) })
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return self
                    .refuse("a client certificate or a client key without the other", "complete the kubeconfig");
            }
        };
        let mut given = [token, basic, certificate].into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(credential), None) => Ok(credential),
            (Some(_), Some(_)) => self.refuse(
                "more than one credential: a token, a password and a client certificate exclude each other",
                "an API server would take them for two users: keep one in the kubeconfig",
            ),
            (None, _) => match text(self.cluster, "server").and_then(split_user) {
                // As for Go's HTTP client, the user in a URL counts where there is no other.
                Some((_, Some(basic))) => Ok(basic),
                Some((_, None)) | None => self.refuse("no credential", "leave out --as-is, or take another context"),
            },
        }
    }

    /// What makes a credential anew each time, or speaks for somebody else, is no credential that could be stored.
    fn refuse_helpers(&self) -> Result<(), Refusal> {
        if let Some(exec) = self.user.get("exec").filter(|exec| !exec.is_null()) {
            let command = text(exec, "command").unwrap_or_default();
            return self.refuse(
                &format!("an exec plug-in ({command}), which only this machine can run"),
                "leave out --as-is: the plug-in is then used here, once, to make an account whose token the controller renews",
            );
        }
        if let Some(provider) = self.user.get("auth-provider").filter(|provider| !provider.is_null()) {
            let name = text(provider, "name").unwrap_or_default();
            return self.refuse(
                &format!("an auth provider ({name}), whose tokens end and are renewed on this machine only"),
                "take a context with another credential, and leave out --as-is",
            );
        }
        for field in ["as", "as-uid", "as-groups", "as-user-extra"] {
            if self.user.get(field).is_some_and(|value| !value.is_null()) {
                return self.refuse(
                    &format!("impersonation ({field}), which the controller does not do"),
                    "leave out --as-is, or take a context that is that user itself",
                );
            }
        }
        Ok(())
    }

    fn token_file(&self, file: &str) -> Result<Sensitive, Refusal> {
        let bytes = self.file(Path::new(file), "tokenFile")?;
        match String::from_utf8(bytes) {
            Ok(token) if !token.trim().is_empty() => Ok(Sensitive::from(token.trim().to_owned())),
            Ok(_) | Err(_) => self.refuse("a tokenFile without a token in it", "take another context"),
        }
    }

    /// Data in base64 goes before a file, as for kubectl.
    fn pem(&self, of: &Value, data: &str, file: &str) -> Result<Option<Vec<u8>>, Refusal> {
        if let Some(data_text) = text(of, data) {
            let packed: String = data_text.split_whitespace().collect();
            return match STANDARD.decode(packed) {
                Ok(pem) => Ok(Some(pem)),
                Err(_) => self.refuse(&format!("a {data} that is not base64"), "mend the kubeconfig"),
            };
        }
        text(of, file).map(|path| self.file(Path::new(path), file)).transpose()
    }

    fn file(&self, path: &Path, field: &str) -> Result<Vec<u8>, Refusal> {
        (self.read)(path).or_else(|problem| {
            let path = PathBuf::from(path);
            refuse(
                format!("context {:?} names {} as {field}: {problem}", self.name, path.display()),
                "files are read in, so they must be readable here".to_owned(),
            )
        })
    }

    fn refuse<T>(&self, what: &str, way_out: &str) -> Result<T, Refusal> {
        refuse(format!("the user of context {:?} has {what}", self.name), way_out.to_owned())
    }
}

/// The value of the Secret `clusters`.
pub fn rest_config(server: &Server, credential: &Credential) -> Sensitive {
    let mut config = Map::new();
    config.insert("Host".to_owned(), json!(server.url.to_string().trim_end_matches('/')));
    let mut tls = Map::new();
    match credential {
        Credential::Token(token) => {
            config.insert("BearerToken".to_owned(), json!(token.reveal()));
        }
        Credential::Basic { username, password } => {
            config.insert("Username".to_owned(), json!(username));
            config.insert("Password".to_owned(), json!(password.reveal()));
        }
        Credential::Certificate { certificate, key } => {
            tls.insert("CertData".to_owned(), json!(STANDARD.encode(certificate)));
            tls.insert("KeyData".to_owned(), json!(STANDARD.encode(key.reveal())));
        }
    }
    match &server.trust {
        Trust::System => {}
        Trust::Authority(pem) => drop(tls.insert("CAData".to_owned(), json!(STANDARD.encode(pem)))),
        Trust::Anybody => drop(tls.insert("Insecure".to_owned(), json!(true))),
    }
    if let Some(name) = &server.server_name {
        tls.insert("ServerName".to_owned(), json!(name));
    }
    config.insert("TLSClientConfig".to_owned(), Value::Object(tls));
    Sensitive::from(Value::Object(config).to_string())
}

/// Fields by which an operator limits a connection; the format's spelling.
const LIMITS: [&str; 4] = ["QPS", "Burst", "Timeout", "UserAgent"];

/// A value of the Secret with the limits of the one that it replaces.
pub fn with_limits_of(before: &[u8], rest_config: &Sensitive) -> Sensitive {
    let (Ok(Value::Object(before)), Ok(Value::Object(mut config))) =
        (serde_json::from_slice(before), serde_json::from_str(rest_config.reveal()))
    else {
        return rest_config.clone();
    };
    let is_limit = |(key, _): &(String, Value)| LIMITS.iter().any(|name| name.eq_ignore_ascii_case(key));
    config.extend(before.into_iter().filter(is_limit));
    Sensitive::from(Value::Object(config).to_string())
}

/// Whether an address leads back to whoever uses it.
pub fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_local = |address: core::net::IpAddr| address.is_loopback() || address.is_unspecified();
    host == "localhost" || host.ends_with(".localhost") || host.parse().is_ok_and(is_local)
}

/// A server's URL without the user that may stand in it, and that user; `None` if it is no URL of a server.
fn split_user(url: &str) -> Option<(Uri, Option<Credential>)> {
    let url: Uri = if url.contains("://") { url.parse().ok()? } else { format!("https://{url}").parse().ok()? };
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
        return None;
    }
    let authority = url.authority()?.as_str().to_owned();
    let Some((user, host)) = authority.rsplit_once('@') else { return Some((url, None)) };
    let (username, password) = user.split_once(':').unwrap_or((user, ""));
    let basic = Credential::Basic { username: username.to_owned(), password: Sensitive::from(password.to_owned()) };
    let mut parts = url.clone().into_parts();
    parts.authority = Some(host.parse().ok()?);
    Some((Uri::from_parts(parts).ok()?, Some(basic)))
}

fn entry<'a>(kubeconfig: &'a Value, list: &str, field: &str, name: &str) -> Option<&'a Value> {
    let entries = kubeconfig.get(list)?.as_array()?;
    entries.iter().find(|entry| text(entry, "name") == Some(name))?.get(field)
}

fn names<'a>(kubeconfig: &'a Value, list: &str) -> Vec<&'a str> {
    let entries = kubeconfig.get(list).and_then(Value::as_array).into_iter().flatten();
    entries.filter_map(|entry| text(entry, "name")).collect()
}

/// A text that is there and not empty.
fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field)?.as_str().filter(|text| !text.is_empty())
}

fn refuse<T>(what: String, way_out: String) -> Result<T, Refusal> {
    Err(Refusal { what, way_out })
}
