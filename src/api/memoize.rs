//! Outputs that are remembered, so that a template need not run again.

use k8s_openapi::api::core::v1::ConfigMapKeySelector;

use crate::api::object::object;

object! {
    /// Where and for how long outputs are remembered.
    pub struct Memoize {
        /// The key of the entry.
        pub key: String,
        /// The cache.
        pub cache: Option<Cache>,
        /// How old an entry may be: `24h`.
        pub max_age: Option<String>,
    }

    /// A cache.
    pub struct Cache {
        /// The ConfigMap that it is.
        pub config_map: Option<ConfigMapKeySelector>,
    }

    /// Whether a node was remembered.
    pub struct MemoizationStatus {
        as_is {
            /// Whether there was an entry.
            pub hit: bool,
            /// The key of the entry.
            pub key: String,
            /// The cache.
            pub cache_name: String,
        }
    }
}
