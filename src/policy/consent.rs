//! What the owner of a namespace in another cluster consents to: which homes may run pods in it, and as which service
//! accounts. The check comes before every module, and no module can widen it. Here too: which of the namespace's labels and
//! annotations modules are told.
//!
//! The consent stands in annotations of that namespace (`contract.rs`), as lists separated by commas. An entry that can't be
//! read counts as not given, and the denial names it. Whether a cluster requires consent, and looking at the namespace, is
//! the controller's business.

use std::{collections::BTreeMap, fmt};

use crate::{
    api::{
        contract::{ANNOTATION_ACCEPT_FROM, ANNOTATION_ACCEPT_SERVICE_ACCOUNTS, PREFIX_POLICY},
        ids::{ClusterName, Namespace, Target},
    },
    policy::{
        decision::{CODE_ATTRIBUTES_LIMIT, CODE_NO_CONSENT, CODE_NO_NAMESPACE, Denial, MODULE_CORE},
        request::Request,
    },
};

/// With a label's key behind it, the attribute that has its value.
const ATTRIBUTE_LABEL: &str = "target-label:";
/// With an annotation's key behind it, the attribute that has its value.
const ATTRIBUTE_ANNOTATION: &str = "target-annotation:";

/// Bytes of all attributes that one namespace makes. They stand in every record of a decision on it.
const ATTRIBUTES_BYTES_MAX: usize = 8 << 10;
/// Bytes of an annotation that is read. A hundred homes take less; a longer one would be read again for each pod.
const ANNOTATION_BYTES_MAX: usize = 16 << 10;
/// Entries of one list that a denial shows: it becomes a node's message, and objects must stay small.
const SHOWN_MAX: usize = 8;
/// Characters of an entry that can't be read, as a denial shows it.
const ENTRY_CHARACTERS_MAX: usize = 64;
/// Bytes of a value in the line to add. A longer one is left to an editor.
const LINE_BYTES_MAX: usize = 512;
/// Longest name of a service account: a DNS subdomain.
const ACCOUNT_LENGTH_MAX: usize = 253;

/// What the host goes by at the target's namespace, before any module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Landing {
    /// Nobody's consent is required there: it is home, or the cluster is set up so.
    #[default]
    Open,
    /// Consent is required, and there is no such namespace.
    NoNamespace,
    /// What the namespace tells modules is so many bytes, too many to hand on, and to leave some out could allow more.
    TooLong(usize),
    /// Consent is required, and this is given.
    Asked(Consent),
}

/// What the owner of a namespace consents to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consent {
    /// The homes that may run pods here; without the annotation, nobody may.
    from: Option<Given<Home>>,
    /// The service accounts that they may use; without the annotation, any.
    accounts: Option<Given<String>>,
}

/// The entries of one annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given<T> {
    entries: Vec<T>,
    /// What could not be read, cut to a length.
    malformed: Vec<String>,
}

/// A home, or one namespace of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Home {
    cluster: ClusterName,
    /// Where the workflows are; `None`: anywhere.
    namespace: Option<Namespace>,
}

impl Consent {
    /// What stands in a namespace's annotations.
    pub fn parse(annotations: &BTreeMap<String, String>) -> Consent {
        let text = |key: &str| annotations.get(key).map(String::as_str);
        Consent {
            from: text(ANNOTATION_ACCEPT_FROM).map(|text| Given::parse(text, Home::parse)),
            accounts: text(ANNOTATION_ACCEPT_SERVICE_ACCOUNTS).map(|text| Given::parse(text, account)),
        }
    }

    fn accepts_home(&self, request: &Request) -> bool {
        let mut entries = self.from.iter().flat_map(|from| &from.entries);
        entries.any(|entry| {
            entry.cluster == request.home
                && entry.namespace.as_ref().is_none_or(|namespace| *namespace == request.workflow.namespace)
        })
    }

    fn accepts_account(&self, request: &Request) -> bool {
        self.accounts.as_ref().is_none_or(|accounts| accounts.entries.contains(&request.service_account))
    }
}

impl<T> Given<T> {
    fn parse(text: &str, entry: impl Fn(&str) -> Option<T>) -> Given<T> {
        let mut given = Given { entries: Vec::new(), malformed: Vec::new() };
        if ANNOTATION_BYTES_MAX < text.len() {
            given.malformed.push(format!("all of its {} bytes", text.len()));
            return given;
        }
        for text in text.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            match entry(text) {
                Some(entry) => given.entries.push(entry),
                None => {
                    given.malformed.push(format!("{:?}", text.chars().take(ENTRY_CHARACTERS_MAX).collect::<String>()))
                }
            }
        }
        given
    }
}

impl Home {
    /// `HOME` or `HOME/NAMESPACE`.
    fn parse(text: &str) -> Option<Home> {
        let (cluster, namespace) = match text.split_once('/') {
            Some((cluster, namespace)) => (cluster, Some(namespace.parse().ok()?)),
            None => (text, None),
        };
        Some(Home { cluster: cluster.parse().ok()?, namespace })
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}", self.cluster),
            None => write!(f, "{}", self.cluster),
        }
    }
}

/// The name of a service account, if it is one.
fn account(text: &str) -> Option<String> {
    let is_label = |label: &str| label.parse::<Namespace>().is_ok();
    let is_name = text.len() <= ACCOUNT_LENGTH_MAX && text.split('.').all(is_label);
    is_name.then(|| text.to_owned())
}

/// Why the target's namespace takes no pod of this request.
pub fn refused(request: &Request) -> Option<Denial> {
    let Target { cluster, namespace } = &request.target;
    let place = format!("namespace \"{namespace}\" of cluster \"{cluster}\"");
    let (code, reason) = match &request.landing {
        Landing::Open => return None,
        Landing::NoNamespace => {
            let reason = format!(
                "there is no {place}; whoever may make it runs: kubectl --context {cluster} create namespace {namespace}, and \
                 then: {}",
                line(request, &Consent::default(), &[ANNOTATION_ACCEPT_FROM])
            );
            (CODE_NO_NAMESPACE, reason)
        }
        Landing::TooLong(bytes) => {
            let reason = format!(
                "the labels and annotations \"{PREFIX_POLICY}…\" of {place} are {bytes} bytes, and modules are told at most \
                 {ATTRIBUTES_BYTES_MAX}"
            );
            (CODE_ATTRIBUTES_LIMIT, reason)
        }
        Landing::Asked(consent) => (CODE_NO_CONSENT, not_given(request, consent, &place)?),
    };
    Some(Denial { module: MODULE_CORE.to_owned(), code: code.to_owned(), reason })
}

/// What is missing of a consent, and the line that gives it.
fn not_given(request: &Request, consent: &Consent, place: &str) -> Option<String> {
    let mut missing = Vec::new();
    let mut said = Vec::new();
    if !consent.accepts_home(request) {
        missing.push(ANNOTATION_ACCEPT_FROM);
        let asker = format!("workflows in namespace \"{}\" of home \"{}\"", request.workflow.namespace, request.home);
        said.push(match &consent.from {
            None => format!("takes no pods from elsewhere, so none of {asker}"),
            Some(given) => format!("takes no pods of {asker}: it takes those of {}", shown(given)),
        });
    }
    if let Some(given) = consent.accounts.as_ref().filter(|_| !consent.accepts_account(request)) {
        missing.push(ANNOTATION_ACCEPT_SERVICE_ACCOUNTS);
        let account = &request.service_account;
        said.push(format!("lets them not use service account \"{account}\": they may use {}", shown(given)));
    }
    if missing.is_empty() {
        return None;
    }
    let said = said.join(", and ");
    Some(format!("{place} {said}; its owner can consent by: {}", line(request, consent, &missing)))
}

/// `a, b/c`, with what counts as not given.
fn shown<T: fmt::Display>(given: &Given<T>) -> String {
    let list = |mut texts: Vec<String>, all: usize| {
        if texts.is_empty() {
            return "none".to_owned();
        }
        if texts.len() < all {
            texts.push(format!("{} more", all - texts.len()));
        }
        texts.join(", ")
    };
    let entries = given.entries.iter().take(SHOWN_MAX).map(ToString::to_string).collect();
    let text = list(entries, given.entries.len());
    if given.malformed.is_empty() {
        return text;
    }
    let malformed = given.malformed.iter().take(SHOWN_MAX).cloned().collect();
    format!("{text} (not readable, so not given: {})", list(malformed, given.malformed.len()))
}

/// What the owner of the namespace runs to give what is missing. A context of the owner's is named as the cluster is here.
fn line(request: &Request, consent: &Consent, missing: &[&str]) -> String {
    let own = Home { cluster: request.home.clone(), namespace: Some(request.workflow.namespace.clone()) };
    let Target { cluster, namespace } = &request.target;
    let mut line = format!("kubectl --context {cluster} annotate namespace {namespace}");
    let mut is_there = false;
    for key in missing {
        let (before, value) = if *key == ANNOTATION_ACCEPT_FROM {
            with(consent.from.as_ref(), own.to_string())
        } else {
            with(consent.accounts.as_ref(), request.service_account.clone())
        };
        if LINE_BYTES_MAX < value.len() {
            return format!(
                "kubectl --context {cluster} edit namespace {namespace}, and there a further entry in {key}"
            );
        }
        is_there |= before;
        line += &format!(" {key}={value}");
    }
    if is_there {
        line += " --overwrite";
    }
    line
}

/// Whether there is such an annotation, and what it is to be with `more` in it.
fn with<T: fmt::Display>(given: Option<&Given<T>>, more: String) -> (bool, String) {
    let entries = given.iter().flat_map(|given| &given.entries).map(ToString::to_string);
    (given.is_some(), entries.chain([more]).collect::<Vec<_>>().join(","))
}

/// Whether an attribute tells of the target's namespace.
pub fn is_of_target(name: &str) -> bool {
    name.starts_with(ATTRIBUTE_LABEL) || name.starts_with(ATTRIBUTE_ANNOTATION)
}

/// What modules are told of a namespace: its labels and annotations whose key begins with [`PREFIX_POLICY`]. Others may hold
/// anything, and records show what modules are told.
///
/// # Errors
/// How many bytes they are, if that is too much. To leave some out could turn a denial into its opposite.
pub fn attributes(
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, usize> {
    let mut attributes = Vec::new();
    for (prefix, pairs) in [(ATTRIBUTE_LABEL, labels), (ATTRIBUTE_ANNOTATION, annotations)] {
        let shown = pairs.iter().filter(|(key, _)| key.starts_with(PREFIX_POLICY));
        attributes.extend(shown.map(|(key, value)| (format!("{prefix}{key}"), value.clone())));
    }
    let bytes = attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    if ATTRIBUTES_BYTES_MAX < bytes { Err(bytes) } else { Ok(attributes) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::{ANNOTATION_ACCEPT_FROM, ANNOTATION_ACCEPT_SERVICE_ACCOUNTS, Consent, Landing};
    use crate::policy::request::Request;

    fn request(landing: Landing) -> Request {
        let request = json!({
            "home": "default", "workflow": {"namespace": "argo", "name": "w", "uid": "1"}, "template": "main",
            "target": {"cluster": "other", "namespace": "ns"}, "creates": "pod", "serviceAccount": "workflow",
        });
        Request { landing, ..serde_json::from_value(request).unwrap() }
    }

    fn refused(landing: Landing) -> String {
        let denial = super::refused(&request(landing));
        denial.map_or_else(|| "accepted".to_owned(), |denial| format!("{} {}", denial.code, denial.reason))
    }

    fn check(from: Option<&str>, accounts: Option<&str>, expected: &str) {
        let given = [(ANNOTATION_ACCEPT_FROM, from), (ANNOTATION_ACCEPT_SERVICE_ACCOUNTS, accounts)];
        let given = given.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?.to_owned())));
        let found = refused(Landing::Asked(Consent::parse(&given.collect())));
        assert_eq!(found, expected, "{from:?} {accounts:?}");
    }

    #[test]
    fn a_home_and_its_namespace_are_accepted_by_name() {
        for from in ["default", "default/argo", " a , default/argo,", "x y,default/argo", "default/other,default"] {
            check(Some(from), None, "accepted");
        }
        check(
            None,
            None,
            "no-consent namespace \"ns\" of cluster \"other\" takes no pods from elsewhere, so none of workflows in \
             namespace \"argo\" of home \"default\"; its owner can consent by: kubectl --context other annotate namespace ns \
             landfall.dev/accept-from=default/argo",
        );
        for (from, takes, line) in [
            ("", "none", ""),
            ("argo", "argo", "argo,"),
            ("default/team-a, other/argo", "default/team-a, other/argo", "default/team-a,other/argo,"),
            ("default/", "none (not readable, so not given: \"default/\")", ""),
            ("*", "none (not readable, so not given: \"*\")", ""),
            ("*/argo,a/b/c,b", "b (not readable, so not given: \"*/argo\", \"a/b/c\")", "b,"),
            ("Default/argo;default/argo", "none (not readable, so not given: \"Default/argo;default/argo\")", ""),
        ] {
            let expected = format!(
                "no-consent namespace \"ns\" of cluster \"other\" takes no pods of workflows in namespace \"argo\" of home \
                 \"default\": it takes those of {takes}; its owner can consent by: kubectl --context other annotate namespace \
                 ns landfall.dev/accept-from={line}default/argo --overwrite"
            );
            check(Some(from), None, &expected);
        }
    }

    #[test]
    fn service_accounts_are_any_or_those_listed() {
        for accounts in ["workflow", "default, workflow", "NOT ONE,workflow", "a.b-c.d,workflow,"] {
            check(Some("default"), Some(accounts), "accepted");
        }
        for (accounts, may, line) in [
            ("", "none", ""),
            ("default", "default", "default,"),
            ("*", "none (not readable, so not given: \"*\")", ""),
        ] {
            let expected = format!(
                "no-consent namespace \"ns\" of cluster \"other\" lets them not use service account \"workflow\": they may use \
                 {may}; its owner can consent by: kubectl --context other annotate namespace ns \
                 landfall.dev/accept-service-accounts={line}workflow --overwrite"
            );
            check(Some("default/argo"), Some(accounts), &expected);
        }
        check(
            None,
            Some("default"),
            "no-consent namespace \"ns\" of cluster \"other\" takes no pods from elsewhere, so none of workflows in \
             namespace \"argo\" of home \"default\", and lets them not use service account \"workflow\": they may use default; \
             its owner can consent by: kubectl --context other annotate namespace ns landfall.dev/accept-from=default/argo \
             landfall.dev/accept-service-accounts=default,workflow --overwrite",
        );
    }

    #[test]
    fn what_is_long_is_shown_in_part() {
        let many = (0..100).map(|number| format!("home-{number}")).collect::<Vec<_>>().join(",");
        check(
            Some(&many),
            None,
            "no-consent namespace \"ns\" of cluster \"other\" takes no pods of workflows in namespace \"argo\" of home \
             \"default\": it takes those of home-0, home-1, home-2, home-3, home-4, home-5, home-6, home-7, 92 more; its \
             owner can consent by: kubectl --context other edit namespace ns, and there a further entry in \
             landfall.dev/accept-from",
        );
        let huge = format!("default,{}", "x".repeat(1 << 20));
        check(
            Some(&huge),
            None,
            "no-consent namespace \"ns\" of cluster \"other\" takes no pods of workflows in namespace \"argo\" of home \
             \"default\": it takes those of none (not readable, so not given: all of its 1048584 bytes); its owner can \
             consent by: kubectl --context other annotate namespace ns landfall.dev/accept-from=default/argo --overwrite",
        );
        let nasty = format!("{}\u{1b}[2J", "ü".repeat(60));
        let landing = Landing::Asked(Consent::parse(&BTreeMap::from([(ANNOTATION_ACCEPT_FROM.to_owned(), nasty)])));
        let text = refused(landing);
        assert!(text.contains(&format!("not given: \"{}\\u{{1b}}[2J\")", "ü".repeat(60))), "{text}");
    }

    #[test]
    fn a_landing_that_is_none_is_refused() {
        assert_eq!(refused(Landing::Open), "accepted");
        assert_eq!(
            refused(Landing::NoNamespace),
            "no-namespace there is no namespace \"ns\" of cluster \"other\"; whoever may make it runs: kubectl --context \
             other create namespace ns, and then: kubectl --context other annotate namespace ns \
             landfall.dev/accept-from=default/argo"
        );
        assert_eq!(
            refused(Landing::TooLong(9000)),
            "attributes-limit the labels and annotations \"policy.landfall.dev/…\" of namespace \"ns\" of cluster \"other\" \
             are 9000 bytes, and modules are told at most 8192"
        );
    }

    #[test]
    fn modules_are_told_only_what_is_for_them() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let labels = map(&[("policy.landfall.dev/tier", "gold"), ("team", "a"), ("x.policy.landfall.dev/b", "c")]);
        let annotations = map(&[("policy.landfall.dev/tier", "any text"), ("kubectl.kubernetes.io/last", "{secret}")]);
        let expected = [
            ("target-label:policy.landfall.dev/tier", "gold"),
            ("target-annotation:policy.landfall.dev/tier", "any text"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(super::attributes(&labels, &annotations).unwrap(), expected);
        let long = map(&[("policy.landfall.dev/long", &"x".repeat(9000))]);
        assert_eq!(super::attributes(&BTreeMap::new(), &long), Err(9042));
        assert_eq!(super::attributes(&BTreeMap::new(), &map(&[("other", &"x".repeat(9000))])), Ok(Vec::new()));
    }
}
