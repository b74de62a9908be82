//! What can't be read is denied, or refused.
//!
//! A module that reads pods may take some requests without looking at the pod. So a pod that can't be read is a breach
//! only where a pod that can be read was denied.

use serde_json::Value as Json;

use crate::{
    author::{
        asking::Asker,
        generate::Generator,
        laws::{Breach, Case, Said, Trial, Twist, Wanted, any_denial},
    },
    policy::{
        decision::{Answer, CODE_MODULE_ERROR, CODE_MODULE_TRAPPED},
        request::Request,
    },
};

/// Why.
pub const WHY: &str = "a misspelt setting or a pod that can't be read must not switch a check off without a word";

/// The field that nobody knows, where no known one can be misspelt.
const UNKNOWN: &str = "nobody-knows-this";

/// A pod that is none, a misspelt field, or settings that are none.
pub fn trial(generator: &mut Generator, settings: &Json, request: &Request) -> Trial {
    let mut request = request.clone();
    let twist = match generator.dice.below(6) {
        0 => Twist::Unknown(misspelt(generator, settings)),
        1 => match generator.any_json() {
            // Nothing may be taken for no settings.
            Json::Null | Json::Object(_) => Twist::Instead(Json::from("settings")),
            other => Twist::Instead(other),
        },
        _ => {
            request = generator.request_with_nasty_pod();
            Twist::Pod(generator.garbage_pod())
        }
    };
    Trial { settings: settings.clone(), request, twist }
}

/// Settings are refused, and the pod is denied.
pub fn check(asker: &mut Asker<'_>, trial: &Trial) -> Option<Breach> {
    match &trial.twist {
        Twist::Pod(pod) => {
            if !asker.start(&trial.settings).ok()?.needs_pod() {
                return None;
            }
            let readable = asker.alone(&trial.settings, &trial.request).ok()?;
            if !matches!(readable, Answer::Deny { .. }) {
                return None;
            }
            let request = Request { pod: pod.clone(), ..trial.request.clone() };
            let garbage = asker.alone(&trial.settings, &request).ok()?;
            let what = match &garbage {
                Answer::Allow => "is allowed",
                // A module that is given more than it may have has no choice.
                Answer::Failed { code, .. } if [CODE_MODULE_ERROR, CODE_MODULE_TRAPPED].contains(&code.as_str()) => {
                    "gets no answer"
                }
                Answer::Deny { .. } | Answer::Failed { .. } => return None,
            };
            let shown = pod.as_ref().map_or("none at all", |pod| pod.as_str());
            Some(Breach {
                sentence: format!("a pod that can't be read {what}: {shown}"),
                said: vec![Said::new("with this pod", &readable), Said::new("with garbage in its place", &garbage)],
                wanted: Wanted::Answer(Box::new(Case {
                    settings: trial.settings.clone(),
                    request,
                    answer: any_denial(),
                })),
            })
        }
        Twist::Unknown(name) => {
            let mut settings = trial.settings.clone();
            let fields = settings.as_object_mut()?;
            if fields.insert(name.clone(), Json::from(true)).is_some() {
                return None;
            }
            taken(asker, settings, format!("the unknown setting {name:?} is taken"))
        }
        Twist::Instead(settings) => {
            taken(asker, settings.clone(), format!("what is no map is taken for settings: {settings}"))
        }
        Twist::None | Twist::After(_) | Twist::Without(_) | Twist::Beside(..) => None,
    }
}

fn taken(asker: &Asker<'_>, settings: Json, sentence: String) -> Option<Breach> {
    asker.start(&settings).ok()?;
    Some(Breach { sentence, said: Vec::new(), wanted: Wanted::Refusal(settings) })
}

/// A field of the settings without its last letter.
fn misspelt(generator: &mut Generator, settings: &Json) -> String {
    let fields: Vec<&String> = settings.as_object().map(|fields| fields.keys().collect()).unwrap_or_default();
    let mut name = generator.dice.pick(&fields).map_or_else(String::new, |field| (*field).clone());
    name.pop();
    if name.is_empty() { UNKNOWN.to_owned() } else { name }
}
