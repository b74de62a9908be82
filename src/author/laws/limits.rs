//! Whatever it is asked, the module answers: in time, within its memory, in few words, and without a trap.

use serde_json::Value as Json;

use crate::{
    author::{
        asking::Asker,
        generate::Generator,
        laws::{Breach, Case, Said, Trial, Twist, Wanted, any_denial},
    },
    policy::{decision::Answer, module::LoadError, request::Request},
};

/// Why.
pub const WHY: &str = "where a module gives no answer the host denies, and nobody can tell the workflow's author why";

/// The settings and the request as they are.
pub fn trial(settings: &Json, request: &Request) -> Trial {
    Trial { settings: settings.clone(), request: request.clone(), twist: Twist::None }
}

/// There is an answer, or a refusal of the settings.
pub fn check(asker: &mut Asker<'_>, trial: &Trial) -> Option<Breach> {
    match asker.alone(&trial.settings, &trial.request) {
        Ok(Answer::Allow | Answer::Deny { .. }) => None,
        Ok(answer @ Answer::Failed { .. }) => Some(Breach {
            sentence: "the module gives no answer".to_owned(),
            said: vec![Said::new("with these settings", &answer)],
            wanted: Wanted::Answer(Box::new(Case {
                settings: trial.settings.clone(),
                request: trial.request.clone(),
                answer: any_denial(),
            })),
        }),
        Err(LoadError::Configure(failure)) => Some(Breach {
            sentence: "configure neither takes the settings nor says what is wrong with them".to_owned(),
            said: vec![Said { when: "configure".to_owned(), what: failure.to_string() }],
            wanted: Wanted::Refusal(trial.settings.clone()),
        }),
        Err(
            LoadError::TooLarge { .. }
            | LoadError::Unfit(_)
            | LoadError::Invalid(_)
            | LoadError::WrongWorld(_)
            | LoadError::Settings(_)
            | LoadError::Trial(_),
        ) => None,
    }
}

/// The settings that `configure` fails on, before there is anything to ask.
pub fn trial_of_settings(generator: &mut Generator, settings: &Json) -> Trial {
    trial(settings, &generator.request())
}
