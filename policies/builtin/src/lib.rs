//! The module that is built in: may workflows of this namespace run pods in that cluster and namespace, by
//! `namespaceRoles`?
//!
//! The logic is plain Rust that also compiles natively; `component.rs` is all that knows of WebAssembly. Reading the
//! YAML is not here: the host does that, so that its errors can name lines, and hands over JSON.
//!
//! It does without the SDK of `policies/sdk`: on that it was a fifth larger and a decision took a twentieth longer, and
//! this module is asked about every pod.

#[cfg(target_arch = "wasm32")]
mod component;
mod index;
mod settings;

use index::{Index, Tenant, quote};

/// The code of a denial because no entry is for the workflow's namespace.
pub const CODE_NAMESPACE_HAS_NO_ENTRY: &str = "namespace-has-no-entry";
/// The code of a denial because no rule allows the target.
pub const CODE_NO_RULE: &str = "no-rule";
/// The code of a denial because `namespaceRoles` is not set and the target is not the workflow's own namespace at home.
pub const CODE_NOT_AT_HOME: &str = "not-at-home";

/// A reason is seldom longer: writing it then takes one allocation.
const REASON_CAPACITY: usize = 512;

/// The rules, laid out so that a decision is a handful of searches.
#[derive(Debug)]
pub struct Rules {
    /// Absent when `namespaceRoles` is not set at all, which allows the workflow's own namespace at home.
    roles: Option<Index>,
}

/// The part of a request that roles go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The name of the home cluster.
    pub home: &'a str,
    /// The workflow's namespace at home.
    pub workflow_namespace: &'a str,
    /// The cluster that the pod is to run in.
    pub cluster: &'a str,
    /// The namespace that the pod is to run in.
    pub namespace: &'a str,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A rule allows it.
    Allow,
    /// No rule allows it.
    Deny {
        /// Which rule is missing, and what is allowed instead.
        reason: String,
        /// One of the `CODE_` constants.
        code: &'static str,
    },
}

/// Reads the settings: `{"roles": null}` where `namespaceRoles` is not set, else
/// `{"roles": [{"namespace": "argo", "rules": [{"clusterNames": ["other"], "namespaces": ["other-ns"]}]}]}`.
///
/// # Errors
///
/// Anything else, with the place of the mistake.
pub fn configure(settings: &str) -> Result<Rules, String> {
    // A list would be read as the fields in their order, and an empty one as "not set".
    if !settings.trim_start().starts_with('{') {
        return Err("settings of the built-in module: not an object".to_owned());
    }
    let settings: settings::Settings =
        serde_json::from_str(settings).map_err(|error| format!("settings of the built-in module: {error}"))?;
    Ok(Rules { roles: settings.roles.map(|entries| Index::new(&entries)) })
}

/// Answers one request. What no rule allows is denied.
pub fn authorize(rules: &Rules, request: &Request) -> Decision {
    match &rules.roles {
        None => authorize_without_roles(request),
        Some(index) => authorize_by_roles(index, request),
    }
}

fn authorize_without_roles(request: &Request) -> Decision {
    if request.cluster == request.home && request.namespace == request.workflow_namespace {
        return Decision::Allow;
    }
    Decision::Deny {
        reason: format!(
            "namespaceRoles is not set: workflows of namespace {own:?} may run pods only in cluster {home:?}, \
             namespace {own:?}, not in cluster {cluster:?}, namespace {namespace:?}",
            own = request.workflow_namespace,
            home = request.home,
            cluster = request.cluster,
            namespace = request.namespace,
        ),
        code: CODE_NOT_AT_HOME,
    }
}

fn authorize_by_roles(index: &Index, request: &Request) -> Decision {
    let tenant = index.tenant(request.workflow_namespace);
    if tenant.has_no_entry() {
        return Decision::Deny {
            reason: format!(
                "no entry of namespaceRoles is for workflows of namespace {:?}",
                request.workflow_namespace
            ),
            code: CODE_NAMESPACE_HAS_NO_ENTRY,
        };
    }
    if tenant.allows(request.cluster, request.namespace) {
        return Decision::Allow;
    }
    Decision::Deny { reason: no_rule(&tenant, request), code: CODE_NO_RULE }
}

/// Which rule is missing, and what is allowed instead. Pieces of text are joined by hand: this is written with each
/// denial, and formatting took longer than deciding.
fn no_rule(tenant: &Tenant, request: &Request) -> String {
    let mut text = String::with_capacity(REASON_CAPACITY);
    text.push_str("no rule for workflows of namespace ");
    quote(request.workflow_namespace, &mut text);
    text.push_str(" allows cluster ");
    quote(request.cluster, &mut text);
    text.push_str(", namespace ");
    quote(request.namespace, &mut text);
    let namespaces = tenant.namespaces_allowed_in(request.cluster);
    if !namespaces.is_empty() {
        text.push_str("; allowed there: namespaces ");
        namespaces.write(&mut text);
        return text;
    }
    let clusters = tenant.clusters_allowed();
    if clusters.is_empty() {
        text.push_str("; its rules allow nothing");
    } else {
        text.push_str("; allowed clusters: ");
        clusters.write(&mut text);
    }
    text
}
