//! What the settings say of one tenant is nothing to another.
//!
//! A tenant is a namespace of workflows. An element of the settings that names one is copied, with names of strangers in
//! place of every namespace in it, and the copy stands beside it. As the request names none of them:
//!
//! - the verdict and the code stay;
//! - if the copy changes what a stranger's workflow may do, it is a rule for that tenant. Then all of the answer to the
//!   other tenant stays, the reason too: else it tells of rules that are none of that tenant's business.

use serde_json::Value as Json;

use crate::{
    author::{
        asking::{self, Asker},
        generate::Generator,
        laws::{Breach, Case, Said, Trial, Twist, Wanted},
        removal::{self, Path, Step},
    },
    policy::{decision::Answer, request::Request},
};

/// Why.
pub const WHY: &str =
    "who gives one tenant more rules must not change what another may do, nor show the one's rules to the other";
/// When it does not hold.
pub const UNLESS: &str = "if namespaces share rules on purpose, this law does not hold for the module";

/// What there must be.
pub const TAKES: &str = "settings with an element that names a namespace which requests of the suite name as well";

/// How the namespaces are called that nobody asked about.
const STRANGER: &str = "stranger";

/// An element that names a namespace is copied for strangers.
pub fn trial(generator: &mut Generator, settings: &Json, request: &Request) -> Option<Trial> {
    let known: Vec<String> = generator.tenants();
    let named: Vec<Path> =
        removal::elements(settings).into_iter().filter(|path| names(settings, path, &known).is_some()).collect();
    let path = generator.dice.pick(&named)?.clone();
    let names = names(settings, &path, &known)?;
    Some(Trial { settings: settings.clone(), request: request.clone(), twist: Twist::Beside(path, names) })
}

/// The copy makes no difference.
pub fn check(asker: &mut Asker<'_>, trial: &Trial) -> Option<Breach> {
    let Twist::Beside(path, names) = &trial.twist else { return None };
    let beside = beside(&trial.settings, path, names)?;
    let before = asker.alone(&trial.settings, &trial.request).ok()?;
    let after = asker.alone(&beside, &trial.request).ok()?;
    if before == after || matches!((&before, &after), (Answer::Failed { .. }, _) | (_, Answer::Failed { .. })) {
        return None;
    }
    let same_verdict = asking::code(&before) == asking::code(&after);
    if same_verdict && !is_for_a_tenant(asker, trial, &beside, names.len()) {
        return None;
    }
    let tenant = &trial.request.workflow.namespace;
    let sentence = if same_verdict {
        format!("the reason that workflows of {tenant} are given tells of rules for another tenant")
    } else {
        format!("a rule for another tenant changes what workflows of {tenant} may do")
    };
    Some(Breach {
        sentence,
        said: vec![
            Said::new("with these settings", &before),
            Said::new(format!("with a copy of {path} for namespace {STRANGER}-0"), &after),
        ],
        wanted: Wanted::Answer(Box::new(Case { settings: beside, request: trial.request.clone(), answer: before })),
    })
}

/// Whether the copy changes what workflows of one of the strangers may do where the request wants to go.
fn is_for_a_tenant(asker: &mut Asker<'_>, trial: &Trial, beside: &Json, strangers: usize) -> bool {
    (0..strangers).any(|number| {
        let mut request = trial.request.clone();
        request.workflow.namespace = stranger(number).parse().expect("a DNS label");
        let before = asker.alone(&trial.settings, &request);
        let after = asker.alone(beside, &request);
        matches!((before, after), (Ok(before), Ok(after)) if asking::code(&before) != asking::code(&after))
    })
}

/// The namespaces of `known` that the element names; nothing where it names none, or more is in it than can be told apart.
fn names(settings: &Json, path: &Path, known: &[String]) -> Option<Vec<String>> {
    let element = removal::get(settings, path)?;
    let key = match path.0.last()? {
        Step::Entry(name) => Some(name),
        Step::Item(_) => None,
    };
    // A field has a name of its own: only where that is a namespace, it can stand there twice.
    if key.is_some_and(|key| !parts(key).any(|part| known.iter().any(|name| name == part))) {
        return None;
    }
    let named = |name: &&String| key.is_some_and(|key| parts(key).any(|part| part == *name)) || mentions(element, name);
    let names: Vec<String> = known.iter().filter(named).cloned().collect();
    (!names.is_empty()).then_some(names)
}

fn mentions(value: &Json, name: &str) -> bool {
    match value {
        Json::String(text) => parts(text).any(|part| part == name),
        Json::Array(items) => items.iter().any(|item| mentions(item, name)),
        Json::Object(entries) => {
            entries.iter().any(|(key, entry)| parts(key).any(|part| part == name) || mentions(entry, name))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

/// The settings with a copy of the element, for strangers.
fn beside(settings: &Json, path: &Path, names: &[String]) -> Option<Json> {
    let copy = renamed(removal::get(settings, path)?, names);
    let mut settings = settings.clone();
    match (removal::parent_mut(&mut settings, path)?, path.0.last()?) {
        (Json::Array(items), Step::Item(_)) => items.push(copy),
        (Json::Object(entries), Step::Entry(name)) => drop(entries.insert(renamed_text(name, names), copy)),
        _ => return None,
    }
    Some(settings)
}

fn renamed(value: &Json, names: &[String]) -> Json {
    match value {
        Json::String(text) => Json::String(renamed_text(text, names)),
        Json::Array(items) => items.iter().map(|item| renamed(item, names)).collect(),
        Json::Object(entries) => {
            entries.iter().map(|(key, entry)| (renamed_text(key, names), renamed(entry, names))).collect()
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => value.clone(),
    }
}

fn renamed_text(text: &str, names: &[String]) -> String {
    let part = |part: &str| match names.iter().position(|name| name == part) {
        Some(number) => stranger(number),
        None => part.to_owned(),
    };
    parts(text).map(part).collect::<Vec<_>>().join("/")
}

/// Settings name targets as `cluster/namespace`.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split('/')
}

fn stranger(number: usize) -> String {
    format!("{STRANGER}-{number}")
}
