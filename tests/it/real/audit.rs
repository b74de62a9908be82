//! Who asked the API server for what: its audit log, and the policy that says what stands in it.

use std::{fs, path::Path};

use serde::Deserialize;

/// Everything that isn't the cluster's own business or the administrator's. Blocking, the default, means that a line is
/// there when its answer arrives or within a moment after it.
pub const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: [admin, "system:kube-controller-manager", "system:apiserver", "system:anonymous"]}
- {level: None, nonResourceURLs: ["/readyz*", "/livez*", "/healthz*", "/version", "/openapi/*"]}
- {level: Metadata}
"#;

/// One line of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub user: String,
    /// As RBAC names it: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// With the subresource, as `pods/log`. Empty for what isn't a resource.
    pub resource: String,
    pub namespace: String,
    pub name: String,
    /// Path and query.
    pub uri: String,
    pub user_agent: String,
    /// HTTP status; 0 where none was sent.
    pub code: u16,
    /// `ResponseStarted`, which only watches and logs have, `ResponseComplete` or `Panic`.
    pub stage: String,
}

impl Entry {
    /// Whether it is a change, and answered: one entry for each write.
    pub fn is_write(&self) -> bool {
        let changes = ["create", "update", "patch", "delete", "deletecollection"];
        self.stage == "ResponseComplete" && changes.contains(&self.verb.as_str())
    }
}

/// What one user asked for so far, in the order of the answers.
pub fn read(log: &Path, user: &str) -> Vec<Entry> {
    let quoted = format!("\"username\":{}", serde_json::to_string(user).unwrap());
    let text = fs::read_to_string(log).unwrap_or_default();
    // A line that is being written is left for the next time.
    let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
    let lines = complete.lines().filter(|line| line.contains(&quoted));
    lines
        .map(|line| serde_json::from_str::<Line>(line).unwrap().into())
        .filter(|entry: &Entry| entry.user == user)
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Line {
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    user_agent: String,
    object_ref: Object,
    response_status: Answer,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct User {
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    code: u16,
}

impl From<Line> for Entry {
    fn from(line: Line) -> Entry {
        let Object { mut resource, subresource, namespace, name } = line.object_ref;
        if !subresource.is_empty() {
            resource = format!("{resource}/{subresource}");
        }
        let (user, code) = (line.user.username, line.response_status.code);
        let (uri, user_agent, stage) = (line.request_uri, line.user_agent, line.stage);
        Entry { user, verb: line.verb, resource, namespace, name, uri, user_agent, code, stage }
    }
}
