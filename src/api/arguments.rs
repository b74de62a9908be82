//! What goes into a template and comes out: arguments, inputs, outputs, parameters.

use k8s_openapi::api::core::v1::ConfigMapKeySelector;

use crate::api::{any_string::AnyString, artifact::Artifact, object::object};

object! {
    /// What a caller gives.
    pub struct Arguments {
        /// Parameters.
        pub parameters: Vec<Parameter>,
        /// Artifacts.
        pub artifacts: Vec<Artifact>,
    }

    /// What a template takes.
    pub struct Inputs {
        /// Parameters.
        pub parameters: Vec<Parameter>,
        /// Artifacts.
        pub artifacts: Vec<Artifact>,
    }

    /// What a template yields.
    pub struct Outputs {
        as_is {
            /// The standard output of a script, where someone reads it. Empty is a result too.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub result: Option<String>,
            /// The exit code, as text.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub exit_code: Option<String>,
        }
        /// Parameters.
        pub parameters: Vec<Parameter>,
        /// Artifacts.
        pub artifacts: Vec<Artifact>,
    }

    /// A named text.
    pub struct Parameter {
        /// Its name.
        pub name: String,
        /// The value if none is given.
        pub default: Option<AnyString>,
        /// The value.
        pub value: Option<AnyString>,
        /// Where the value is taken from.
        pub value_from: Option<ValueFrom>,
        /// The name under which it becomes an output of the workflow.
        pub global_name: Option<String>,
        /// The values that are allowed.
        pub r#enum: Vec<AnyString>,
        /// What it is for.
        pub description: Option<AnyString>,
    }

    /// Where the value of a parameter is taken from.
    pub struct ValueFrom {
        /// A file in the container.
        pub path: Option<String>,
        /// A JSONPath over the object of a resource template.
        pub json_path: Option<String>,
        /// A jq filter over the object of a resource template.
        pub jq_filter: Option<String>,
        /// An expression over the event that made the workflow.
        pub event: Option<String>,
        /// An output parameter of a step or task.
        pub parameter: Option<String>,
        /// Someone supplies it from outside.
        pub supplied: Option<SuppliedValueFrom>,
        /// A key of a ConfigMap.
        pub config_map_key_ref: Option<ConfigMapKeySelector>,
        /// The value if nothing is found.
        pub default: Option<AnyString>,
        /// An expression.
        pub expression: Option<String>,
    }

    /// Says that someone supplies the value from outside. JSON: `{}`.
    pub struct SuppliedValueFrom {}
}
