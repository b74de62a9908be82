//! Arbitrary pods: the fields that modules look at, mostly with what belongs there, sometimes with anything else.
//!
//! Whatever is made is JSON, as what the controller hands over always is; whether it is a pod, modules have to see.

use arbitrary::Arbitrary;
use serde_json::{Map, Number, Value};

/// Texts that mean something to a module somewhere in a pod, and some that nearly do.
const WORDS: &[&str] = &[
    "",
    "main",
    "alpine",
    "alpine:3.20",
    "library/alpine",
    "index.docker.io/library/alpine",
    "ghcr.io/acme/tool:1",
    "ghcr.io/acme/a/b",
    "GHCR.IO/acme/tool",
    "ghcr.io:443/acme/tool",
    "ghcr.io/acme",
    "quay.io/tools/scan@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "ghcr.io/acme/tool@sha256:0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "localhost/x",
    "[::1]:5000/x",
    "a@b@c",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "CAP_CHOWN",
    "ALL",
    "RuntimeDefault",
    "Localhost",
    "Unconfined",
    "unconfined",
    "container_t",
    "spc_t",
    "Default",
    "Unmasked",
    "kernel.shm_rmid_forced",
    "net/ipv4/ping_group_range",
    "kernel.msgmax",
    "localhost",
    "127.0.0.1",
    "10.0.0.1",
    "linux",
    "windows",
    "default",
    "container.apparmor.security.beta.kubernetes.io/main",
    "request-time",
    "2026-11-24T08:30:00Z",
    "policy.landfall.dev/team",
    "target-label:policy.landfall.dev/tier",
];

/// Fields that modules look at, wherever in a pod they belong.
const FIELDS: &[&str] = &[
    "metadata",
    "labels",
    "annotations",
    "spec",
    "containers",
    "initContainers",
    "ephemeralContainers",
    "volumes",
    "securityContext",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "hostUsers",
    "serviceAccountName",
    "automountServiceAccountToken",
    "runtimeClassName",
    "nodeName",
    "nodeSelector",
    "os",
    "name",
    "image",
    "ports",
    "hostPort",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "postStart",
    "preStop",
    "httpGet",
    "tcpSocket",
    "host",
    "runAsUser",
    "runAsNonRoot",
    "seccompProfile",
    "appArmorProfile",
    "seLinuxOptions",
    "sysctls",
    "windowsOptions",
    "hostProcess",
    "privileged",
    "allowPrivilegeEscalation",
    "capabilities",
    "add",
    "drop",
    "procMount",
    "type",
    "user",
    "role",
    "reference",
    "hostPath",
    "emptyDir",
    "projected",
    "sources",
    "serviceAccountToken",
    "clusterTrustBundle",
    "podCertificate",
    "csi",
    "secret",
    "configMap",
];

/// Readers of JSON give up at 128; a pod that is read at all is less deep.
const DEPTH_MAX: u8 = 120;

/// A pod, or nearly.
#[derive(Debug, Arbitrary)]
pub struct Pod {
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    ephemeral_containers: Vec<Container>,
    volumes: Vec<Volume>,
    rights: Vec<Field>,
    /// More of the spec; it may take the place of what is above.
    spec: Vec<Field>,
    /// The same of the whole.
    whole: Vec<Field>,
}

#[derive(Debug, Arbitrary)]
struct Container {
    name: Text,
    image: Option<Text>,
    rights: Vec<Field>,
    more: Vec<Field>,
}

#[derive(Debug, Arbitrary)]
struct Volume {
    name: Text,
    more: Vec<Field>,
}

#[derive(Debug, Arbitrary)]
struct Field {
    key: Key,
    value: Json,
}

#[derive(Debug, Arbitrary)]
enum Key {
    Known(u8),
    Any(String),
}

/// Any text, but often one that means something.
#[derive(Debug, Arbitrary)]
pub enum Text {
    /// One of a few.
    Known(u8),
    /// Anything.
    Any(String),
}

#[derive(Debug, Arbitrary)]
enum Json {
    Null,
    Bool(bool),
    Whole(i64),
    Fraction(f64),
    Text(Text),
    List(Vec<Json>),
    Object(Vec<Field>),
    /// A list in a list in a list.
    Deep(u8),
}

impl Pod {
    /// The pod.
    pub fn json(&self) -> Value {
        let mut spec = Map::new();
        for (name, containers) in [
            ("containers", &self.containers),
            ("initContainers", &self.init_containers),
            ("ephemeralContainers", &self.ephemeral_containers),
        ] {
            spec.insert(name.to_owned(), containers.iter().map(Container::json).collect());
        }
        spec.insert("volumes".to_owned(), self.volumes.iter().map(Volume::json).collect());
        spec.insert("securityContext".to_owned(), object(Map::new(), &self.rights));
        let mut whole = Map::new();
        whole.insert("apiVersion".to_owned(), "v1".into());
        whole.insert("kind".to_owned(), "Pod".into());
        whole.insert("spec".to_owned(), object(spec, &self.spec));
        object(whole, &self.whole)
    }
}

impl Container {
    fn json(&self) -> Value {
        let mut container = Map::new();
        container.insert("name".to_owned(), self.name.text().into());
        if let Some(image) = &self.image {
            container.insert("image".to_owned(), image.text().into());
        }
        container.insert("securityContext".to_owned(), object(Map::new(), &self.rights));
        object(container, &self.more)
    }
}

impl Volume {
    fn json(&self) -> Value {
        let mut volume = Map::new();
        volume.insert("name".to_owned(), self.name.text().into());
        object(volume, &self.more)
    }
}

impl Text {
    /// The text.
    pub fn text(&self) -> String {
        match self {
            Text::Known(number) => WORDS[usize::from(*number) % WORDS.len()].to_owned(),
            Text::Any(text) => text.clone(),
        }
    }
}

impl Key {
    fn text(&self) -> String {
        match self {
            Key::Known(number) => FIELDS[usize::from(*number) % FIELDS.len()].to_owned(),
            Key::Any(text) => text.clone(),
        }
    }
}

impl Json {
    fn value(&self) -> Value {
        match self {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Whole(value) => Value::Number((*value).into()),
            Json::Fraction(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
            Json::Text(text) => Value::String(text.text()),
            Json::List(items) => items.iter().map(Json::value).collect(),
            Json::Object(fields) => object(Map::new(), fields),
            Json::Deep(depth) => (0..depth % DEPTH_MAX).fold(Value::Null, |inner, _| Value::Array(vec![inner])),
        }
    }
}

/// The fields on top of what is there.
fn object(mut fields: Map<String, Value>, more: &[Field]) -> Value {
    fields.extend(more.iter().map(|Field { key, value }| (key.text(), value.value())));
    Value::Object(fields)
}
