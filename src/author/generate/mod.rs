//! Settings and requests for any module, made from those that its author wrote: names swapped, elements dropped and
//! doubled, other JSON in their places. Everything comes of one seed, so that a run can be had again.

pub mod dice;
mod json;
pub mod pods;

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value as Json;

use crate::{
    api::ids::{ClusterName, Namespace, Target},
    author::{
        generate::{dice::Dice, json::Mutator},
        question::{Draft, Question},
    },
    policy::request::{PodJson, Request},
};

/// A name that nobody would choose: it stands for a tenant, a cluster or a place that nobody wrote rules for.
const FRESH: &str = "fresh";
/// The longest name that the host lets through.
const LABEL_LENGTH: usize = 63;
/// Characters of a long text in a request. Nothing bounds the name of a template but the size of the workflow.
const TEXT_LENGTH: usize = 4096;
/// Settings are changed in so many places at most.
const CHANGES_MAX: u64 = 3;

/// What to start from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Corpus {
    /// Settings that the module takes.
    pub settings: Vec<Arc<Json>>,
    /// Requests, with their pods.
    pub requests: Vec<Request>,
}

impl Corpus {
    /// The settings and requests of these questions.
    pub fn of_questions(questions: &[Question]) -> Corpus {
        let mut corpus = Corpus::default();
        for Question { settings, request, .. } in questions {
            if !corpus.settings.contains(settings) {
                corpus.settings.push(Arc::clone(settings));
            }
            corpus.requests.push(request.clone());
        }
        corpus
    }

    /// For a module without a suite: these settings, and a few requests. Where `builtin`, there are roles as well.
    pub fn of_settings(settings: Option<Json>, builtin: bool) -> Corpus {
        let settings = match settings {
            None if builtin => vec![serde_json::json!({ "roles": null }), roles()],
            None => vec![serde_json::json!({})],
            Some(settings) => vec![settings],
        };
        Corpus { settings: settings.into_iter().map(Arc::new).collect(), requests: plain_requests() }
    }
}

/// Makes settings and requests.
pub struct Generator {
    /// What decides.
    pub dice: Dice,
    corpus: Corpus,
    json: Mutator,
    namespaces: Vec<Namespace>,
    clusters: Vec<ClusterName>,
    words: Vec<String>,
    pods: Vec<Json>,
}

impl Generator {
    /// One that starts from `corpus`. A corpus without settings or requests is filled up with plain ones.
    pub fn new(mut corpus: Corpus, seed: u64) -> Generator {
        let dice = Dice::new([seed, 0, 0, 0]);
        if corpus.settings.is_empty() {
            corpus.settings.push(Arc::new(serde_json::json!({})));
        }
        if corpus.requests.is_empty() {
            corpus.requests = plain_requests();
        }
        let mut words = BTreeSet::new();
        for settings in &corpus.settings {
            json::words(settings, &mut words);
        }
        let mut namespaces = BTreeSet::new();
        let mut clusters = BTreeSet::new();
        for request in &corpus.requests {
            namespaces.extend([request.workflow.namespace.clone(), request.target.namespace.clone()]);
            clusters.extend([request.home.clone(), request.target.cluster.clone()]);
            words.extend([request.template.clone(), request.service_account.clone()]);
            words.extend(request.attributes.iter().flat_map(|(name, value)| [name.clone(), value.clone()]));
        }
        // What looks like a name in the settings is a name of something.
        let parts = || words.iter().flat_map(|word| word.split('/'));
        namespaces.extend(parts().filter_map(|word| word.parse().ok()));
        clusters.extend(parts().filter_map(|word| word.parse().ok()));
        words.extend(namespaces.iter().map(|name| name.as_str().to_owned()));
        words.extend(clusters.iter().map(|name| name.as_str().to_owned()));
        let words: Vec<String> = words.into_iter().collect();
        let mut pods = pods::nasty();
        pods.extend(
            corpus.requests.iter().filter_map(|request| serde_json::from_str(request.pod.as_ref()?.as_str()).ok()),
        );
        Generator {
            dice,
            json: Mutator::new(words.clone()),
            corpus,
            namespaces: namespaces.into_iter().collect(),
            clusters: clusters.into_iter().collect(),
            words,
            pods,
        }
    }

    /// The namespaces that the requests name that this started from.
    pub fn tenants(&self) -> Vec<String> {
        let mut names = BTreeSet::new();
        for request in &self.corpus.requests {
            names.extend([&request.workflow.namespace, &request.target.namespace].map(Namespace::as_str));
        }
        names.into_iter().map(str::to_owned).collect()
    }

    /// Settings, more often than not such as the module takes.
    pub fn settings(&mut self) -> Json {
        let mut settings = match self.dice.pick(&self.corpus.settings) {
            Some(settings) => Json::clone(settings),
            None => serde_json::json!({}),
        };
        for _ in 0..self.dice.below(CHANGES_MAX + 1) {
            self.json.change(&mut self.dice, &mut settings);
        }
        settings
    }

    /// A request: names are well-formed, as the host guarantees; all else can be anything.
    pub fn request(&mut self) -> Request {
        let mut request = match self.dice.pick(&self.corpus.requests) {
            Some(request) => request.clone(),
            None => plain_request("argo", "default/argo"),
        };
        if self.dice.one_in(2) {
            request.workflow.namespace = self.namespace();
        }
        if self.dice.one_in(2) {
            request.target.namespace = self.namespace();
        }
        if self.dice.one_in(2) {
            request.target.cluster = self.cluster();
        }
        for field in
            [&mut request.template, &mut request.service_account, &mut request.workflow.name, &mut request.workflow.uid]
        {
            if self.dice.one_in(8) {
                *field = text(&mut self.dice, &self.words);
            }
        }
        self.change_attributes(&mut request.attributes);
        if self.dice.one_in(2) {
            request.pod = Some(self.pod());
        }
        request
    }

    /// A request whose pod is one that a careful module denies, more often than not.
    pub fn request_with_nasty_pod(&mut self) -> Request {
        let mut request = self.request();
        if let Some(pod) = self.dice.pick(&self.pods) {
            request.pod = Some(PodJson::from(pod.to_string()));
        }
        request
    }

    /// What can't be read as a pod; `None` is no pod at all.
    pub fn garbage_pod(&mut self) -> Option<PodJson> {
        pods::garbage(&mut self.dice, &mut self.json)
    }

    /// JSON of any kind.
    pub fn any_json(&mut self) -> Json {
        self.json.any(&mut self.dice)
    }

    fn pod(&mut self) -> PodJson {
        let mut pod = self.dice.pick(&self.pods).cloned().unwrap_or_else(|| serde_json::json!({}));
        if self.dice.one_in(40) {
            pods::blow_up(&mut self.dice, &mut pod);
        }
        for _ in 0..self.dice.below(CHANGES_MAX + 1) {
            self.json.change(&mut self.dice, &mut pod);
        }
        PodJson::from(pod.to_string())
    }

    fn namespace(&mut self) -> Namespace {
        let known = self.dice.pick(&self.namespaces).cloned();
        if self.dice.one_in(6) { None } else { known }.unwrap_or_else(|| fresh_label(&mut self.dice))
    }

    fn cluster(&mut self) -> ClusterName {
        let known = self.dice.pick(&self.clusters).cloned();
        if self.dice.one_in(6) { None } else { known }.unwrap_or_else(|| fresh_label(&mut self.dice))
    }

    fn change_attributes(&mut self, attributes: &mut Vec<(String, String)>) {
        if !attributes.is_empty() && self.dice.one_in(4) {
            attributes.remove(self.dice.index(attributes.len()));
        }
        if !attributes.is_empty() && self.dice.one_in(4) {
            let place = self.dice.index(attributes.len());
            attributes[place].1 = text(&mut self.dice, &self.words);
        }
        if self.dice.one_in(6) {
            let name = text(&mut self.dice, &self.words);
            // Names of attributes are unique: the host sees to that.
            if attributes.iter().all(|(other, _)| *other != name) {
                attributes.push((name, text(&mut self.dice, &self.words)));
            }
        }
    }
}

/// A word that is known, a new one, none, or a long one.
fn text(dice: &mut Dice, words: &[String]) -> String {
    match dice.below(8) {
        0 => String::new(),
        1 => FRESH.repeat(TEXT_LENGTH / FRESH.len()),
        2 => "\u{0}\u{7f}\u{202e}\u{1f980}\"\\'{{}}\n".to_owned(),
        3 => format!("{FRESH}-{}", dice.below(9)),
        _ => dice.pick(words).cloned().unwrap_or_default(),
    }
}

/// A name in nobody's rules: short, or as long as a name may be.
fn fresh_label<T: std::str::FromStr<Err: std::fmt::Debug>>(dice: &mut Dice) -> T {
    let name = if dice.one_in(4) { "z".repeat(LABEL_LENGTH) } else { format!("{FRESH}-{}", dice.below(3)) };
    name.parse().expect("a DNS label")
}

fn roles() -> Json {
    serde_json::json!({ "roles": [
        { "namespace": "argo", "rules": [
            { "clusterNames": ["default"], "namespaces": ["argo"] },
            { "clusterNames": ["other", "third"], "namespaces": ["argo", "shared"] },
        ] },
        { "namespace": "team-a", "rules": [{ "clusterNames": [""], "namespaces": ["team-a"] }] },
        { "namespace": "team-b", "rules": [{ "clusterNames": ["default"], "namespaces": [""] }] },
        { "namespace": "", "rules": [{ "clusterNames": ["default"], "namespaces": ["sandbox"] }] },
    ] })
}

fn plain_requests() -> Vec<Request> {
    [("argo", "default/argo"), ("argo", "other/shared"), ("team-a", "other/team-a"), ("team-b", "default/sandbox")]
        .map(|(namespace, target)| plain_request(namespace, target))
        .to_vec()
}

fn plain_request(namespace: &str, target: &str) -> Request {
    let (cluster, place) = target.split_once('/').expect("cluster/namespace");
    let target =
        Target { cluster: cluster.parse().expect("a DNS label"), namespace: place.parse().expect("a DNS label") };
    let namespace = Some(namespace.parse().expect("a DNS label"));
    let draft = Draft { namespace, target: Some(target), ..Draft::default() };
    draft.finish().expect("the workflow and the target are there")
}
