//! What a controller needs in another cluster: the rights, one by one, and the objects that give them, as values. Pure.
//!
//! Both come from the same tables, so that what is checked is what was given. Everything that belongs to one controller
//! bears labels that say to which: several may share a target, and none touches the others' objects.

use std::{collections::BTreeSet, fmt};

use serde_json::{Map, Value, json};

use crate::{
    api::{
        contract::{LABEL_CONTROLLER_NAMESPACE, LABEL_HOME_CLUSTER, LABEL_HOME_UID},
        ids::{ClusterName, Namespace},
    },
    clusters::{identity, settings::Account},
};

/// The namespace of the accounts that controllers use in a target.
pub const ACCOUNT_NAMESPACE: &str = "landfall";
/// The service account that pods run as where a template names this one, as in Argo's examples.
pub const PODS_ACCOUNT: &str = "workflow";
/// The role of the accounts that pods run as. A colon can't stand in a cluster's name, so it is no home's.
const PODS_ROLE: &str = "landfall:pods";

/// Who made an object. It tells our objects from those of the same name that were there before.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of that label.
pub const MANAGED_BY: &str = "landfall";

const RBAC: &str = "rbac.authorization.k8s.io";
const RBAC_V1: &str = "rbac.authorization.k8s.io/v1";

/// Verbs on a resource, and for what.
struct Verbs {
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    verbs: &'static [&'static str],
}

/// Where pods may run: to follow them, to look before concluding that one is gone, to make and to delete them, and to read
/// their logs for `landfall logs`. Nothing changes a pod once it is made.
const IN_NAMESPACE: [Verbs; 2] = [
    Verbs { group: "", resource: "pods", subresource: "", verbs: &["get", "list", "watch", "create", "delete"] },
    Verbs { group: "", resource: "pods", subresource: "log", verbs: &["get"] },
];
/// The namespaces that pods may run in, for their owner's consent; followed one by one, by name.
const NAMESPACE_VERBS: [&str; 3] = ["get", "list", "watch"];
/// What a pod needs to report results, as Argo's executor does.
const PODS_VERBS: [&str; 2] = ["create", "patch"];

/// The namespaces of a target that pods may run in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Places {
    /// Every one.
    All,
    /// These.
    These(BTreeSet<Namespace>),
}

/// The account that a home uses in a target.
pub fn account_of(home: &ClusterName) -> Account {
    let namespace = ACCOUNT_NAMESPACE.parse().expect("the name of a namespace");
    Account { namespace, name: format!("landfall-{home}") }
}

/// One thing that somebody may do. Displays as `create pods in argo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// As RBAC names it.
    pub verb: String,
    /// Empty for the core group.
    pub group: String,
    /// The plural.
    pub resource: String,
    /// Empty for the resource itself.
    pub subresource: String,
    /// `None`: in all, or the resource has none.
    pub namespace: Option<String>,
    /// `None`: all.
    pub name: Option<String>,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        write!(f, "{} {}{slash}{}", self.verb, self.resource, self.subresource)?;
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None if self.resource == "namespaces" => Ok(()),
            None => write!(f, " in all namespaces"),
        }
    }
}

/// Every right that a controller uses in a target. An account that renews its own token needs one more.
pub fn rights(places: &Places, account: Option<&Account>) -> Vec<Right> {
    let mut all = vec![of_namespace("get", Some(identity::NAMESPACE))];
    match places {
        Places::All => {
            all.extend(NAMESPACE_VERBS.iter().map(|verb| of_namespace(verb, None)));
            all.extend(of_pods(None));
        }
        Places::These(namespaces) => {
            for namespace in namespaces {
                all.extend(NAMESPACE_VERBS.iter().map(|verb| of_namespace(verb, Some(namespace.as_str()))));
                all.extend(of_pods(Some(namespace.as_str())));
            }
        }
    }
    all.extend(account.map(|account| Right {
        verb: "create".to_owned(),
        group: String::new(),
        resource: "serviceaccounts".to_owned(),
        subresource: "token".to_owned(),
        namespace: Some(account.namespace.to_string()),
        name: Some(account.name.clone()),
    }));
    all
}

fn of_namespace(verb: &str, name: Option<&str>) -> Right {
    Right {
        verb: verb.to_owned(),
        group: String::new(),
        resource: "namespaces".to_owned(),
        subresource: String::new(),
        namespace: None,
        name: name.map(str::to_owned),
    }
}

fn of_pods(namespace: Option<&str>) -> Vec<Right> {
    let mut all = Vec::new();
    for Verbs { group, resource, subresource, verbs } in IN_NAMESPACE {
        all.extend(verbs.iter().map(|verb| Right {
            verb: (*verb).to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: None,
        }));
    }
    all
}

/// For which controller a target is prepared.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The home cluster's name.
    pub home: &'a ClusterName,
    /// Its UID.
    pub home_uid: &'a str,
    /// The controller's namespace at home: there may be controllers in several.
    pub controller: &'a Namespace,
}

/// What a target is prepared for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// For whom.
    pub owner: Owner<'a>,
    /// Where pods may run.
    pub places: &'a Places,
    /// The account that pods run as.
    pub pods_account: &'a str,
}

/// How much of an object is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// All of it; no other home uses it.
    Own,
    /// All of it, with the other homes.
    Common,
    /// Only that it exists. One that is there already stays as it is.
    Existence,
}

/// An object that a target needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// How much of it is ours.
    pub share: Share,
    /// The object, as it is applied.
    pub value: Value,
}

impl Grant {
    /// Its kind.
    pub fn kind(&self) -> &str {
        text(&self.value, "/kind")
    }

    /// Its API version.
    pub fn api_version(&self) -> &str {
        text(&self.value, "/apiVersion")
    }

    /// Its name.
    pub fn name(&self) -> &str {
        text(&self.value, "/metadata/name")
    }

    /// Its namespace, if its kind has one.
    pub fn namespace(&self) -> Option<&str> {
        self.value.pointer("/metadata/namespace").and_then(Value::as_str)
    }
}

/// Displays as `Role argo/landfall-default`.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind())?;
        if let Some(namespace) = self.namespace() {
            write!(f, "{namespace}/")?;
        }
        f.write_str(self.name())
    }
}

/// The account of a controller.
pub fn account_object(account: &Account, owner: Owner<'_>) -> Grant {
    let Account { namespace, name } = account;
    let value = object(("ServiceAccount", Some(namespace.as_str()), name), Some(owner), json!({}));
    Grant { share: Share::Own, value }
}

/// Everything that a target needs, in the order in which it can be made.
pub fn objects(wanted: Wanted<'_>) -> Vec<Grant> {
    let of_home = account_of(wanted.owner.home);
    let Account { namespace: account_namespace, name: account } = &of_home;
    let subject = json!({"kind": "ServiceAccount", "name": account, "namespace": account_namespace});
    let own = |kind: &str, namespace: Option<&str>, name: &str, rest: Value| Grant {
        share: Share::Own,
        value: object((kind, namespace, name), Some(wanted.owner), rest),
    };
    let token = format!("{account}-token");
    let renewal = json!({"rules": [
        {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": [account], "verbs": ["create"]},
    ]});
    let inside = Some(account_namespace.as_str());
    let mut all = vec![
        existing("Namespace", None, ACCOUNT_NAMESPACE),
        account_object(&of_home, wanted.owner),
        own("Role", inside, &token, renewal),
        own("RoleBinding", inside, &token, binding("Role", &token, &subject)),
        own("ClusterRole", None, account, json!({"rules": everywhere(wanted.places)})),
        own("ClusterRoleBinding", None, account, binding("ClusterRole", account, &subject)),
    ];
    match wanted.places {
        Places::All => all.push(common("ClusterRole", None, PODS_ROLE, json!({"rules": pods_rules()}))),
        Places::These(namespaces) => {
            for namespace in namespaces {
                let there = Some(namespace.as_str());
                let pods = json!({"kind": "ServiceAccount", "name": wanted.pods_account, "namespace": namespace});
                // Homes may differ in the account, and a binding is replaced whole.
                let pods_binding = format!("{PODS_ROLE}:{}", wanted.pods_account);
                all.extend([
                    own("Role", there, account, json!({"rules": in_namespace()})),
                    own("RoleBinding", there, account, binding("Role", account, &subject)),
                    existing("ServiceAccount", there, wanted.pods_account),
                    common("Role", there, PODS_ROLE, json!({"rules": pods_rules()})),
                    common("RoleBinding", there, &pods_binding, binding("Role", PODS_ROLE, &pods)),
                ]);
            }
        }
    }
    all
}

fn existing(kind: &str, namespace: Option<&str>, name: &str) -> Grant {
    Grant { share: Share::Existence, value: object((kind, namespace, name), None, json!({})) }
}

fn common(kind: &str, namespace: Option<&str>, name: &str, rest: Value) -> Grant {
    Grant { share: Share::Common, value: object((kind, namespace, name), None, rest) }
}

fn everywhere(places: &Places) -> Vec<Value> {
    let identity = json!({
        "apiGroups": [""], "resources": ["namespaces"], "resourceNames": [identity::NAMESPACE], "verbs": ["get"],
    });
    match places {
        Places::All => {
            let mut rules = vec![json!({"apiGroups": [""], "resources": ["namespaces"], "verbs": NAMESPACE_VERBS})];
            rules.extend(in_namespace());
            rules
        }
        Places::These(namespaces) => {
            let names: Vec<&str> = namespaces.iter().map(Namespace::as_str).collect();
            let consent = json!({
                "apiGroups": [""], "resources": ["namespaces"], "resourceNames": names, "verbs": NAMESPACE_VERBS,
            });
            vec![identity, consent]
        }
    }
}

fn in_namespace() -> Vec<Value> {
    let mut rules = Vec::new();
    for Verbs { group, resource, subresource, verbs } in IN_NAMESPACE {
        let resource = if subresource.is_empty() { resource.to_owned() } else { format!("{resource}/{subresource}") };
        rules.push(json!({"apiGroups": [group], "resources": [resource], "verbs": verbs}));
    }
    rules
}

fn pods_rules() -> Vec<Value> {
    vec![json!({"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": PODS_VERBS})]
}

fn binding(kind: &str, role: &str, subject: &Value) -> Value {
    json!({"roleRef": {"apiGroup": RBAC, "kind": kind, "name": role}, "subjects": [subject]})
}

fn object((kind, namespace, name): (&str, Option<&str>, &str), owner: Option<Owner<'_>>, rest: Value) -> Value {
    let api_version = if matches!(kind, "Namespace" | "ServiceAccount") { "v1" } else { RBAC_V1 };
    let mut labels = json!({LABEL_MANAGED_BY: MANAGED_BY});
    if let Some(owner) = owner {
        labels[LABEL_HOME_CLUSTER] = json!(owner.home);
        labels[LABEL_HOME_UID] = json!(owner.home_uid);
        labels[LABEL_CONTROLLER_NAMESPACE] = json!(owner.controller);
    }
    let mut value = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "labels": labels}});
    if let Some(namespace) = namespace {
        value["metadata"]["namespace"] = json!(namespace);
    }
    if let (Value::Object(value), Value::Object(rest)) = (&mut value, rest) {
        value.extend(rest);
    }
    value
}

/// What would become of an object in a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It isn't there.
    Create,
    /// These fields change.
    Update(Vec<String>),
    /// It is as it should be.
    Unchanged,
    /// It can't become what it should be, for this reason.
    Blocked(String),
}

/// Compares what is wanted with what is there.
pub fn change(grant: &Grant, current: Option<&Value>, owner: Owner<'_>) -> Change {
    let Some(current) = current else { return Change::Create };
    if grant.share == Share::Existence {
        return Change::Unchanged;
    }
    if grant.share == Share::Own && !is_of(current, owner) && is_of_somebody(current) {
        let label = |name: &str| label(current, name).unwrap_or_default();
        return Change::Blocked(format!(
            "it belongs to the controller in namespace {} of home {} (kube-system UID {}); give one of the two homes another \
             name, by the key `cluster` of its config map",
            label(LABEL_CONTROLLER_NAMESPACE),
            label(LABEL_HOME_CLUSTER),
            label(LABEL_HOME_UID),
        ));
    }
    let (before, after) = (current.get("roleRef"), grant.value.get("roleRef"));
    if after.is_some() && before != after {
        return Change::Blocked("its roleRef is another, which can't be changed; delete the binding first".to_owned());
    }
    let mut fields = Vec::new();
    compare(&grant.value, current, String::new(), &mut fields);
    if fields.is_empty() { Change::Unchanged } else { Change::Update(fields) }
}

/// Names every field of `wanted` that `current` doesn't have like that. Lists are compared whole: an apply replaces them.
fn compare(wanted: &Value, current: &Value, path: String, fields: &mut Vec<String>) {
    let Value::Object(wanted) = wanted else {
        if wanted != current {
            fields.push(path);
        }
        return;
    };
    let none = Map::new();
    let current = current.as_object().unwrap_or(&none);
    for (name, value) in wanted {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        compare(value, current.get(name).unwrap_or(&Value::Null), path, fields);
    }
}

/// Whether an object was made for this controller.
pub fn is_of(object: &Value, owner: Owner<'_>) -> bool {
    label(object, LABEL_HOME_UID) == Some(owner.home_uid)
        && label(object, LABEL_HOME_CLUSTER) == Some(owner.home.as_str())
        && label(object, LABEL_CONTROLLER_NAMESPACE) == Some(owner.controller.as_str())
}

/// Whether an object was made for a controller at all, and not for all of them.
fn is_of_somebody(object: &Value) -> bool {
    label(object, LABEL_HOME_UID).is_some()
}

fn label<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get("metadata")?.get("labels")?.get(name)?.as_str()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Which of the objects that we made in a target go with a controller: its own, and of those that controllers share what
/// no other one uses. A namespace is not among them: what else is in it is not ours to know.
pub fn to_purge<'a>(all: &'a [Value], owner: Owner<'_>) -> Vec<&'a Value> {
    let namespace = |object: &'a Value| object.get("metadata").and_then(|it| it.get("namespace"));
    let others: Vec<&Value> = all.iter().filter(|object| is_of_somebody(object) && !is_of(object, owner)).collect();
    let is_used = |object: &'a Value| {
        others.iter().any(|other| namespace(object).is_none() || namespace(other) == namespace(object))
    };
    all.iter().filter(|object| is_of(object, owner) || (!is_of_somebody(object) && !is_used(object))).collect()
}
