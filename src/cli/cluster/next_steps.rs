//! What others must still do before pods run in a cluster that was added, as lines to copy: its owner's consent, the rules
//! at home, the accounts of pods where they could not be made.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    api::{
        contract::{ANNOTATION_ACCEPT_FROM, ANNOTATION_ACCEPT_SERVICE_ACCOUNTS, CONFIG_MAP},
        ids::{ClusterName, Namespace},
    },
    cli::{
        cluster::{home::Home, places, target::Target},
        style::{STRONG, styled},
    },
    clusters::grants::Places,
};

/// What is known of the cluster.
pub struct Situation<'a> {
    /// Home.
    pub home: &'a Home,
    /// Its name.
    pub cluster: &'a ClusterName,
    /// The context that leads to it.
    pub context: &'a str,
    /// Where pods may run.
    pub places: &'a Places,
    /// The account that pods run as.
    pub account: &'a str,
    /// Whether `cluster add` makes such accounts.
    pub makes_accounts: bool,
    /// Whether a namespace's owner must consent.
    pub require_consent: bool,
}

/// One thing to do.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Why, and whose it is to do.
    pub why: String,
    /// What to run, or to write.
    pub lines: Vec<String>,
}

/// What is left to do. A namespace that can't be read counts as one whose owner has not consented.
pub async fn find(situation: &Situation<'_>, target: &Target) -> Vec<Step> {
    let mut annotations = BTreeMap::new();
    if let Places::These(namespaces) = situation.places {
        for namespace in namespaces {
            let found = target.namespace(namespace).await.ok().flatten();
            annotations
                .insert(namespace.clone(), found.and_then(|found| found.metadata.annotations).unwrap_or_default());
        }
    }
    let mut steps = Vec::new();
    steps.extend(accounts(situation));
    if situation.require_consent {
        steps.extend(consent(situation, &annotations));
    }
    steps.extend(rules(situation));
    steps
}

/// In all namespaces there is no place to make accounts beforehand.
fn accounts(situation: &Situation<'_>) -> Option<Step> {
    let Situation { context, account, places, makes_accounts, .. } = situation;
    if !makes_accounts || **places != Places::All {
        return None;
    }
    Some(Step {
        why: format!("in each namespace that takes pods, make service account {account}"),
        lines: vec![
            format!("kubectl --context {context} -n NAMESPACE create serviceaccount {account}"),
            format!(
                "kubectl --context {context} -n NAMESPACE create rolebinding landfall:pods:{account} --clusterrole landfall:pods \
                 --serviceaccount NAMESPACE:{account}"
            ),
        ],
    })
}

fn consent(situation: &Situation<'_>, annotations: &BTreeMap<Namespace, BTreeMap<String, String>>) -> Option<Step> {
    let Situation { home, cluster, context, account, .. } = situation;
    let line = |namespace| consent_line((home, cluster, context), Some(account), namespace);
    let mut lines: Vec<String> = annotations.iter().filter_map(line).collect();
    if *situation.places == Places::All {
        lines.push(format!(
            "kubectl --context {context} annotate namespace NAMESPACE {ANNOTATION_ACCEPT_FROM}={}/{}",
            home.name, home.namespace
        ));
    }
    (!lines.is_empty())
        .then(|| Step { why: "the owner of each namespace consents to pods from here, and to whose".to_owned(), lines })
}

/// The line by which a namespace's owner consents to all pods that the rules at home allow there, and to the account that
/// they run as where that is known; `None` if it has.
pub fn consent_line(
    (home, cluster, context): (&Home, &ClusterName, &str),
    account: Option<&str>,
    (namespace, annotations): (&Namespace, &BTreeMap<String, String>),
) -> Option<String> {
    let missing = missing_consent(&asking(home, cluster, namespace), account, annotations);
    if missing.is_empty() {
        return None;
    }
    let overwrite = if missing.iter().any(|(key, _)| annotations.contains_key(*key)) { " --overwrite" } else { "" };
    let pairs: Vec<String> = missing.iter().map(|(key, value)| format!(" {key}={value}")).collect();
    Some(format!("kubectl --context {context} annotate namespace {namespace}{}{overwrite}", pairs.concat()))
}

/// The annotations that are to be given, or to be given again with more in them. How they are read stands in
/// `policy/consent.rs`.
fn missing_consent(
    askers: &[String],
    account: Option<&str>,
    annotations: &BTreeMap<String, String>,
) -> Vec<(&'static str, String)> {
    let given = |key: &str| annotations.get(key).map(String::as_str);
    let more =
        |given: Option<&str>, more: &[&str]| entries(given).chain(more.iter().copied()).collect::<Vec<_>>().join(",");
    let mut missing = Vec::new();
    let from = given(ANNOTATION_ACCEPT_FROM);
    let strangers: Vec<&str> = askers.iter().map(String::as_str).filter(|asker| !accepts(from, asker)).collect();
    if !strangers.is_empty() {
        missing.push((ANNOTATION_ACCEPT_FROM, more(from, &strangers)));
    }
    let accounts = given(ANNOTATION_ACCEPT_SERVICE_ACCOUNTS);
    if let (Some(_), Some(account)) = (accounts, account)
        && !entries(accounts).any(|entry| entry == account)
    {
        missing.push((ANNOTATION_ACCEPT_SERVICE_ACCOUNTS, more(accounts, &[account])));
    }
    missing
}

/// Who would run pods in a namespace, as an owner consents to it: those whom the rules let, else those beside the controller.
fn asking(home: &Home, cluster: &ClusterName, namespace: &Namespace) -> Vec<String> {
    let askers = places::askers(&home.settings.policy.roles, cluster, namespace);
    if askers.is_empty() {
        return vec![format!("{}/{}", home.name, home.namespace)];
    }
    let name = |asker: &Option<Namespace>| match asker {
        Some(asker) => format!("{}/{asker}", home.name),
        None => home.name.to_string(),
    };
    askers.iter().map(name).collect()
}

fn accepts(given: Option<&str>, asker: &str) -> bool {
    let home = asker.split('/').next().unwrap_or_default();
    entries(given).any(|entry| entry == asker || entry == home)
}

fn entries(given: Option<&str>) -> impl Iterator<Item = &str> {
    given.unwrap_or_default().split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

fn rules(situation: &Situation<'_>) -> Option<Step> {
    let Situation { home, cluster, .. } = situation;
    let namespaces: Vec<String> = match situation.places {
        Places::All => vec!["\"\"".to_owned()],
        Places::These(namespaces) => namespaces
            .iter()
            .filter(|namespace| places::askers(&home.settings.policy.roles, cluster, namespace).is_empty())
            .map(ToString::to_string)
            .collect(),
    };
    if namespaces.is_empty() {
        return None;
    }
    Some(Step {
        why: format!(
            "at home, a rule of namespaceRoles lets workflows use the cluster, here those of namespace {} \
             (`{} edit configmap {CONFIG_MAP}`)",
            home.namespace,
            home.kubectl()
        ),
        lines: vec![
            format!("- namespace: {}", home.namespace),
            "  rules:".to_owned(),
            format!("    - clusterNames: [{cluster}]"),
            format!("      namespaces: [{}]", namespaces.join(", ")),
        ],
    })
}

/// Where pods may run, in a few words.
pub fn places_text(places: &Places) -> String {
    match places {
        Places::All => "in all namespaces".to_owned(),
        Places::These(namespaces) => {
            let names: Vec<&str> = namespaces.iter().map(Namespace::as_str).collect();
            format!("in {}", names.join(", "))
        }
    }
}

/// For people.
pub fn text(steps: &[Step]) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", styled(STRONG, "still to do:"));
    for Step { why, lines } in steps {
        text += &format!("- {why}\n");
        for line in lines {
            text += &format!("    {line}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::{ANNOTATION_ACCEPT_FROM, ANNOTATION_ACCEPT_SERVICE_ACCOUNTS, missing_consent};
    use crate::policy::{
        consent::{self, Consent, Landing},
        request::Request,
    };

    /// Whether policy takes a namespace's annotations for its consent.
    fn is_given(annotations: &BTreeMap<String, String>) -> bool {
        let request = json!({
            "home": "default", "workflow": {"namespace": "argo", "name": "w", "uid": "1"}, "template": "main",
            "target": {"cluster": "other", "namespace": "ns"}, "creates": "pod", "serviceAccount": "workflow",
        });
        let landing = Landing::Asked(Consent::parse(annotations));
        consent::refused(&Request { landing, ..serde_json::from_value(request).unwrap() }).is_none()
    }

    #[test]
    fn what_is_missing_is_what_policy_misses() {
        let check = |from: Option<&str>, accounts: Option<&str>, expected: &[&str]| {
            let given = [(ANNOTATION_ACCEPT_FROM, from), (ANNOTATION_ACCEPT_SERVICE_ACCOUNTS, accounts)];
            let given = given.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?.to_owned())));
            let mut annotations: BTreeMap<String, String> = given.collect();
            let missing = missing_consent(&["default/argo".to_owned()], Some("workflow"), &annotations);
            assert_eq!(
                missing.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(),
                expected,
                "{annotations:?}"
            );
            assert_eq!(missing.is_empty(), is_given(&annotations), "{annotations:?}");
            annotations.extend(missing.into_iter().map(|(key, value)| (key.to_owned(), value)));
            assert!(is_given(&annotations), "{annotations:?}");
        };
        check(None, None, &["default/argo"]);
        check(Some(""), None, &["default/argo"]);
        check(Some("default/argo"), None, &[]);
        check(Some(" a , default,"), None, &[]);
        check(Some("default/team-a, x"), None, &["default/team-a,x,default/argo"]);
        check(Some("default"), Some("workflow"), &[]);
        check(Some("default"), Some("other"), &["other,workflow"]);
        check(None, Some(""), &["default/argo", "workflow"]);
    }
}
