//! Why one request is decided as it is: by which module, which elements of its settings that hangs on, what the module was
//! given, and what it notes itself.

use serde::Serialize;

use crate::{
    author::{
        chain::{Chain, Source},
        removal::{self, Effect},
    },
    policy::{
        decision::{Answer, Decision, Denial, Evaluation, Mode},
        host::Host,
        module::LoadError,
        request::Request,
        store::Member,
    },
};

/// Everything that is known of one decision.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// What was decided.
    pub decision: Decision,
    /// What was asked, without the pod.
    pub request: Request,
    /// Bytes of the pod.
    pub pod_bytes: usize,
    /// The modules, in the order of the chain. Each was asked, also those after the one that decided.
    pub modules: Vec<Asked>,
}

/// One module of the chain.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// What it said.
    #[serde(flatten)]
    pub said: Evaluation,
    /// The decision is its own: it denied, or all allowed and it is one of them.
    pub decided: bool,
    /// The elements of its settings without which its answer is another.
    pub elements: Vec<Element>,
    /// So many elements were not looked at.
    pub left_out: usize,
    /// What it notes; nothing where it exports no notes, or gives no answer.
    pub notes: Option<Vec<String>>,
}

/// An element of the settings that matters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Element {
    /// Its path, such as `roles[0].rules[1]`.
    pub path: String,
    /// Where it stands, if that is known: `images.yaml:3`.
    pub place: Option<String>,
    /// What the answer is without it; for a setting that can't be missing, why.
    pub without: String,
}

/// Asks every module of the chain, and finds out what its answer hangs on.
///
/// # Errors
///
/// A module that was loaded can't be loaded again.
pub fn explain(host: &Host, chain: &Chain, request: &Request) -> Result<Explanation, LoadError> {
    let (decision, _) = chain.decide(host, request);
    let mut modules = Vec::new();
    for (place, (member, source)) in chain.modules.members.iter().zip(&chain.sources).enumerate() {
        let mut said = member.ask(host, request).evaluation(decision.is_allowed());
        let answer = said.answer.clone();
        if let Answer::Failed { reason, .. } = &mut said.answer {
            chain.add_last_words(host, request, place, (&answer, reason));
        }
        let is_decisive = decision.module.split('+').any(|name| name == said.name);
        let decided = member.mode == Mode::Enforce && is_decisive;
        let (elements, left_out) = elements(host, member, source, request)?;
        let notes = member.module.notes(host, request).ok().flatten();
        modules.push(Asked { said, decided, elements, left_out, notes });
    }
    let pod_bytes = request.pod.as_ref().map_or(0, |pod| pod.as_str().len());
    Ok(Explanation { decision, request: request.without_pod(), pod_bytes, modules })
}

/// The innermost elements that matter: of a rule that does, not also the list that it is in.
fn elements(
    host: &Host,
    member: &Member,
    source: &Source,
    request: &Request,
) -> Result<(Vec<Element>, usize), LoadError> {
    let prepared = source.prepared(host)?;
    let target = removal::Target { host, prepared: &prepared, name: member.module.name() };
    let found = removal::find_everywhere(target, &source.settings, &[request], &mut |_, _| {})?;
    let mut elements: Vec<(removal::Path, Element)> = Vec::new();
    for removal in found.removals.into_iter().filter(removal::Removal::matters) {
        let without = match &removal.effect {
            // That a setting can't be missing says nothing of this request.
            Effect::Required(_) | Effect::Nothing => continue,
            Effect::Changes(changes) => match changes.first().and_then(|change| change.answer.as_ref()) {
                None => "allow".to_owned(),
                Some(Denial { code, reason, .. }) => format!("deny {code}: {reason}"),
            },
        };
        // The outer ones come first.
        elements.retain(|(outer, element)| !(removal.path.0.starts_with(&outer.0) && element.without == without));
        let (path, place) = (removal.path.to_string(), source.origin.place(&removal.path));
        elements.push((removal.path, Element { path, place, without }));
    }
    Ok((elements.into_iter().map(|(_, element)| element).collect(), found.left_out))
}

/// An answer in a few words: `allow`, `deny no-rule`.
pub fn in_short(answer: &Answer) -> String {
    match answer {
        Answer::Allow => "allow".to_owned(),
        Answer::Deny { code, .. } => format!("deny {code}"),
        Answer::Failed { code, .. } => format!("no answer ({code})"),
    }
}
