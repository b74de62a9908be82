//! `namespaceRoles`: the model, and the settings that the built-in module gets of it.
//!
//! What the rules mean is not here but in `policies/builtin`, so that there is one evaluation of them.

use serde::Serialize;

/// What workflows of each namespace may do.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Roles {
    /// `namespaceRoles` is not set: every workflow may use its own namespace at home, and nothing else.
    #[default]
    Absent,
    /// Only what an entry allows; several for one namespace add up.
    Entries(Vec<Entry>),
}

/// What workflows of one namespace may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The namespace of the workflows, `""` for all.
    pub namespace: String,
    /// Any one of them is enough.
    pub rules: Vec<Rule>,
}

/// Allows every cluster of the one list with every namespace of the other. An empty list matches nothing.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Clusters, `""` for any, home included.
    pub cluster_names: Vec<String>,
    /// Namespaces in them, `""` for any.
    pub namespaces: Vec<String>,
}

impl Roles {
    /// The settings of the built-in module: `{"roles": null}` or `{"roles": [entry, …]}`.
    pub fn to_settings(&self) -> serde_json::Value {
        match self {
            Roles::Absent => serde_json::json!({ "roles": null }),
            Roles::Entries(entries) => serde_json::json!({ "roles": entries }),
        }
    }
}
