//! How the JSON objects of the API become Rust types: two macros that give every type the same reading of JSON.
//!
//! What Go's decoder takes for "not given" is not given here either: a missing field, `null`, and, for optional text,
//! `""`. What is not given is not written. Unknown fields are ignored, so that an object that a newer version wrote
//! can still be watched; [`crate::api::strict`] is the check that refuses them.

use std::any::Any;

use serde::{Deserialize, Deserializer};

/// Structs whose fields may all be left out; names are camelCase in JSON. Fields under `as_is` bring their own attributes.
macro_rules! object {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(as_is { $($(#[$own_meta:meta])* pub $own:ident: $own_type:ty,)* })?
            $($(#[$field_meta:meta])* pub $field:ident: $field_type:ty,)*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            $($($(#[$own_meta])* pub $own: $own_type,)*)?
            $(
                $(#[$field_meta])*
                #[serde(
                    deserialize_with = "crate::api::object::given",
                    skip_serializing_if = "crate::api::object::is_absent"
                )]
                pub $field: $field_type,
            )*
        }
    )*};
}

/// Enums that users write as text. A text that is none of the known ones is kept as `Other`: refusing it is up to
/// validation, which can say more than a decoder, and must not end the watch of all other objects.
macro_rules! choice {
    ($(
        $(#[$meta:meta])*
        pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)* }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
            /// A text that is none of the above.
            Other(String),
        }

        impl $name {
            /// The text in JSON.
            pub fn as_str(&self) -> &str {
                match self {
                    $($name::$variant => $text,)*
                    $name::Other(text) => text,
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> $name {
                match text.as_str() {
                    $($text => $name::$variant,)*
                    _ => $name::Other(text),
                }
            }
        }

        impl From<$name> for String {
            fn from(choice: $name) -> String {
                choice.as_str().to_owned()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
        }
    )*};
}

/// Enums that the controller writes: a closed set.
macro_rules! state {
    ($(
        $(#[$meta:meta])*
        pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)* }
    )*) => {$(
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize, schemars::JsonSchema
        )]
        #[schemars(with = "String")]
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// The text in JSON.
            pub fn as_str(&self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}

/// A kind of the group `argoproj.io`: what `kube::Api` needs, and JSON with `apiVersion` and `kind` in front.
macro_rules! resource {
    ($name:ident, $plural:literal, $scope:ty, { $($field:ident),* }) => {
        impl k8s_openapi::Resource for $name {
            const API_VERSION: &'static str = "argoproj.io/v1alpha1";
            const GROUP: &'static str = "argoproj.io";
            const KIND: &'static str = stringify!($name);
            const VERSION: &'static str = "v1alpha1";
            const URL_PATH_SEGMENT: &'static str = $plural;
            type Scope = $scope;
        }

        impl k8s_openapi::Metadata for $name {
            type Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

            fn metadata(&self) -> &Self::Ty {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut Self::Ty {
                &mut self.metadata
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("apiVersion", <$name as k8s_openapi::Resource>::API_VERSION)?;
                map.serialize_entry("kind", <$name as k8s_openapi::Resource>::KIND)?;
                map.serialize_entry("metadata", &self.metadata)?;
                $(
                    if !crate::api::object::is_absent(&self.$field) {
                        map.serialize_entry(stringify!($field), &self.$field)?;
                    }
                )*
                map.end()
            }
        }
    };
}

pub(crate) use {choice, object, resource, state};

/// Reads a field of [`object`]: `null` is as good as nothing.
pub(crate) fn given<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default + 'static,
{
    let mut value = Option::<T>::deserialize(deserializer)?.unwrap_or_default();
    // Go has no optional text: there `serviceAccountName: ""` is the same as none, and users rely on it.
    if let Some(text) = (&mut value as &mut dyn Any).downcast_mut::<Option<String>>()
        && text.as_deref() == Some("")
    {
        *text = None;
    }
    Ok(value)
}

/// Whether a field of [`object`] need not be written.
pub(crate) fn is_absent<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
