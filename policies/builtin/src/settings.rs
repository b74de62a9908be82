//! The JSON that the host makes from `namespaceRoles`. Nothing is optional by accident: a missing `namespace` must not
//! read as `""`, which is every namespace.

use serde::Deserialize;

/// The whole document.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `null` where `namespaceRoles` is not set.
    #[serde(default)]
    pub roles: Option<Vec<Entry>>,
}

/// What workflows of one namespace may do.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The workflows' namespace, `""` for all.
    pub namespace: String,
    /// Any one of these is enough.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// Every cluster of the one list with every namespace of the other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// Clusters, `""` for any.
    #[serde(default)]
    pub cluster_names: Vec<String>,
    /// Namespaces, `""` for any.
    #[serde(default)]
    pub namespaces: Vec<String>,
}
