//! Fewer rules never allow more. A rule is an item of a list in the settings, at any depth.

use serde_json::Value as Json;

use crate::{
    author::{
        asking::Asker,
        generate::Generator,
        laws::{Breach, Case, Said, Trial, Twist, Wanted, any_denial},
        removal::{self, Path, Step},
    },
    policy::{decision::Answer, request::Request},
};

/// Why.
pub const WHY: &str = "whoever takes a rule out of an allow-list means to allow less: a list that is empty must not mean that all is allowed";
/// When it does not hold.
pub const UNLESS: &str =
    "if the module has rules that deny, or lists of what is required, this law does not hold for it";

/// What there must be.
pub const TAKES: &str = "settings with a list that is not empty";

/// One item of a list is taken out.
pub fn trial(generator: &mut Generator, settings: &Json, request: &Request) -> Option<Trial> {
    let items: Vec<Path> =
        removal::elements(settings).into_iter().filter(|path| matches!(path.0.last(), Some(Step::Item(_)))).collect();
    let path = generator.dice.pick(&items)?.clone();
    Some(Trial { settings: settings.clone(), request: request.clone(), twist: Twist::Without(path) })
}

/// What is denied with the item is denied without it.
pub fn check(asker: &mut Asker<'_>, trial: &Trial) -> Option<Breach> {
    let Twist::Without(path) = &trial.twist else { return None };
    let with = asker.alone(&trial.settings, &trial.request).ok()?;
    if !matches!(with, Answer::Deny { .. }) {
        return None;
    }
    let fewer = removal::without(&trial.settings, path);
    let without = asker.alone(&fewer, &trial.request).ok()?;
    if without != Answer::Allow {
        return None;
    }
    Some(Breach {
        sentence: format!("without {path} more is allowed"),
        said: vec![Said::new("with these settings", &with), Said::new(format!("without {path}"), &without)],
        wanted: Wanted::Answer(Box::new(Case {
            settings: fewer,
            request: trial.request.clone(),
            answer: any_denial(),
        })),
    })
}
