//! Who may do what: the stored roles and bindings, read as Kubernetes' RBAC authorizer reads them, after its
//! `pkg/registry/rbac/validation` and `plugin/pkg/auth/authorizer/rbac`.
//!
//! Not here: aggregated roles, and the check that nobody grants more than they have.

use http::Method;
use serde_json::{Value, json};

use crate::local::apiserver::{
    caller::Caller,
    refusal::{Answer, Refusal},
    requests::{Request, Target},
    resources::{Id, Resource},
    reviews,
    store::{Inner, Key, Query, text},
};

const GROUP: &str = "rbac.authorization.k8s.io";

/// One thing that somebody wants to do. Empty texts mean: none, or all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deed<'a> {
    pub verb: &'a str,
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
}

impl<'a> Deed<'a> {
    /// What a request for objects wants to do.
    pub fn of(request: &'a Request, target: &Target<'a>) -> Deed<'a> {
        let single = target.name.is_some();
        let verb = match request.method {
            Method::GET | Method::HEAD if single => "get",
            Method::GET | Method::HEAD if request.flag("watch") => "watch",
            Method::GET | Method::HEAD => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if single => "delete",
            Method::DELETE => "deletecollection",
            _ => "",
        };
        // A collection of which only one can be meant is a request for that one.
        let selected = request.text("fieldSelector").filter(|_| !single && verb != "create");
        let selected = selected.and_then(|fields| {
            fields
                .split(',')
                .find_map(|field| field.strip_prefix("metadata.name="))
                .map(|name| name.trim_start_matches('='))
        });
        // The namespace itself is in itself, for roles in it.
        let is_namespace = target.group.is_empty() && target.plural == "namespaces";
        let namespace = target.namespace.or(target.name.filter(|_| is_namespace));
        Deed {
            verb,
            group: target.group,
            resource: target.plural,
            subresource: target.subresource.unwrap_or_default(),
            namespace: namespace.unwrap_or_default(),
            name: target.name.or(selected).unwrap_or_default(),
        }
    }

    /// What an access review asks about; `None` if it asks about a path, which everybody may read.
    pub fn reviewed(review: &'a Value) -> Option<Deed<'a>> {
        let asked = review.pointer("/spec/resourceAttributes")?;
        let part = |field: &str| text(asked, field);
        Some(Deed {
            verb: part("/verb"),
            group: part("/group"),
            resource: part("/resource"),
            subresource: part("/subresource"),
            namespace: part("/namespace"),
            name: part("/name"),
        })
    }

    fn resource_text(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// Refuses what the caller may not do, in Kubernetes' words.
pub fn check(inner: &Inner, caller: &Caller, deed: &Deed<'_>) -> Answer<()> {
    if allows(inner, caller, deed) {
        return Ok(());
    }
    let place = match deed.namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let why = format!(
        "User {:?} cannot {} resource {:?} in API group {:?} {place}",
        caller.name,
        deed.verb,
        deed.resource_text(),
        deed.group
    );
    let resource = inner.resource(&Id::new(deed.group, deed.resource));
    Err(Refusal::denied(resource.as_deref(), (deed.group, deed.resource), deed.name, &why))
}

/// Whether the caller may do it.
pub fn allows(inner: &Inner, caller: &Caller, deed: &Deed<'_>) -> bool {
    if caller.is_administrator() {
        return true;
    }
    // What the role `system:basic-user` lets everybody do.
    if deed.group == reviews::GROUP && deed.verb == "create" && deed.resource.starts_with("selfsubject") {
        return true;
    }
    rules(inner, caller, deed.namespace).iter().any(|rule| covers(rule, deed))
}

/// All rules that hold for the caller in a namespace; in none, those that hold everywhere.
pub fn rules(inner: &Inner, caller: &Caller, namespace: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for binding in bindings(inner, "clusterrolebindings", None) {
        found.extend(granted(inner, caller, &binding, ""));
    }
    if !namespace.is_empty() {
        for binding in bindings(inner, "rolebindings", Some(namespace)) {
            found.extend(granted(inner, caller, &binding, namespace));
        }
    }
    found
}

/// The rules that a review shows to an administrator.
pub fn everything() -> Vec<Value> {
    vec![json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})]
}

fn bindings(inner: &Inner, plural: &str, namespace: Option<&str>) -> Vec<Value> {
    let query = Query { namespace: namespace.map(str::to_owned), ..Query::default() };
    let listed = inner.list(&Id::new(GROUP, plural), &query, None, None, None);
    listed.map(|listed| listed.objects.iter().map(|object| object.value()).collect()).unwrap_or_default()
}

fn granted(inner: &Inner, caller: &Caller, binding: &Value, namespace: &str) -> Vec<Value> {
    let subjects = binding["subjects"].as_array();
    if !subjects.into_iter().flatten().any(|subject| is_meant(caller, subject, namespace)) {
        return Vec::new();
    }
    let (plural, namespace) = match text(binding, "/roleRef/kind") {
        "ClusterRole" => ("clusterroles", ""),
        "Role" => ("roles", namespace),
        _ => return Vec::new(),
    };
    let role = inner.get(&Id::new(GROUP, plural), &Key::new(namespace, text(binding, "/roleRef/name")));
    role.and_then(|role| role.value()["rules"].as_array().cloned()).unwrap_or_default()
}

fn is_meant(caller: &Caller, subject: &Value, namespace: &str) -> bool {
    let name = text(subject, "/name");
    match text(subject, "/kind") {
        "User" => name == caller.name,
        "Group" => caller.is_in(name),
        "ServiceAccount" => {
            let given = text(subject, "/namespace");
            let namespace = if given.is_empty() { namespace } else { given };
            !namespace.is_empty() && Caller::account(namespace, name).name == caller.name
        }
        _ => false,
    }
}

fn covers(rule: &Value, deed: &Deed<'_>) -> bool {
    let texts =
        |field: &str| -> Vec<&str> { rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect() };
    let names = texts("resourceNames");
    let resource = deed.resource_text();
    let subresource = format!("*/{}", deed.subresource);
    let is_resource =
        |given: &&str| *given == "*" || *given == resource || (!deed.subresource.is_empty() && *given == subresource);
    texts("verbs").iter().any(|verb| *verb == "*" || *verb == deed.verb)
        && texts("apiGroups").iter().any(|group| *group == "*" || *group == deed.group)
        && texts("resources").iter().any(is_resource)
        && (names.is_empty() || names.contains(&deed.name))
}

/// Refuses an apply that creates, to who may patch but not create.
pub fn check_creation(inner: &Inner, caller: &Caller, resource: &Resource, key: &Key) -> Answer<()> {
    let deed = Deed {
        verb: "create",
        group: &resource.group,
        resource: &resource.plural,
        subresource: "",
        namespace: &key.namespace,
        name: &key.name,
    };
    check(inner, caller, &deed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_cover_what_they_name() {
        let pods = Deed { verb: "get", resource: "pods", namespace: "a", name: "p", ..Deed::default() };
        let logs = Deed { subresource: "log", ..pods };
        let rule = |verbs: &[&str], resources: &[&str], names: &[&str]| json!({"apiGroups": [""], "verbs": verbs, "resources": resources, "resourceNames": names});
        let cases = [
            (rule(&["get"], &["pods"], &[]), pods, true),
            (rule(&["list"], &["pods"], &[]), pods, false),
            (rule(&["*"], &["*"], &[]), pods, true),
            (rule(&["get"], &["pods"], &["p"]), pods, true),
            (rule(&["get"], &["pods"], &["q"]), pods, false),
            (rule(&["get"], &["pods"], &["p"]), Deed { name: "", ..pods }, false),
            (rule(&["get"], &["pods"], &[]), logs, false),
            (rule(&["get"], &["pods/log"], &[]), logs, true),
            (rule(&["get"], &["*/log"], &[]), logs, true),
            (rule(&["get"], &["pods/log"], &[]), pods, false),
            (rule(&["get"], &["pods"], &[]), Deed { group: "apps", ..pods }, false),
        ];
        for (rule, deed, expected) in cases {
            assert_eq!(covers(&rule, &deed), expected, "{rule} {deed:?}");
        }
    }
}
