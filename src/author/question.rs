//! Requests as authors write them: in suites, in files of their own, as a line of the decision records, or as flags.
//!
//! What is not said takes a default, so that a case names only what it is about. A request is written as in the records,
//! with shorter forms beside them:
//!
//! ```yaml
//! workflow: argo/my-workflow     # or {namespace: argo, name: my-workflow, uid: …}
//! target: other/argo             # cluster/namespace, or {cluster: other, namespace: argo}
//! template: main
//! serviceAccount: workflow
//! attributes: {team: a}          # or [[team, a]]
//! pod: {spec: {containers: [{name: main, image: alpine}]}}    # or podFile: pod.yaml
//! podFields: known               # or `any`: the pod may have fields that Kubernetes doesn't know
//! home: default
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    api::ids::{ClusterName, DEFAULT_SERVICE_ACCOUNT, HOME_CLUSTER, Namespace, Target},
    author::pod,
    policy::{
        config::{
            Mistake,
            reader::{Reader, find, join, list_of},
        },
        consent::Landing,
        request::{Creates, PodJson, Request, Workflow},
        yaml::{Node, Value},
    },
};

/// The fields of a request.
const FIELDS: &[&str] = &[
    "home",
    "workflow",
    "target",
    "template",
    "serviceAccount",
    "attributes",
    "creates",
    "pod",
    "podFile",
    "podFields",
];
/// The name of a workflow, a pod and a container that nobody named.
const NAME: &str = "main";
/// The UID of a workflow that nobody gave one.
const UID: &str = "00000000-0000-0000-0000-000000000000";

/// One question to a module, and what it is to answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Unique in its suite.
    pub name: String,
    /// The line of the suite that it comes from.
    pub line: u64,
    /// What the module is configured with. Questions with the same settings share one value.
    pub settings: Arc<serde_json::Value>,
    /// What is asked, with the pod.
    pub request: Request,
    /// What is to be answered.
    pub expected: Expected,
}

/// What a module is to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No objection.
    Allow,
    /// A denial.
    Deny {
        /// The codes that it may bear; none given is any.
        codes: Vec<String>,
        /// What the reason must contain.
        reason: Option<String>,
    },
}

/// A request of which not everything is said yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// The home cluster.
    pub home: Option<ClusterName>,
    /// The workflow's namespace.
    pub namespace: Option<Namespace>,
    /// The workflow's name.
    pub workflow: Option<String>,
    /// The workflow's UID.
    pub uid: Option<String>,
    /// Where to.
    pub target: Option<Target>,
    /// The template.
    pub template: Option<String>,
    /// The service account.
    pub service_account: Option<String>,
    /// The pod, or as much of it as matters.
    pub pod: Option<serde_json::Map<String, serde_json::Value>>,
    /// Further facts.
    pub attributes: Option<Vec<(String, String)>>,
}

/// A file with one request can't be used.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// It can't be read.
    #[error("{}: {error}", .file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It says something that can't be.
    #[error("{}", listed(.file, .mistakes))]
    Mistakes {
        /// The file.
        file: PathBuf,
        /// In the order of the text.
        mistakes: Vec<Mistake>,
    },
}

impl Draft {
    /// Reads the file of one request: YAML or JSON. A line of the decision records is one as well.
    ///
    /// # Errors
    ///
    /// It can't be read, or all that is wrong with it.
    pub fn read_file(file: &Path) -> Result<Draft, QuestionError> {
        let text =
            fs::read_to_string(file).map_err(|error| QuestionError::Unreadable { file: file.to_owned(), error })?;
        let mut reader = Reader { key: "request", mistakes: Vec::new(), warnings: Vec::new() };
        let mut draft = Draft::default();
        if let Some(root) = reader.document(&text) {
            let recorded = match &root.value {
                Value::Map(fields) if find(fields, "setDigest").is_some() => find(fields, "request"),
                Value::Map(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                    None
                }
            };
            let folder = file.parent().unwrap_or(Path::new(""));
            draft = match recorded {
                Some(request) => Draft::read(&mut reader, "request", request, folder),
                None => Draft::read(&mut reader, "", &root, folder),
            };
        }
        if reader.mistakes.is_empty() {
            Ok(draft)
        } else {
            Err(QuestionError::Mistakes { file: file.to_owned(), mistakes: reader.mistakes })
        }
    }

    /// Reads what stands in one place. `folder` is what `podFile` is relative to.
    pub fn read(reader: &mut Reader, path: &str, node: &Node, folder: &Path) -> Draft {
        let mut draft = Draft::default();
        let fields = reader.map(path, node, FIELDS);
        let known = pod::read_known(reader, &join(path, "podFields"), find(fields, "podFields"));
        for (key, node) in fields {
            let path = join(path, &key.name);
            match key.name.as_str() {
                "home" => draft.home = reader.checked(&path, node),
                "workflow" => draft.read_workflow(reader, &path, node),
                "target" => draft.target = read_target(reader, &path, node),
                "template" => draft.template = Some(reader.text(&path, node)),
                "serviceAccount" => draft.service_account = Some(reader.text(&path, node)),
                "attributes" => draft.attributes = Some(read_attributes(reader, &path, node)),
                "creates" => check_creates(reader, &path, node),
                "pod" => draft.pod = pod::read(reader, &path, node, known),
                "podFile" => draft.pod = pod::read_file_of(reader, &path, node, (folder, known)),
                "podFields" => {}
                // Unknown fields were told already.
                _ => {}
            }
        }
        if let Some(second) = find(fields, "podFile").filter(|_| find(fields, "pod").is_some()) {
            reader.mistake(second.line, &join(path, "podFile"), "there is a pod already".to_owned());
        }
        draft
    }

    /// What this says, and for what it doesn't, what `defaults` say.
    pub fn over(self, defaults: &Draft) -> Draft {
        let or = |own: Option<String>, other: &Option<String>| own.or_else(|| other.clone());
        Draft {
            home: self.home.or_else(|| defaults.home.clone()),
            namespace: self.namespace.or_else(|| defaults.namespace.clone()),
            workflow: or(self.workflow, &defaults.workflow),
            uid: or(self.uid, &defaults.uid),
            target: self.target.or_else(|| defaults.target.clone()),
            template: or(self.template, &defaults.template),
            service_account: or(self.service_account, &defaults.service_account),
            pod: self.pod.or_else(|| defaults.pod.clone()),
            attributes: self.attributes.or_else(|| defaults.attributes.clone()),
        }
    }

    /// The request, with defaults for the rest.
    ///
    /// # Errors
    ///
    /// The names of what has no default: the workflow and the target.
    pub fn finish(self) -> Result<Request, String> {
        let (namespace, target) = match (self.namespace, self.target) {
            (Some(namespace), Some(target)) => (namespace, target),
            (None, Some(_)) => return Err("no \"workflow\", such as argo/my-workflow".to_owned()),
            (Some(_), None) => return Err("no \"target\", such as other/argo".to_owned()),
            (None, None) => return Err("neither \"workflow\", such as argo/my-workflow, nor \"target\"".to_owned()),
        };
        let pod = pod::whole(NAME, self.pod.unwrap_or_default(), &target, self.service_account.as_deref());
        let said = pod.pointer("/spec/serviceAccountName").and_then(serde_json::Value::as_str);
        // As the controller does: it asks about the account of the final pod, never about none.
        let named = self.service_account.filter(|account| !account.is_empty());
        let service_account = named.unwrap_or_else(|| said.unwrap_or(DEFAULT_SERVICE_ACCOUNT).to_owned());
        let home = || HOME_CLUSTER.parse().expect("a DNS label");
        let text = |said: Option<String>, default: &str| said.unwrap_or_else(|| default.to_owned());
        Ok(Request {
            home: self.home.unwrap_or_else(home),
            workflow: Workflow { namespace, name: text(self.workflow, NAME), uid: text(self.uid, UID) },
            template: text(self.template, NAME),
            target,
            service_account,
            creates: Creates::Pod,
            pod: Some(PodJson::from(pod.to_string())),
            attributes: self.attributes.unwrap_or_default(),
            landing: Landing::Open,
        })
    }

    fn read_workflow(&mut self, reader: &mut Reader, path: &str, node: &Node) {
        if let Value::Text(text) = &node.value {
            let (namespace, name) = match text.split_once('/') {
                Some((namespace, name)) => (namespace, Some(name.to_owned())),
                None => (text.as_str(), None),
            };
            self.namespace = reader.parsed(path, node, namespace);
            self.workflow = name;
            return;
        }
        let fields = reader.map(path, node, &["namespace", "name", "uid"]);
        let text =
            |reader: &mut Reader, name: &str| find(fields, name).map(|node| reader.text(&join(path, name), node));
        self.workflow = text(reader, "name");
        self.uid = text(reader, "uid");
        self.namespace = find(fields, "namespace").and_then(|node| reader.checked(&join(path, "namespace"), node));
    }
}

impl Reader {
    /// A checked name.
    pub fn checked<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self, path: &str, node: &Node) -> Option<T> {
        let before = self.mistakes.len();
        let text = self.text(path, node);
        if self.mistakes.len() > before { None } else { self.parsed(path, node, &text) }
    }

    fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        path: &str,
        node: &Node,
        text: &str,
    ) -> Option<T> {
        match text.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                self.mistake(node.line, path, error.to_string());
                None
            }
        }
    }
}

/// Reads `cluster/namespace`.
///
/// # Errors
///
/// What is wrong with it.
pub fn target(text: &str) -> Result<Target, String> {
    let Some((cluster, namespace)) = text.split_once('/') else {
        return Err(format!("{text:?} is not cluster/namespace, such as other/argo"));
    };
    Ok(Target {
        cluster: cluster.parse().map_err(|error| format!("{error}"))?,
        namespace: namespace.parse().map_err(|error| format!("{error}"))?,
    })
}

/// Reads what a module is to answer: `allow`, `deny`, `{deny: CODE}` or `{deny: [CODE, …], reason: TEXT}`.
pub fn read_expected(reader: &mut Reader, path: &str, node: &Node) -> Expected {
    match &node.value {
        Value::Text(text) if text == "allow" => Expected::Allow,
        Value::Text(text) if text == "deny" => Expected::Deny { codes: Vec::new(), reason: None },
        Value::Map(_) => {
            let fields = reader.map(path, node, &["deny", "reason"]);
            let codes = match find(fields, "deny") {
                None => {
                    reader.mistake(node.line, path, "missing field \"deny\"".to_owned());
                    Vec::new()
                }
                Some(node) => read_texts(reader, &join(path, "deny"), node),
            };
            let reason = find(fields, "reason").map(|node| reader.text(&join(path, "reason"), node));
            Expected::Deny { codes, reason }
        }
        Value::Text(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) => {
            let message = "expected allow, deny or {deny: CODE, reason: TEXT}".to_owned();
            reader.mistake(node.line, path, message);
            Expected::Allow
        }
    }
}

/// Reads one text, or a list of them.
pub fn read_texts(reader: &mut Reader, path: &str, node: &Node) -> Vec<String> {
    if let Value::Text(text) = &node.value {
        return vec![text.clone()];
    }
    let items: Vec<_> = reader.list(path, Some(node)).collect();
    items.into_iter().map(|(path, node)| reader.text(&path, node)).collect()
}

/// Mistakes as lines of `file:line: place: what is wrong`.
pub fn listed(file: &Path, mistakes: &[Mistake]) -> String {
    let line = |Mistake { line, path, message, .. }: &Mistake| {
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        let path = if path.is_empty() { String::new() } else { format!("{path}: ") };
        format!("{}{line}: {path}{message}", file.display())
    };
    mistakes.iter().map(line).collect::<Vec<_>>().join("\n       ")
}

fn read_target(reader: &mut Reader, path: &str, node: &Node) -> Option<Target> {
    if let Value::Text(text) = &node.value {
        let read = target(text);
        if let Err(message) = &read {
            reader.mistake(node.line, path, message.clone());
        }
        return read.ok();
    }
    let fields = reader.map(path, node, &["cluster", "namespace"]);
    if fields.is_empty() {
        return None;
    }
    for name in ["cluster", "namespace"] {
        if find(fields, name).is_none() {
            reader.mistake(node.line, path, format!("missing field {name:?}"));
        }
    }
    let cluster = find(fields, "cluster").and_then(|node| reader.checked(&join(path, "cluster"), node));
    let namespace = find(fields, "namespace").and_then(|node| reader.checked(&join(path, "namespace"), node));
    Some(Target { cluster: cluster?, namespace: namespace? })
}

fn read_attributes(reader: &mut Reader, path: &str, node: &Node) -> Vec<(String, String)> {
    let mut attributes: Vec<(String, String)> = Vec::new();
    if let Value::Map(fields) = &node.value {
        for (key, node) in fields {
            attributes.push((key.name.clone(), reader.text(&join(path, &key.name), node)));
        }
        return attributes;
    }
    let items: Vec<_> = reader.list(path, Some(node)).collect();
    for (path, node) in items {
        let pair = read_texts(reader, &path, node);
        match pair.as_slice() {
            [name, _] if attributes.iter().any(|(other, _)| other == name) => {
                reader.mistake(node.line, &path, format!("attribute {name:?} is there twice"));
            }
            [name, value] => attributes.push((name.clone(), value.clone())),
            _ => reader.mistake(node.line, &path, "expected a pair of name and value".to_owned()),
        }
    }
    attributes
}

fn check_creates(reader: &mut Reader, path: &str, node: &Node) {
    let text = reader.text(path, node);
    if text != "pod" {
        reader.mistake(node.line, path, format!("{text:?} is nothing that is created, which is {}", list_of(&["pod"])));
    }
}
