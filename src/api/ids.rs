//! Checked names. Once one of these exists it is well formed; nothing checks it again.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name that a template means when it names no cluster, unless the configuration names home otherwise.
pub const HOME_CLUSTER: &str = "default";

/// The service account of a pod that names none, as in Kubernetes.
pub const DEFAULT_SERVICE_ACCOUNT: &str = "default";

/// Longest name of a cluster or namespace: both become label values and parts of object names.
const LABEL_LENGTH_MAX: usize = 63;

/// A name that is not a DNS-1123 label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} name {name:?} is not a DNS label: lower-case letters, digits and '-', at most 63, starting and ending with a letter or digit"
)]
pub struct InvalidName {
    what: &'static str,
    name: String,
}

macro_rules! checked_name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;

            fn try_from(name: String) -> Result<Self, InvalidName> {
                if is_dns_label(&name) {
                    Ok($type(name))
                } else {
                    Err(InvalidName { what: $what, name })
                }
            }
        }

        impl std::str::FromStr for $type {
            type Err = InvalidName;

            fn from_str(name: &str) -> Result<Self, InvalidName> {
                $type::try_from(name.to_owned())
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_name!(
    /// The name of a cluster, as rules, templates and the keys of the Secret `clusters` give it.
    ClusterName,
    "cluster"
);
checked_name!(
    /// The name of a namespace.
    Namespace,
    "namespace"
);

impl ClusterName {
    /// [`HOME_CLUSTER`].
    pub fn home() -> ClusterName {
        ClusterName(HOME_CLUSTER.to_owned())
    }
}

/// Where a pod is to run. Displays as `cluster/namespace`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// The cluster.
    pub cluster: ClusterName,
    /// The namespace in it.
    pub namespace: Namespace,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.namespace)
    }
}

fn is_dns_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty()
        && name.len() <= LABEL_LENGTH_MAX
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
