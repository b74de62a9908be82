//! The JSON of Go's `rest.Config`, as the Secret `clusters` holds it, into a checked connection description. Pure: text in,
//! value or refusal out; files that it names are checked by path here and read in `connect.rs`.
//!
//! The format is client-go's `k8s.io/client-go/rest.Config` as `encoding/json` writes and reads it: keys are Go field
//! names compared without case, byte slices are base64, durations are integer nanoseconds, a zero value means unset.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use base64::Engine;
use http::Uri;
use serde_json::Value;

/// Text that never shows itself: not in `Debug`, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Sensitive(String);

impl Sensitive {
    /// The text. Call this only where it goes onto the wire.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Sensitive {
    fn from(text: String) -> Sensitive {
        Sensitive(text)
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// How to reach a cluster and who to be there.
#[derive(Clone, Debug, PartialEq)]
pub struct RestConfig {
    /// The API server's URL, with a scheme.
    pub host: Uri,
    /// Who we are.
    pub credential: Credential,
    /// Whom we trust.
    pub trust: Trust,
    /// The name to expect in the server's certificate, where it isn't the host's.
    pub server_name: Option<String>,
    /// The User-Agent header; `None`: our own.
    pub user_agent: Option<String>,
    /// How many requests a second.
    pub rate: Rate,
    /// How long one call may take; `None`: our default.
    pub timeout: Option<Duration>,
}

/// Exactly one way to say who we are.
#[derive(Clone, Debug, PartialEq)]
pub enum Credential {
    /// A bearer token.
    Token(Sensitive),
    /// A file that holds a bearer token, read again as it changes.
    TokenFile(PathBuf),
    /// Basic authentication.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: Sensitive,
    },
    /// A client certificate with its key.
    Certificate {
        /// PEM, or a file of it.
        certificate: Pem,
        /// PEM, or a file of it.
        key: Pem,
    },
}

/// PEM, given or in a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Pem {
    /// The text itself.
    Text(Sensitive),
    /// A file inside the credentials folder.
    File(PathBuf),
}

/// Whom we trust to be the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Trust {
    /// The system's authorities.
    System,
    /// These authorities.
    Authority(Pem),
    /// Anybody. Only where the operator's flag allows it.
    Anybody,
}

/// A bound on requests a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Our default.
    Default,
    /// No limit.
    Unlimited,
    /// This many a second, with bursts.
    Limited {
        /// Requests a second, above 0.
        per_second: f64,
        /// Requests that may go at once.
        burst: u32,
    },
}

/// What the operator allows the Secret to ask for.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    /// Files that a config names must be in this folder; `None`: no files.
    pub credentials_folder: Option<PathBuf>,
    /// Whether `Insecure: true`, and a credential over plain http to another machine, are accepted.
    pub insecure: bool,
}

/// Why a config is not used. It names the field and never shows a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The text is not JSON.
    #[error("not JSON: line {line}, column {column}")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// A field is wrong.
    #[error("field `{field}`: {problem}")]
    Field {
        /// As the format spells it; an unknown one as it was given.
        field: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Reads one value of the Secret.
pub fn parse(json: &[u8], allowed: &Allowed) -> Result<RestConfig, Refusal> {
    let value: Value = serde_json::from_slice(json)
        .map_err(|error| Refusal::NotJson { line: error.line(), column: error.column() })?;
    let fields = Fields::read(value)?;
    let host = host(&fields)?;
    let trust = trust(&fields, allowed)?;
    let credential = credential(&fields, allowed)?;
    if host.scheme_str() == Some("http") && !allowed.insecure && !is_loopback(&host) {
        return refuse("Host", "plain http to another machine would show the credential to anybody on the way");
    }
    Ok(RestConfig {
        host,
        credential,
        trust,
        server_name: fields.text("ServerName")?,
        user_agent: user_agent(&fields)?,
        rate: rate(&fields)?,
        timeout: timeout(&fields)?,
    })
}

/// Fields that are acted on.
const KNOWN: &[&str] = &[
    "Host",
    "Username",
    "Password",
    "BearerToken",
    "BearerTokenFile",
    "Insecure",
    "ServerName",
    "CertFile",
    "KeyFile",
    "CAFile",
    "CertData",
    "KeyData",
    "CAData",
    "UserAgent",
    "DisableCompression",
    "QPS",
    "Burst",
    "Timeout",
];

/// Fields that exist but that we can't act on: their zero value is accepted, anything else is refused rather than ignored.
const UNSUPPORTED: &[&str] = &[
    "APIPath",
    "NextProtos",
    "AcceptContentTypes",
    "ContentType",
    "GroupVersion",
    "NegotiatedSerializer",
    "Impersonate",
    "AuthProvider",
    "AuthConfigPersister",
    "ExecProvider",
    "Transport",
    "WrapTransport",
    "RateLimiter",
    "WarningHandler",
    "WarningHandlerWithContext",
    "Dial",
    "Proxy",
];

/// Objects that are embedded in Go, and the fields of each: these may stand in it, or flat beside the others.
const NESTED: &[(&str, &[&str])] = &[
    (
        "TLSClientConfig",
        &["Insecure", "ServerName", "CertFile", "KeyFile", "CAFile", "CertData", "KeyData", "CAData", "NextProtos"],
    ),
    ("ContentConfig", &["AcceptContentTypes", "ContentType", "GroupVersion", "NegotiatedSerializer"]),
];

/// The slowest rate that is accepted: a call waits for its turn longer than it may take with anything below.
const PER_SECOND_MIN: f64 = 0.1;
/// The shortest timeout that is accepted. A number below was most likely not meant as nanoseconds.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// The fields that are set, by the format's spelling.
struct Fields(BTreeMap<&'static str, Value>);

impl Fields {
    fn read(value: Value) -> Result<Fields, Refusal> {
        let mut fields = Fields(BTreeMap::new());
        fields.add(value, "(top)", None)?;
        Ok(fields)
    }

    /// `nested` holds the fields that may stand in here; `None`: it is the whole, where all may.
    fn add(&mut self, value: Value, at: &str, nested: Option<&[&str]>) -> Result<(), Refusal> {
        let Value::Object(object) = value else {
            return refuse(at, "must be an object");
        };
        for (key, value) in object {
            let is = |name: &&str| name.eq_ignore_ascii_case(&key);
            match nested {
                Some(fields) if !fields.iter().any(is) => return refuse(&key, "is unknown there"),
                Some(_) => {}
                None => {
                    if let Some((name, fields)) = NESTED.iter().find(|(name, _)| is(name)) {
                        if !value.is_null() {
                            self.add(value, name, Some(fields))?;
                        }
                        continue;
                    }
                }
            }
            if let Some(name) = UNSUPPORTED.iter().find(|name| name.eq_ignore_ascii_case(&key)) {
                if is_zero(&value) {
                    continue;
                }
                return refuse(name, "is not supported; leave it out");
            }
            let Some(name) = KNOWN.iter().find(|name| name.eq_ignore_ascii_case(&key)) else {
                return refuse(&key, "is unknown");
            };
            if is_zero(&value) {
                continue;
            }
            if self.0.insert(name, value).is_some() {
                return refuse(name, "is given twice");
            }
        }
        Ok(())
    }

    fn text(&self, field: &'static str) -> Result<Option<String>, Refusal> {
        match self.0.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => refuse(field, "must be a string"),
        }
    }

    fn sensitive(&self, field: &'static str) -> Result<Option<Sensitive>, Refusal> {
        let text = self.text(field)?;
        // A credential becomes a header value, and what can't be one would fail later with less to go by.
        if text.as_ref().is_some_and(|text| text.chars().any(char::is_control)) {
            return refuse(field, "must not contain line breaks or other control characters");
        }
        Ok(text.map(Sensitive))
    }

    fn flag(&self, field: &'static str) -> Result<bool, Refusal> {
        match self.0.get(field) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => refuse(field, "must be true or false"),
        }
    }

    fn integer(&self, field: &'static str) -> Result<Option<i64>, Refusal> {
        match self.0.get(field) {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) => Ok(Some(number)),
                None => refuse(field, "must be an integer"),
            },
        }
    }

    /// PEM from the field with the text, which wins as in client-go, or else from the one with the path.
    fn pem(&self, data: &'static str, file: &'static str, allowed: &Allowed) -> Result<Option<Pem>, Refusal> {
        let path = self.path(file, allowed)?;
        if let Some(encoded) = self.text(data)? {
            let Ok(decoded) = base64::engine::general_purpose::STANDARD.decode(encoded.trim()) else {
                return refuse(data, "is not base64");
            };
            return match String::from_utf8(decoded) {
                Ok(text) if text.contains("-----BEGIN ") => Ok(Some(Pem::Text(Sensitive(text)))),
                Ok(_) | Err(_) => refuse(data, "is not base64 of PEM"),
            };
        }
        Ok(path.map(Pem::File))
    }

    fn path(&self, field: &'static str, allowed: &Allowed) -> Result<Option<PathBuf>, Refusal> {
        let Some(path) = self.text(field)? else { return Ok(None) };
        let Some(folder) = &allowed.credentials_folder else {
            return refuse(field, "names a file, but no credentials folder is configured");
        };
        let path = Path::new(&path);
        let climbs = path.components().any(|part| part == Component::ParentDir);
        if climbs || !path.starts_with(folder) {
            return refuse(field, "names a file outside the credentials folder");
        }
        Ok(Some(path.to_owned()))
    }
}

fn host(fields: &Fields) -> Result<Uri, Refusal> {
    let Some(text) = fields.text("Host")? else {
        return refuse("Host", "is missing");
    };
    // As client-go: without a scheme, https where anything of TLS or a credential is given, and a credential always is.
    let text = if text.contains("://") { text } else { format!("https://{text}") };
    let Ok(uri) = text.parse::<Uri>() else {
        return refuse("Host", "is not a URL");
    };
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(_) | None => return refuse("Host", "must be an http or https URL"),
    }
    if uri.host().is_none_or(str::is_empty) {
        return refuse("Host", "names no host");
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return refuse("Host", "must not hold a user; use `Username` and `Password`");
    }
    if uri.query().is_some() {
        return refuse("Host", "must not have a query");
    }
    Ok(uri)
}

fn credential(fields: &Fields, allowed: &Allowed) -> Result<Credential, Refusal> {
    let token = fields.sensitive("BearerToken")?;
    let token_file = fields.path("BearerTokenFile", allowed)?;
    let username = fields.text("Username")?;
    if username.as_ref().is_some_and(|name| name.contains(':') || name.chars().any(char::is_control)) {
        return refuse("Username", "must not contain `:` or control characters");
    }
    let password = fields.sensitive("Password")?;
    let certificate = fields.pem("CertData", "CertFile", allowed)?;
    let key = fields.pem("KeyData", "KeyFile", allowed)?;

    // With both, client-go reads the file and falls back to the text. Only one of them can be what was meant to last.
    if token.is_some() && token_file.is_some() {
        return refuse("BearerTokenFile", "is given beside `BearerToken`");
    }
    let token = token.map(Credential::Token).or(token_file.map(Credential::TokenFile));
    let basic = match (username, password) {
        (Some(username), Some(password)) => Some(Credential::Basic { username, password }),
        (Some(_), None) => return refuse("Password", "is missing beside `Username`"),
        (None, Some(_)) => return refuse("Username", "is missing beside `Password`"),
        (None, None) => None,
    };
    let certificate = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Credential::Certificate { certificate, key }),
        (Some(_), None) => return refuse("KeyData", "is missing beside the client certificate"),
        (None, Some(_)) => return refuse("CertData", "is missing beside the client key"),
        (None, None) => None,
    };
    match (token, basic, certificate) {
        (Some(credential), None, None) | (None, Some(credential), None) | (None, None, Some(credential)) => {
            Ok(credential)
        }
        (None, None, None) => refuse("BearerToken", "is missing, and there is no other credential"),
        (Some(_), _, Some(_)) => refuse("BearerToken", "is given beside a client certificate"),
        (Some(_), Some(_), None) => refuse("BearerToken", "is given beside `Username`"),
        (None, Some(_), Some(_)) => refuse("Username", "is given beside a client certificate"),
    }
}

fn trust(fields: &Fields, allowed: &Allowed) -> Result<Trust, Refusal> {
    let authority = fields.pem("CAData", "CAFile", allowed)?;
    match (fields.flag("Insecure")?, authority) {
        (true, Some(_)) => refuse("Insecure", "is true beside an authority to trust"),
        (true, None) if allowed.insecure => Ok(Trust::Anybody),
        (true, None) => refuse("Insecure", "is true, which the controller's flags don't allow"),
        (false, Some(authority)) => Ok(Trust::Authority(authority)),
        (false, None) => Ok(Trust::System),
    }
}

fn user_agent(fields: &Fields) -> Result<Option<String>, Refusal> {
    // Compression is never asked for, so that both values of this one are met.
    fields.flag("DisableCompression")?;
    let agent = fields.text("UserAgent")?;
    if agent.as_ref().is_some_and(|agent| !agent.chars().all(|c| c.is_ascii_graphic() || c == ' ')) {
        return refuse("UserAgent", "must be printable ASCII");
    }
    Ok(agent)
}

fn rate(fields: &Fields) -> Result<Rate, Refusal> {
    let burst = match fields.integer("Burst")? {
        None => None,
        Some(burst) => match u32::try_from(burst) {
            Ok(burst) => Some(burst),
            Err(_) => return refuse("Burst", "is out of range"),
        },
    };
    let per_second = match fields.0.get("QPS") {
        None if burst.is_some() => return refuse("Burst", "is given without `QPS`"),
        None => return Ok(Rate::Default),
        Some(value) => match value.as_f64() {
            Some(per_second) => per_second,
            None => return refuse("QPS", "must be a number"),
        },
    };
    if per_second < 0.0 {
        return Ok(Rate::Unlimited);
    }
    if per_second < PER_SECOND_MIN {
        return refuse("QPS", "is below 0.1: calls would wait longer than they may take");
    }
    let at_least_one = per_second.ceil().clamp(1.0, f64::from(u32::MAX));
    Ok(Rate::Limited { per_second, burst: burst.unwrap_or(at_least_one as u32) })
}

fn timeout(fields: &Fields) -> Result<Option<Duration>, Refusal> {
    match fields.integer("Timeout")?.map(u64::try_from) {
        None => Ok(None),
        Some(Ok(nanoseconds)) if Duration::from_nanos(nanoseconds) < TIMEOUT_MIN => {
            refuse("Timeout", "is shorter than 100 ms; it counts nanoseconds")
        }
        Some(Ok(nanoseconds)) => Ok(Some(Duration::from_nanos(nanoseconds))),
        Some(Err(_)) => refuse("Timeout", "is negative"),
    }
}

fn is_loopback(host: &Uri) -> bool {
    let name = host.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<core::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Go's zero value in any of its encodings, which means unset.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_zero),
    }
}

fn refuse<T>(field: &str, problem: &'static str) -> Result<T, Refusal> {
    Err(Refusal::Field { field: field.to_owned(), problem })
}
