//! What a module answers.

use std::borrow::Cow;

/// The code of a denial because the pod is not one that this crate can read, or was not given.
pub const CODE_UNREADABLE_POD: &str = "unreadable-pod";

/// The answer: `Ok(Allow)`, or the denial. As it is a `Result`, `?` passes a denial on.
pub type Decision = Result<Allow, Denial>;

/// No objection. The pod is created if every other module of the chain has none either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allow;

/// It is not created, and nothing asks again. Mostly made by [`deny!`](crate::deny).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// For programs: lower-case words joined by `-`, at most 64 characters.
    pub code: Cow<'static, str>,
    /// For people: one sentence. The first 1,024 characters are kept. Whoever may read the workflow can read it: name fields
    /// of the pod, and quote no values of `env`, `args` and the like, which can be passwords.
    pub reason: String,
}

impl Denial {
    /// A denial.
    pub fn new(code: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Denial {
        Denial { code: code.into(), reason: reason.into() }
    }
}
