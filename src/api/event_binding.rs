//! Workflows that are made by an event. Only carried along: nothing acts on them yet, so the spec is any JSON.

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::object::resource;

/// An event and what is made by it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WorkflowEventBinding {
    /// Name, namespace, labels and so on.
    pub metadata: ObjectMeta,
    /// The event and what is made, as written.
    #[serde(deserialize_with = "crate::api::object::given")]
    pub spec: Map<String, Value>,
}

resource!(WorkflowEventBinding, "workfloweventbindings", NamespaceResourceScope, { spec });
