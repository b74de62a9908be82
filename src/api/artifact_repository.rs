//! The repository that artifacts without a location of their own go to, and how keys in it are made.

use crate::api::{
    artifact_location::{AzureBlobContainer, GcsBucket, HdfsConfig, OssBucket, S3Bucket},
    object::object,
};
use k8s_openapi::api::core::v1::SecretKeySelector;

object! {
    /// Names a repository: a key of a ConfigMap.
    pub struct ArtifactRepositoryRef {
        /// The ConfigMap; `artifact-repositories` if not given.
        pub config_map: Option<String>,
        /// The key; the one that an annotation of the ConfigMap names if not given.
        pub key: Option<String>,
    }

    /// The repository that a workflow uses.
    pub struct ArtifactRepositoryRefStatus {
        /// The ConfigMap.
        pub config_map: Option<String>,
        /// The key.
        pub key: Option<String>,
        /// The namespace of the ConfigMap.
        pub namespace: Option<String>,
        /// Whether it is the one of the controller's configuration instead.
        pub default: Option<bool>,
        /// The repository itself.
        pub artifact_repository: Option<ArtifactRepository>,
    }

    /// A repository: one of the stores.
    pub struct ArtifactRepository {
        /// Whether container logs are kept there too.
        pub archive_logs: Option<bool>,
        /// An S3 bucket.
        pub s3: Option<S3ArtifactRepository>,
        /// Artifactory.
        pub artifactory: Option<ArtifactoryArtifactRepository>,
        /// HDFS.
        pub hdfs: Option<HdfsArtifactRepository>,
        /// An OSS bucket.
        pub oss: Option<OssArtifactRepository>,
        /// A GCS bucket.
        pub gcs: Option<GcsArtifactRepository>,
        /// An Azure container.
        pub azure: Option<AzureArtifactRepository>,
        /// A store that a plugin knows.
        pub plugin: Option<PluginArtifactRepository>,
    }

    /// A repository in an S3 bucket.
    pub struct S3ArtifactRepository {
        as_is {
            /// The bucket.
            #[serde(flatten)]
            pub bucket: S3Bucket,
        }
        /// How keys are made, with tags.
        pub key_format: Option<String>,
        /// What keys start with; `keyFormat` is the newer way.
        pub key_prefix: Option<String>,
    }

    /// A repository in Artifactory.
    pub struct ArtifactoryArtifactRepository {
        /// The user's name.
        pub username_secret: Option<SecretKeySelector>,
        /// The user's password.
        pub password_secret: Option<SecretKeySelector>,
        /// Its address.
        #[serde(rename = "repoURL")]
        pub repo_url: Option<String>,
        /// How keys are made, with tags.
        pub key_format: Option<String>,
    }

    /// A repository in HDFS.
    pub struct HdfsArtifactRepository {
        as_is {
            /// The file system.
            #[serde(flatten)]
            pub config: HdfsConfig,
        }
        /// How paths are made, with tags.
        pub path_format: Option<String>,
        /// Whether a file that exists is replaced.
        pub force: Option<bool>,
    }

    /// A repository in an OSS bucket.
    pub struct OssArtifactRepository {
        as_is {
            /// The bucket.
            #[serde(flatten)]
            pub bucket: OssBucket,
        }
        /// How keys are made, with tags.
        pub key_format: Option<String>,
    }

    /// A repository in a GCS bucket.
    pub struct GcsArtifactRepository {
        as_is {
            /// The bucket.
            #[serde(flatten)]
            pub bucket: GcsBucket,
        }
        /// How keys are made, with tags.
        pub key_format: Option<String>,
    }

    /// A repository in an Azure container.
    pub struct AzureArtifactRepository {
        as_is {
            /// The container.
            #[serde(flatten)]
            pub container: AzureBlobContainer,
        }
        /// How names of blobs are made, with tags.
        pub blob_name_format: Option<String>,
    }

    /// A repository in a store that a plugin knows.
    pub struct PluginArtifactRepository {
        /// The plugin.
        pub name: Option<String>,
        /// How keys are made, with tags.
        pub key_format: Option<String>,
        /// What the plugin is told.
        pub configuration: Option<String>,
    }
}
