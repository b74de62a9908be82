//! A module that is asked much, with many settings: the answers, and how many there were.
//!
//! Instances are configured without a snapshot, because most settings are asked about once or twice.

use serde_json::Value as Json;

use crate::policy::{
    decision::{Answer, CODE_TIME_LIMIT, Denial},
    host::Host,
    module::{LoadError, Prepared},
    request::Request,
    session::Session,
};

/// A machine that is busy can make a module look slow: it is given so many tries.
const SLOW_TRIES: usize = 3;

/// A module under examination.
pub struct Asker<'a> {
    host: &'a Host,
    prepared: &'a Prepared,
    name: String,
    decisions: u64,
}

impl<'a> Asker<'a> {
    /// The module bears `name` in what it says.
    pub fn new(host: &'a Host, prepared: &'a Prepared, name: &str) -> Asker<'a> {
        Asker { host, prepared, name: name.to_owned(), decisions: 0 }
    }

    /// How many answers were given so far.
    pub fn decisions(&self) -> u64 {
        self.decisions
    }

    /// A new instance with these settings.
    ///
    /// # Errors
    ///
    /// They are refused, or `configure` does not end as it should.
    pub fn start(&self, settings: &Json) -> Result<Session<'a>, LoadError> {
        Session::start(self.host, self.prepared, settings)
    }

    /// What an instance of its own says to `request`.
    ///
    /// # Errors
    ///
    /// The module can't be configured with `settings`.
    pub fn alone(&mut self, settings: &Json, request: &Request) -> Result<Answer, LoadError> {
        let mut answer = Answer::Allow;
        for _ in 0..SLOW_TRIES {
            answer = self.ask(&mut self.start(settings)?, request);
            if !matches!(&answer, Answer::Failed { code, .. } if code == CODE_TIME_LIMIT) {
                break;
            }
        }
        Ok(answer)
    }

    /// Whether the module, with these settings, wants a pod with the request, and there is none.
    ///
    /// # Errors
    ///
    /// The module can't be configured with `settings`.
    pub fn lacks_pod(&self, settings: &Json, request: &Request) -> Result<bool, LoadError> {
        Ok(request.pod.is_none() && self.start(settings)?.needs_pod())
    }

    /// The name that the module bears.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What this instance says, after all that it was asked before.
    pub fn ask(&mut self, session: &mut Session<'_>, request: &Request) -> Answer {
        self.decisions += 1;
        match session.ask(&self.name, request) {
            Ok(None) => Answer::Allow,
            Ok(Some(Denial { code, reason, .. })) => Answer::Deny { code, reason },
            Err(failure) => Answer::Failed { code: failure.code.to_owned(), reason: failure.message },
        }
    }
}

/// The code of an answer; an allow has none.
pub fn code(answer: &Answer) -> Option<&str> {
    match answer {
        Answer::Allow => None,
        Answer::Deny { code, .. } | Answer::Failed { code, .. } => Some(code),
    }
}

/// The answer on one line: `allow`, or `deny CODE: REASON`.
pub fn line(answer: &Answer) -> String {
    match answer {
        Answer::Allow => "allow".to_owned(),
        Answer::Deny { code, reason } => format!("deny {code}: {reason}"),
        Answer::Failed { code, reason } => format!("no answer ({code}): {reason}"),
    }
}
