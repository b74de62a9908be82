//! What the namespaces that pods go to say of themselves, as the watches show them: the labels and annotations that consent
//! and policy read. Synchronous.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::api::core::v1::Namespace as Object;

use crate::{
    api::{
        contract::{ANNOTATION_ACCEPT_FROM, ANNOTATION_ACCEPT_SERVICE_ACCOUNTS, PREFIX_POLICY},
        ids::{ClusterName, Namespace, Target},
    },
    controller::watched::Scope,
};

/// What a namespace says of itself, as far as anybody here reads it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What is known of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// Nothing yet. It will be told: whoever waits for the cluster is woken then.
    Unknown,
    /// Nothing, for this reason, as where the right to watch namespaces is missing.
    Refused(String),
    /// There is none of this name.
    Missing,
    /// It is there.
    Known(Arc<Facts>),
}

/// The namespaces of all clusters.
#[derive(Default)]
pub struct Namespaces(Mutex<HashMap<(ClusterName, Scope), Listed>>);

enum Listed {
    Refused(String),
    All(HashMap<Namespace, Arc<Facts>>),
}

impl Namespaces {
    /// What is known of one.
    pub fn get(&self, target: &Target) -> View {
        let lists = self.lock();
        let own = lists.get(&(target.cluster.clone(), Some(target.namespace.clone())));
        match own.or_else(|| lists.get(&(target.cluster.clone(), None))) {
            None => View::Unknown,
            Some(Listed::Refused(reason)) => View::Refused(reason.clone()),
            Some(Listed::All(all)) => all.get(&target.namespace).cloned().map_or(View::Missing, View::Known),
        }
    }

    /// Takes a whole list; whether it says anything new.
    pub fn replace(&self, cluster: &ClusterName, scope: &Scope, objects: Vec<Object>) -> bool {
        let all: HashMap<_, _> = objects.into_iter().filter_map(facts).collect();
        let mut lists = self.lock();
        let before = lists.insert((cluster.clone(), scope.clone()), Listed::All(all.clone()));
        match before {
            Some(Listed::All(before)) => before != all,
            Some(Listed::Refused(_)) | None => true,
        }
    }

    /// Takes one that is new or changed; whether it says anything new.
    pub fn put(&self, cluster: &ClusterName, scope: &Scope, object: Object) -> bool {
        let Some((name, facts)) = facts(object) else { return false };
        match self.lock().get_mut(&(cluster.clone(), scope.clone())) {
            Some(Listed::All(all)) => all.insert(name, facts.clone()).is_none_or(|before| before != facts),
            Some(Listed::Refused(_)) | None => false,
        }
    }

    /// Forgets one that is gone; whether it was known.
    pub fn remove(&self, cluster: &ClusterName, scope: &Scope, object: Object) -> bool {
        let Some((name, _)) = facts(object) else { return false };
        match self.lock().get_mut(&(cluster.clone(), scope.clone())) {
            Some(Listed::All(all)) => all.remove(&name).is_some(),
            Some(Listed::Refused(_)) | None => false,
        }
    }

    /// Notes that they can't be listed or watched; whether that is new.
    pub fn refuse(&self, cluster: &ClusterName, scope: &Scope, reason: &str) -> bool {
        let mut lists = self.lock();
        let before = lists.insert((cluster.clone(), scope.clone()), Listed::Refused(reason.to_owned()));
        !matches!(before, Some(Listed::Refused(before)) if before == reason)
    }

    /// Forgets all that one watch told.
    pub fn forget(&self, cluster: &ClusterName, scope: &Scope) {
        self.lock().remove(&(cluster.clone(), scope.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(ClusterName, Scope), Listed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes away all that nobody here reads, as soon as a namespace arrives.
pub fn strip(object: &mut Object) {
    object.spec = None;
    object.status = None;
    object.metadata.managed_fields = None;
    for texts in [&mut object.metadata.labels, &mut object.metadata.annotations].into_iter().flatten() {
        texts.retain(|key, _| is_read(key));
    }
}

fn is_read(key: &str) -> bool {
    key.starts_with(PREFIX_POLICY) || [ANNOTATION_ACCEPT_FROM, ANNOTATION_ACCEPT_SERVICE_ACCOUNTS].contains(&key)
}

fn facts(object: Object) -> Option<(Namespace, Arc<Facts>)> {
    let name = Namespace::try_from(object.metadata.name?).ok()?;
    let labels = object.metadata.labels.unwrap_or_default();
    let annotations = object.metadata.annotations.unwrap_or_default();
    Some((name, Arc::new(Facts { labels, annotations })))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Namespace as Object;
    use serde_json::json;

    use super::{Namespaces, View, strip};
    use crate::api::ids::Target;

    fn object(name: &str, ticket: &str) -> Object {
        let texts = json!({"policy.landfall.dev/ticket": ticket, "team": "a", "landfall.dev/accept-from": "default"});
        let metadata = json!({"name": name, "labels": texts, "annotations": texts});
        let mut object = serde_json::from_value(json!({"metadata": metadata, "spec": {}})).expect("a namespace");
        strip(&mut object);
        object
    }

    fn check(namespaces: &Namespaces, target: &str, expected: &str) {
        let (cluster, namespace) = target.split_once('/').expect("a target");
        let (cluster, namespace) = (cluster.parse().expect("a name"), namespace.parse().expect("a name"));
        let text = match namespaces.get(&Target { cluster, namespace }) {
            View::Known(facts) => {
                let texts = facts.labels.iter().chain(&facts.annotations).map(|(key, value)| format!("{key}={value}"));
                texts.collect::<Vec<_>>().join(" ")
            }
            other => format!("{other:?}"),
        };
        assert_eq!(text, expected, "{target}");
    }

    #[test]
    fn tells_what_is_known_of_each() {
        let namespaces = Namespaces::default();
        let (one, two) = ("one".parse().expect("a name"), "two".parse().expect("a name"));
        let argo = Some("argo".parse().expect("a name"));
        let held = |ticket: &str| {
            let both = format!("landfall.dev/accept-from=default policy.landfall.dev/ticket={ticket}");
            format!("{both} {both}")
        };
        check(&namespaces, "one/argo", "Unknown");
        assert!(!namespaces.put(&one, &None, object("argo", "early")), "nothing is listed yet");

        assert!(namespaces.replace(&one, &None, vec![object("argo", "a")]));
        assert!(!namespaces.replace(&one, &None, vec![object("argo", "a")]), "nothing new");
        check(&namespaces, "one/argo", &held("a"));
        check(&namespaces, "one/other", "Missing");
        check(&namespaces, "two/argo", "Unknown");

        assert!(namespaces.refuse(&two, &argo, "no right"));
        assert!(!namespaces.refuse(&two, &argo, "no right"));
        check(&namespaces, "two/argo", "Refused(\"no right\")");
        assert!(namespaces.replace(&two, &argo, Vec::new()));
        check(&namespaces, "two/argo", "Missing");
        assert!(namespaces.put(&two, &argo, object("argo", "b")));
        assert!(!namespaces.put(&two, &argo, object("argo", "b")), "nothing new");
        check(&namespaces, "two/argo", &held("b"));
        check(&namespaces, "two/other", "Unknown");
        assert!(namespaces.remove(&two, &argo, object("argo", "b")));
        check(&namespaces, "two/argo", "Missing");
        namespaces.forget(&two, &argo);
        check(&namespaces, "two/argo", "Unknown");
    }
}
