//! The Secret `clusters`: one key a cluster, whose value is rest.Config JSON, and an annotation with what else is known of
//! it. Each is read by itself, so that a bad one leaves the others alone.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use sha2::{Digest, Sha256};

use crate::{
    api::{contract::ANNOTATION_CLUSTER, ids::ClusterName},
    clusters::{
        rest_config::{self, Allowed, RestConfig},
        settings::{self, Settings},
    },
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
    /// Equal as long as value and annotation are.
    pub fingerprint: Fingerprint,
    /// What it says.
    pub said: Result<Said, Refusal>,
}

/// What the Secret says of one cluster.
#[derive(Debug)]
pub struct Said {
    /// How to reach it and who to be there.
    pub config: RestConfig,
    /// What else is known of it.
    pub settings: Settings,
}

/// Why what the Secret says of a cluster is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// For its value.
    #[error("its entry in the secret is refused: {0}")]
    Config(#[from] rest_config::Refusal),
    /// For its annotation.
    #[error("its annotation on the secret is refused: {0}")]
    Settings(#[from] settings::Refusal),
}

/// A hash of what the Secret says of a cluster.
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
                let entry = entry(&value.0, annotation(secret, &name), allowed);
                listed.clusters.insert(name, entry);
            }
            Err(error) => {
                listed.misnamed.insert(key.clone(), error.to_string());
            }
        }
    }
    listed
}

/// The text with a cluster's settings; that of empty ones if there is none.
pub fn annotation<'a>(secret: &'a Secret, name: &ClusterName) -> &'a str {
    let key = format!("{ANNOTATION_CLUSTER}{name}");
    secret.metadata.annotations.as_ref().and_then(|all| all.get(&key)).map_or("{}", String::as_str)
}

fn entry(value: &[u8], annotation: &str, allowed: &Allowed) -> Entry {
    // A text in an annotation holds no zero byte, so that nothing can move between the two.
    let hash = Sha256::new().chain_update(annotation).chain_update([0]).chain_update(value);
    let said = || {
        let settings = settings::parse(annotation)?;
        Ok(Said { config: rest_config::parse(value, allowed)?, settings })
    };
    Entry { fingerprint: hash.finalize().into(), said: said() }
}
