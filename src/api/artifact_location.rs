//! Where artifacts are kept: one type for each kind of store.

use k8s_openapi::api::core::v1::{ConfigMapKeySelector, SecretKeySelector};

use crate::api::object::object;

object! {
    /// Where an artifact is kept: one of the stores.
    pub struct ArtifactLocation {
        /// Whether container logs are kept there too.
        pub archive_logs: Option<bool>,
        /// An S3 bucket.
        pub s3: Option<S3Artifact>,
        /// A git repository.
        pub git: Option<GitArtifact>,
        /// An address to get it from.
        pub http: Option<HttpArtifact>,
        /// Artifactory.
        pub artifactory: Option<ArtifactoryArtifact>,
        /// HDFS.
        pub hdfs: Option<HdfsArtifact>,
        /// The content itself.
        pub raw: Option<RawArtifact>,
        /// An OSS bucket.
        pub oss: Option<OssArtifact>,
        /// A GCS bucket.
        pub gcs: Option<GcsArtifact>,
        /// An Azure container.
        pub azure: Option<AzureArtifact>,
        /// A store that a plugin knows.
        pub plugin: Option<PluginArtifact>,
    }

    /// An object in an S3 bucket.
    pub struct S3Artifact {
        as_is {
            /// The bucket.
            #[serde(flatten)]
            pub bucket: S3Bucket,
        }
        /// The key of the object.
        pub key: Option<String>,
    }

    /// An S3 bucket and how to get at it.
    pub struct S3Bucket {
        /// Host name of the endpoint.
        pub endpoint: Option<String>,
        /// Name of the bucket.
        pub bucket: Option<String>,
        /// Region of the bucket.
        pub region: Option<String>,
        /// Whether to speak without TLS.
        pub insecure: Option<bool>,
        /// The access key.
        pub access_key_secret: Option<SecretKeySelector>,
        /// The secret key.
        pub secret_key_secret: Option<SecretKeySelector>,
        /// The session token.
        pub session_token_secret: Option<SecretKeySelector>,
        /// The role to take on.
        #[serde(rename = "roleARN")]
        pub role_arn: Option<String>,
        /// Whether the credentials are found in the surroundings.
        #[serde(rename = "useSDKCreds")]
        pub use_sdk_creds: Option<bool>,
        /// Whether to make a bucket that is missing.
        pub create_bucket_if_not_present: Option<CreateS3BucketOptions>,
        /// How objects are encrypted.
        pub encryption_options: Option<S3EncryptionOptions>,
        /// The certificate authority of the endpoint.
        pub ca_secret: Option<SecretKeySelector>,
    }

    /// How a missing bucket is made.
    pub struct CreateS3BucketOptions {
        /// Whether objects can be locked.
        pub object_locking: Option<bool>,
    }

    /// How objects are encrypted.
    pub struct S3EncryptionOptions {
        /// The key of the key service.
        pub kms_key_id: Option<String>,
        /// The context of the key, as JSON text.
        pub kms_encryption_context: Option<String>,
        /// Whether objects are encrypted.
        pub enable_encryption: Option<bool>,
        /// A key of the user's own.
        pub server_side_customer_key_secret: Option<SecretKeySelector>,
    }

    /// A git repository.
    pub struct GitArtifact {
        /// Its address.
        pub repo: String,
        /// Commit, tag or branch.
        pub revision: Option<String>,
        /// How many commits are fetched.
        pub depth: Option<u64>,
        /// More refs to fetch.
        pub fetch: Vec<String>,
        /// The user's name.
        pub username_secret: Option<SecretKeySelector>,
        /// The user's password.
        pub password_secret: Option<SecretKeySelector>,
        /// The user's key for ssh.
        pub ssh_private_key_secret: Option<SecretKeySelector>,
        /// Whether any host key is taken.
        pub insecure_ignore_host_key: Option<bool>,
        /// Whether submodules are left out.
        pub disable_submodules: Option<bool>,
        /// Whether only `branch` is fetched.
        pub single_branch: Option<bool>,
        /// The branch to fetch.
        pub branch: Option<String>,
        /// Whether any certificate is taken.
        #[serde(rename = "insecureSkipTLS")]
        pub insecure_skip_tls: Option<bool>,
    }

    /// A file that is got by HTTP.
    pub struct HttpArtifact {
        /// Its address.
        pub url: String,
        /// Headers of the request.
        pub headers: Vec<Header>,
        /// How to prove who asks.
        pub auth: Option<HttpAuth>,
    }

    /// A header of a request.
    pub struct Header {
        /// Its name.
        pub name: String,
        /// Its value.
        pub value: String,
    }

    /// How to prove who asks.
    pub struct HttpAuth {
        /// By a certificate.
        pub client_cert: ClientCertAuth,
        /// By a token of OAuth2.
        pub oauth2: OAuth2Auth,
        /// By name and password.
        pub basic_auth: BasicAuth,
    }

    /// A client certificate.
    pub struct ClientCertAuth {
        /// The certificate.
        pub client_cert_secret: Option<SecretKeySelector>,
        /// Its key.
        pub client_key_secret: Option<SecretKeySelector>,
    }

    /// How a token of OAuth2 is got.
    pub struct OAuth2Auth {
        /// The client's ID.
        #[serde(rename = "clientIDSecret")]
        pub client_id_secret: Option<SecretKeySelector>,
        /// The client's secret.
        pub client_secret_secret: Option<SecretKeySelector>,
        /// The address of the token service.
        #[serde(rename = "tokenURLSecret")]
        pub token_url_secret: Option<SecretKeySelector>,
        /// What the token is for.
        pub scopes: Vec<String>,
        /// More parameters of the request.
        pub endpoint_params: Vec<OAuth2EndpointParam>,
    }

    /// A parameter of the request for a token.
    pub struct OAuth2EndpointParam {
        /// Its name.
        pub key: String,
        /// Its value.
        pub value: Option<String>,
    }

    /// Name and password.
    pub struct BasicAuth {
        /// The name.
        pub username_secret: Option<SecretKeySelector>,
        /// The password.
        pub password_secret: Option<SecretKeySelector>,
    }

    /// A file in Artifactory.
    pub struct ArtifactoryArtifact {
        /// Its address.
        pub url: String,
        /// The user's name.
        pub username_secret: Option<SecretKeySelector>,
        /// The user's password.
        pub password_secret: Option<SecretKeySelector>,
    }

    /// A file in HDFS.
    pub struct HdfsArtifact {
        as_is {
            /// The file system.
            #[serde(flatten)]
            pub config: HdfsConfig,
        }
        /// The path of the file.
        pub path: String,
        /// Whether a file that exists is replaced.
        pub force: Option<bool>,
    }

    /// A file system of HDFS and how to get at it.
    pub struct HdfsConfig {
        /// Kerberos: the credential cache.
        #[serde(rename = "krbCCacheSecret")]
        pub krb_c_cache_secret: Option<SecretKeySelector>,
        /// Kerberos: the keytab.
        pub krb_keytab_secret: Option<SecretKeySelector>,
        /// Kerberos: the user of the keytab.
        pub krb_username: Option<String>,
        /// Kerberos: the realm of the keytab.
        pub krb_realm: Option<String>,
        /// Kerberos: the configuration.
        pub krb_config_config_map: Option<ConfigMapKeySelector>,
        /// Kerberos: the name of the service.
        pub krb_service_principal_name: Option<String>,
        /// The name nodes.
        pub addresses: Vec<String>,
        /// The user, without Kerberos.
        pub hdfs_user: Option<String>,
        /// How data is protected on the way.
        pub data_transfer_protection: Option<String>,
    }

    /// The content itself.
    pub struct RawArtifact {
        as_is {
            /// The content.
            pub data: String,
        }
    }

    /// An object in an OSS bucket.
    pub struct OssArtifact {
        as_is {
            /// The bucket.
            #[serde(flatten)]
            pub bucket: OssBucket,
        }
        /// The key of the object.
        pub key: String,
    }

    /// An OSS bucket and how to get at it.
    pub struct OssBucket {
        /// Host name of the endpoint.
        pub endpoint: Option<String>,
        /// Name of the bucket.
        pub bucket: Option<String>,
        /// The access key.
        pub access_key_secret: Option<SecretKeySelector>,
        /// The secret key.
        pub secret_key_secret: Option<SecretKeySelector>,
        /// Whether to make a bucket that is missing.
        pub create_bucket_if_not_present: Option<bool>,
        /// A token for some time.
        pub security_token: Option<String>,
        /// What becomes of old objects.
        pub lifecycle_rule: Option<OssLifecycleRule>,
        /// Whether the credentials are found in the surroundings.
        #[serde(rename = "useSDKCreds")]
        pub use_sdk_creds: Option<bool>,
    }

    /// What becomes of old objects.
    pub struct OssLifecycleRule {
        /// Days until they are kept more cheaply.
        pub mark_infrequent_access_after_days: Option<i32>,
        /// Days until they are deleted.
        pub mark_deletion_after_days: Option<i32>,
    }

    /// An object in a GCS bucket.
    pub struct GcsArtifact {
        as_is {
            /// The bucket.
            #[serde(flatten)]
            pub bucket: GcsBucket,
        }
        /// The key of the object.
        pub key: String,
    }

    /// A GCS bucket and how to get at it.
    pub struct GcsBucket {
        /// Name of the bucket.
        pub bucket: Option<String>,
        /// The key of a service account.
        pub service_account_key_secret: Option<SecretKeySelector>,
    }

    /// A blob in an Azure container.
    pub struct AzureArtifact {
        as_is {
            /// The container.
            #[serde(flatten)]
            pub container: AzureBlobContainer,
        }
        /// The name of the blob.
        pub blob: String,
    }

    /// An Azure container and how to get at it.
    pub struct AzureBlobContainer {
        /// The service of the account.
        pub endpoint: String,
        /// Name of the container.
        pub container: String,
        /// The key of the account.
        pub account_key_secret: Option<SecretKeySelector>,
        /// Whether the credentials are found in the surroundings.
        #[serde(rename = "useSDKCreds")]
        pub use_sdk_creds: Option<bool>,
    }

    /// An object in a store that a plugin knows.
    pub struct PluginArtifact {
        /// The plugin.
        pub name: String,
        /// What the plugin is told.
        pub configuration: Option<String>,
        /// How long to wait for the plugin.
        pub connection_timeout_seconds: Option<i32>,
        /// The key of the object.
        pub key: Option<String>,
    }
}
