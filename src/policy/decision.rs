//! What policy answers: allow, or deny with a reason, and by whom. How a denial reads in a node's message is not here but
//! with the engine (`engine::observed`).

use serde::{Deserialize, Serialize};

/// The name under which the built-in module appears in chains, decisions and records.
pub const MODULE_BUILTIN: &str = "builtin";
/// Stands in place of a module's name where the host itself denied.
pub const MODULE_CORE: &str = "core";

/// The target's namespace is not the one of namespace mode.
pub const CODE_NAMESPACE_MODE: &str = "namespace-mode";
/// The target's namespace has not consented to pods of that home, or to that service account.
pub const CODE_NO_CONSENT: &str = "no-consent";
/// The target's namespace, whose consent is required, doesn't exist.
pub const CODE_NO_NAMESPACE: &str = "no-namespace";
/// What the target's namespace tells modules is too long to hand on.
pub const CODE_ATTRIBUTES_LIMIT: &str = "attributes-limit";
/// There is no set of modules in force yet.
pub const CODE_NO_POLICY: &str = "no-policy";
/// The module used up its processor time.
pub const CODE_TIME_LIMIT: &str = "time-limit";
/// The module wanted more memory than it may have.
pub const CODE_MEMORY_LIMIT: &str = "memory-limit";
/// The module's calls went too deep.
pub const CODE_STACK_LIMIT: &str = "stack-limit";
/// The module's answer was too long.
pub const CODE_RESULT_LIMIT: &str = "result-limit";
/// The module trapped.
pub const CODE_MODULE_TRAPPED: &str = "module-trapped";
/// The module could not be run, or its answer could not be read.
pub const CODE_MODULE_FAILED: &str = "module-failed";
/// The module says so itself: it failed, as when it throws. Of its own code that is no answer.
pub const CODE_MODULE_ERROR: &str = "module-error";
/// Takes the place of a module's code that is not lower-case words joined by `-`; and, of a module that was given the pod,
/// of one that may be a value of the pod.
pub const CODE_DENIED: &str = "denied";

/// A reason becomes a node's message, and those are stored in the workflow, which has to stay under 1 MiB or so.
const REASON_CHARACTERS_MAX: usize = 1024;
/// A code is a label of metrics: short.
const CODE_LENGTH_MAX: usize = 64;

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Allow or deny.
    pub verdict: Verdict,
    /// The module that decided: the one that denied, or all of the chain, joined by `+`, that had no objection.
    pub module: String,
    /// The generation of the chain; 0 before there was one.
    pub generation: u64,
    /// The module that denied was given the pod, so that its reason may quote it: what the node's message says, and nobody
    /// else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_quote_pod: bool,
}

/// Allow or deny.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// No module objects.
    Allow,
    /// Final for what was asked: nothing asks again.
    Deny {
        /// For people.
        reason: String,
        /// For programs: lower-case words joined by `-`.
        code: String,
    },
}

/// Whether what a module says counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// It is one of those that must all allow.
    #[default]
    Enforce,
    /// It is asked beside them, and what it says is only compared with what they decided.
    Shadow,
}

/// What one module said to one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// The module's name.
    pub name: String,
    /// The digest of its component, as hex.
    pub digest: String,
    /// The digest of its settings, as hex.
    pub settings_digest: String,
    /// Whether it counts.
    pub mode: Mode,
    /// Whether it was given the pod: then it can't be asked again by those who don't have that.
    pub pod_given: bool,
    /// What it said.
    #[serde(flatten)]
    pub answer: Answer,
    /// How a shadow differs from the decision, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// How long it took.
    pub nanoseconds: u64,
}

/// What one module said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "camelCase")]
pub enum Answer {
    /// It has no objection.
    Allow,
    /// It objects.
    Deny {
        /// For programs.
        code: String,
        /// For people. Records leave it out, and it is empty, where it may quote the pod.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// It gave no answer. A module that counts denies by that.
    Failed {
        /// One of the host's codes.
        code: String,
        /// What happened.
        reason: String,
    },
}

/// How a shadow differs from what was decided without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// It was allowed, and the shadow would have denied it.
    WouldDeny,
    /// It was denied, and the shadow would have allowed it.
    WouldAllow,
    /// The shadow gave no answer. Enforced, it would deny.
    Failed,
}

/// A denial and who it comes from, before it bears a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The module's name, or [`MODULE_CORE`].
    pub module: String,
    /// For programs.
    pub code: String,
    /// For people.
    pub reason: String,
}

impl Denial {
    /// A denial as a module gave it, made fit to be stored and shown: the reason is cut to a length and to one line, and
    /// a code that isn't one is replaced.
    pub fn of_module(module: &str, reason: &str, code: &str) -> Denial {
        let code = if is_code(code) { code } else { CODE_DENIED };
        Denial { module: module.to_owned(), code: code.to_owned(), reason: fit(reason) }
    }
}

/// What a module says for people, cut to a length and to one line.
pub fn fit(text: &str) -> String {
    text.chars().take(REASON_CHARACTERS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Answer {
    /// The words of its reason are the module's own. Of all failures but one the host tells, in its own words.
    pub fn is_in_own_words(&self) -> bool {
        match self {
            Answer::Allow => false,
            Answer::Deny { .. } => true,
            Answer::Failed { code, .. } => code == CODE_MODULE_ERROR,
        }
    }

    /// How a shadow that says this differs from a decision to allow, or not to.
    pub fn difference(&self, is_allowed: bool) -> Option<Difference> {
        match (self, is_allowed) {
            (Answer::Failed { .. }, _) => Some(Difference::Failed),
            (Answer::Deny { .. }, true) => Some(Difference::WouldDeny),
            (Answer::Allow, false) => Some(Difference::WouldAllow),
            (Answer::Allow, true) | (Answer::Deny { .. }, false) => None,
        }
    }
}

impl Difference {
    /// The word for it, as in records and as a label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Difference::WouldDeny => "would-deny",
            Difference::WouldAllow => "would-allow",
            Difference::Failed => "failed",
        }
    }
}

impl Decision {
    /// A denial in `generation`.
    pub fn deny(denial: Denial, generation: u64) -> Decision {
        let Denial { module, code, reason } = denial;
        Decision { verdict: Verdict::Deny { reason, code }, module, generation, may_quote_pod: false }
    }

    /// The pod may be created.
    pub fn is_allowed(&self) -> bool {
        self.verdict == Verdict::Allow
    }

    /// The code of a denial.
    pub fn code(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Allow => None,
            Verdict::Deny { code, .. } => Some(code),
        }
    }
}

fn is_code(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=CODE_LENGTH_MAX).contains(&text.len())
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::{Answer, Denial, Difference, Evaluation, Mode};

    #[test]
    fn an_evaluation_is_read_as_it_is_written() {
        let check = |answer: Answer, difference: Option<Difference>, expected: &str| {
            let name = "images".to_owned();
            let (digest, settings_digest) = ("d1".to_owned(), "d2".to_owned());
            let mode = Mode::Shadow;
            let (pod_given, nanoseconds) = (false, 7);
            let said = Evaluation { name, digest, settings_digest, mode, pod_given, answer, difference, nanoseconds };
            let text = serde_json::to_string(&said).unwrap();
            let start = r#"{"name":"images","digest":"d1","settingsDigest":"d2","mode":"shadow","podGiven":false,"#;
            assert_eq!(text, format!(r#"{start}{expected},"nanoseconds":7}}"#));
            assert_eq!(serde_json::from_str::<Evaluation>(&text).unwrap(), said);
        };
        let [code, reason] = ["no-rule", "no"].map(str::to_owned);
        check(Answer::Allow, None, r#""verdict":"allow""#);
        check(
            Answer::Deny { code: code.clone(), reason: reason.clone() },
            Some(Difference::WouldDeny),
            r#""verdict":"deny","code":"no-rule","reason":"no","difference":"would-deny""#,
        );
        check(
            Answer::Failed { code, reason },
            Some(Difference::Failed),
            r#""verdict":"failed","code":"no-rule","reason":"no","difference":"failed""#,
        );
    }

    #[test]
    fn a_shadow_differs_when_it_would_have_changed_the_decision() {
        let [code, reason] = ["c", "r"].map(str::to_owned);
        let deny = Answer::Deny { code: code.clone(), reason: reason.clone() };
        let failed = Answer::Failed { code, reason };
        for (answer, is_allowed, expected) in [
            (&Answer::Allow, true, None),
            (&Answer::Allow, false, Some("would-allow")),
            (&deny, true, Some("would-deny")),
            (&deny, false, None),
            (&failed, true, Some("failed")),
            (&failed, false, Some("failed")),
        ] {
            assert_eq!(answer.difference(is_allowed).map(Difference::as_str), expected, "{answer:?} {is_allowed}");
        }
    }

    #[test]
    fn a_modules_denial_is_made_fit_to_show() {
        let check = |reason: &str, code: &str, expected: &str| {
            let denial = Denial::of_module("m", reason, code);
            assert_eq!(format!("{} | {}", denial.code, denial.reason), expected);
        };
        check("no", "no-rule", "no-rule | no");
        check("two\nlines\t!", "x1", "x1 | two lines !");
        check("", "", "denied | ");
        check("no", "No-Rule", "denied | no");
        check("no", "-a", "denied | no");
        check("no", &"a".repeat(65), "denied | no");
        check(&"ü".repeat(2000), "long", &format!("long | {}", "ü".repeat(1024)));
    }
}
