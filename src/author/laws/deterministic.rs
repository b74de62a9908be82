//! The answer depends on the module, its settings and the request, and on nothing else.

use serde_json::Value as Json;

use crate::{
    author::{
        asking::Asker,
        generate::Generator,
        laws::{Breach, Case, Said, Trial, Twist, Wanted},
    },
    policy::{
        decision::{Answer, CODE_TIME_LIMIT},
        request::Request,
    },
};

/// Why.
pub const WHY: &str =
    "decisions are explained, compared and replayed: an answer that depends on what was asked before can't be";

/// Something else is asked before.
pub fn trial(generator: &mut Generator, settings: &Json, request: &Request) -> Trial {
    let before = generator.request();
    Trial { settings: settings.clone(), request: request.clone(), twist: Twist::After(Box::new(before)) }
}

/// Two instances say the same, and so does one that was asked something else before.
pub fn check(asker: &mut Asker<'_>, trial: &Trial) -> Option<Breach> {
    let Twist::After(before) = &trial.twist else { return None };
    let first = asker.alone(&trial.settings, &trial.request).ok()?;
    let second = asker.alone(&trial.settings, &trial.request).ok()?;
    if is_slow(&first) || is_slow(&second) {
        return None;
    }
    let breach = |sentence: &str, when: &str, other: &Answer| Breach {
        sentence: sentence.to_owned(),
        said: vec![Said::new("asked alone", &first), Said::new(when, other)],
        wanted: Wanted::Answer(Box::new(Case {
            settings: trial.settings.clone(),
            request: trial.request.clone(),
            answer: first.clone(),
        })),
    };
    if first != second {
        return Some(breach("two new instances answer the same request differently", "by another instance", &second));
    }
    let mut session = asker.start(&trial.settings).ok()?;
    let earlier = asker.ask(&mut session, before);
    let third = asker.ask(&mut session, &trial.request);
    // After a failure the next is put to a new instance, so nothing is learnt.
    if matches!(earlier, Answer::Failed { .. }) || is_slow(&third) || third == first {
        return None;
    }
    Some(breach("the answer depends on what the instance was asked before", &format!("after a {before}"), &third))
}

fn is_slow(answer: &Answer) -> bool {
    matches!(answer, Answer::Failed { code, .. } if code == CODE_TIME_LIMIT)
}
