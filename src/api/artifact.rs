//! Artifacts: files and folders that are passed between templates. Where they are kept is in [`crate::api::artifact_location`].

use crate::api::{artifact_location::ArtifactLocation, object::object, workflow_policy::ArtifactGc};

object! {
    /// A file or folder.
    pub struct Artifact {
        as_is {
            /// Where it is kept; its fields stand beside those of the artifact.
            #[serde(flatten)]
            pub location: ArtifactLocation,
        }
        /// Its name.
        pub name: String,
        /// Where it is in the container.
        pub path: Option<String>,
        /// Its permission bits.
        pub mode: Option<i32>,
        /// Another artifact that it is taken from.
        pub from: Option<String>,
        /// The name under which it becomes an output of the workflow.
        pub global_name: Option<String>,
        /// How it is packed.
        pub archive: Option<ArchiveStrategy>,
        /// Whether it may be missing.
        pub optional: Option<bool>,
        /// The part of it that is taken.
        pub sub_path: Option<String>,
        /// Whether `mode` holds for everything below.
        pub recurse_mode: Option<bool>,
        /// An expression that yields the artifact it is taken from.
        pub from_expression: Option<String>,
        /// When it is deleted.
        #[serde(rename = "artifactGC")]
        pub artifact_gc: Option<ArtifactGc>,
        /// Whether it has been deleted.
        pub deleted: Option<bool>,
    }

    /// How an artifact is packed; as a compressed tar if nothing is given.
    pub struct ArchiveStrategy {
        /// As a compressed tar.
        pub tar: Option<TarStrategy>,
        /// Not at all.
        pub none: Option<NoneStrategy>,
        /// As a zip.
        pub zip: Option<ZipStrategy>,
    }

    /// Packed as a compressed tar.
    pub struct TarStrategy {
        /// The level of gzip.
        pub compression_level: Option<i32>,
    }

    /// Not packed. JSON: `{}`.
    pub struct NoneStrategy {}

    /// Packed as a zip. JSON: `{}`.
    pub struct ZipStrategy {}
}
