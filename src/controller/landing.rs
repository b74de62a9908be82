//! What the namespace that a pod is to land in says of it: whether its owner consents, where the cluster requires that, and
//! what modules are told. What the answer means is policy's business (`policy/consent.rs`).
//!
//! The watch is believed when it speaks for the pod. Before a pod is denied, which is final, the cluster itself is asked.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace as Object;
use kube::Api;

use crate::{
    api::ids::Target,
    clusters::call::CallError,
    controller::{
        Controller,
        namespaces::{self, Facts, View},
    },
    policy::consent::{self, Consent, Landing},
};

/// What is known of a namespace, with regard to a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Site {
    /// Enough to ask policy.
    Told {
        /// What the host goes by.
        landing: Landing,
        /// What modules are told.
        attributes: Vec<(String, String)>,
    },
    /// Too little to ask; the text says what is waited for.
    Untold(String),
}

/// What the watches show.
pub fn look(controller: &Controller, target: &Target) -> Site {
    let Some(requires) = requires_consent(controller, target) else { return Site::open() };
    match controller.namespaces.get(target) {
        // Nobody looks there, as in namespace mode beside the managed one: consent can't be seen, so there is none.
        View::Unknown if !controller.watched.covers(target) && requires => Site::of(Some(&Facts::default()), requires),
        View::Unknown if !controller.watched.covers(target) => Site::open(),
        View::Unknown => Site::Untold(format!("waiting to know {}", name(target))),
        View::Refused(reason) if requires => Site::unseen(target, &reason),
        View::Refused(_) => Site::open(),
        View::Missing => Site::of(None, requires),
        View::Known(facts) => Site::of(Some(&facts), requires),
    }
}

/// What the cluster itself says now.
pub async fn ask(controller: &Controller, target: &Target) -> Site {
    let Some(requires) = requires_consent(controller, target) else { return Site::open() };
    let Some(cluster) = controller.clusters.get(&target.cluster) else {
        return Site::Untold(format!("waiting for cluster \"{}\": it is not connected", target.cluster));
    };
    let api: Api<Object> = Api::all(cluster.client());
    match cluster.call(api.get(target.namespace.as_str())).await {
        Ok(mut object) => {
            namespaces::strip(&mut object);
            let texts = |texts: Option<BTreeMap<String, String>>| texts.unwrap_or_default();
            let facts =
                Facts { labels: texts(object.metadata.labels), annotations: texts(object.metadata.annotations) };
            Site::of(Some(&facts), requires)
        }
        Err(CallError::Refused(status)) if status.code == 404 => Site::of(None, requires),
        // It may be watched and not got.
        Err(CallError::Refused(_)) => look(controller, target),
        Err(CallError::Unreachable(reason)) => Site::unseen(target, &reason),
    }
}

/// `None`: pods can't be there anyway, because the cluster's settings don't name the namespace; that has an error of its own.
fn requires_consent(controller: &Controller, target: &Target) -> Option<bool> {
    if target.cluster == *controller.home() {
        return Some(false);
    }
    let settings = controller.clusters.get(&target.cluster)?.settings();
    settings.allows(&target.namespace).then_some(settings.require_consent)
}

impl Site {
    /// Whether policy can be asked.
    pub fn is_told(&self) -> bool {
        match self {
            Site::Told { .. } => true,
            Site::Untold(_) => false,
        }
    }

    /// Nothing is asked of the namespace, and nothing is known of it.
    fn open() -> Site {
        Site::Told { landing: Landing::Open, attributes: Vec::new() }
    }

    fn unseen(target: &Target, reason: &str) -> Site {
        Site::Untold(format!("waiting to see whether {} consents: {reason}", name(target)))
    }

    /// What a namespace says, or that there is none. Without consent that is left for the cluster to say.
    fn of(facts: Option<&Facts>, requires: bool) -> Site {
        let Some(facts) = facts else {
            let landing = if requires { Landing::NoNamespace } else { Landing::Open };
            return Site::Told { landing, attributes: Vec::new() };
        };
        match consent::attributes(&facts.labels, &facts.annotations) {
            Err(bytes) => Site::Told { landing: Landing::TooLong(bytes), attributes: Vec::new() },
            Ok(attributes) if requires => {
                Site::Told { landing: Landing::Asked(Consent::parse(&facts.annotations)), attributes }
            }
            Ok(attributes) => Site::Told { landing: Landing::Open, attributes },
        }
    }
}

fn name(target: &Target) -> String {
    format!("namespace \"{}\" of cluster \"{}\"", target.namespace, target.cluster)
}
