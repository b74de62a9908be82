//! Templates without containers of the user's: resource, suspend, data, http.

use k8s_openapi::api::core::v1::SecretKeySelector;

use crate::api::{
    any_string::AnyString,
    artifact::Artifact,
    object::{choice, object},
};

object! {
    /// One operation on an object of Kubernetes.
    pub struct ResourceTemplate {
        /// What is done.
        pub action: Option<ResourceAction>,
        /// How a patch is merged; `strategic` if not given.
        pub merge_strategy: Option<MergeStrategy>,
        /// The object, as YAML or JSON text.
        pub manifest: Option<String>,
        /// Where the object is taken from instead.
        pub manifest_from: Option<ManifestFrom>,
        /// Whether the workflow becomes the owner of the object.
        pub set_owner_reference: Option<bool>,
        /// What must hold of the object for success.
        pub success_condition: Option<String>,
        /// What holds of the object at failure.
        pub failure_condition: Option<String>,
        /// More flags of `kubectl`.
        pub flags: Vec<String>,
    }

    /// Where a manifest is taken from.
    pub struct ManifestFrom {
        /// An artifact.
        pub artifact: Option<Artifact>,
    }

    /// Wait to be resumed.
    pub struct SuspendTemplate {
        /// After how long it goes on by itself: `2m`, or a number of seconds, which many write without quotes.
        pub duration: Option<AnyString>,
    }

    /// List artifacts and transform the list.
    pub struct Data {
        /// Where the list comes from.
        pub source: DataSource,
        /// What is done to it, in order.
        pub transformation: Vec<TransformationStep>,
    }

    /// Where data comes from.
    pub struct DataSource {
        /// The paths in a bucket.
        pub artifact_paths: Option<Artifact>,
    }

    /// One transformation.
    pub struct TransformationStep {
        /// An expression over `data`.
        pub expression: String,
    }

    /// One HTTP request.
    pub struct Http {
        /// The method; `GET` if not given.
        pub method: Option<String>,
        /// The address.
        pub url: Option<String>,
        /// Headers of the request.
        pub headers: Vec<HttpHeader>,
        /// How long it may take.
        pub timeout_seconds: Option<i64>,
        /// What must hold of the response for success.
        pub success_condition: Option<String>,
        /// The body.
        pub body: Option<String>,
        /// Where the body is taken from instead.
        pub body_from: Option<HttpBodySource>,
        /// Whether any certificate is taken.
        pub insecure_skip_verify: Option<bool>,
    }

    /// A header of a request.
    pub struct HttpHeader {
        /// Its name.
        pub name: String,
        /// Its value.
        pub value: Option<String>,
        /// Where its value is taken from instead.
        pub value_from: Option<HttpHeaderSource>,
    }

    /// Where the value of a header is taken from.
    pub struct HttpHeaderSource {
        /// A key of a Secret.
        pub secret_key_ref: Option<SecretKeySelector>,
    }

    /// Where a body is taken from.
    pub struct HttpBodySource {
        /// Bytes, as base64.
        pub bytes: Option<String>,
    }
}

choice! {
    /// An operation on an object.
    pub enum ResourceAction {
        /// Read it.
        Get = "get",
        /// Make it.
        Create = "create",
        /// Make it or change it.
        Apply = "apply",
        /// Delete it.
        Delete = "delete",
        /// Replace it.
        Replace = "replace",
        /// Patch it.
        Patch = "patch",
    }

    /// How a patch is merged.
    pub enum MergeStrategy {
        /// As Kubernetes merges its own types.
        Strategic = "strategic",
        /// JSON merge patch.
        Merge = "merge",
        /// JSON patch.
        Json = "json",
    }
}
