//! The Secret `clusters`: one key a cluster, whose value is rest.Config JSON. Each is read by itself, so that a bad one
//! leaves the others alone.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use sha2::{Digest, Sha256};

use crate::{
    api::ids::ClusterName,
    clusters::rest_config::{self, Allowed, Refusal, RestConfig},
};

/// What the Secret says.
#[derive(Debug, Default)]
pub struct Listed {
    /// Every well-named cluster.
    pub clusters: BTreeMap<ClusterName, Entry>,
    /// Keys that can't name a cluster, with the reason.
    pub misnamed: BTreeMap<String, String>,
}

/// One cluster of the Secret.
#[derive(Debug)]
pub struct Entry {
    /// Equal as long as the value is; the value itself is not kept.
    pub fingerprint: Fingerprint,
    /// What it says, or why it is not used.
    pub config: Result<RestConfig, Refusal>,
}

/// A hash of a value of the Secret.
pub type Fingerprint = [u8; 32];

/// Reads all of it. `home` is a name that the Secret can't give away.
pub fn read(secret: &Secret, home: &ClusterName, allowed: &Allowed) -> Listed {
    let mut listed = Listed::default();
    for (key, value) in secret.data.iter().flatten() {
        match key.parse::<ClusterName>() {
            Ok(name) if name == *home => {
                listed.misnamed.insert(key.clone(), "is the name of the home cluster".to_owned());
            }
            Ok(name) => {
                let fingerprint = Sha256::digest(&value.0).into();
                let config = rest_config::parse(&value.0, allowed);
                listed.clusters.insert(name, Entry { fingerprint, config });
            }
            Err(error) => {
                listed.misnamed.insert(key.clone(), error.to_string());
            }
        }
    }
    listed
}
