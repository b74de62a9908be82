//! Errors that come with advice. Printed as `error: …`, then after an empty line `hint: …`.

use std::fmt;

/// Something that went wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Hinted {
    message: String,
    hint: String,
}

/// An error with advice.
pub fn error(message: impl fmt::Display, hint: impl fmt::Display) -> anyhow::Error {
    Hinted { message: message.to_string(), hint: hint.to_string() }.into()
}

/// The text for stderr, causes on the same line as what they caused.
pub fn render(error: &anyhow::Error) -> String {
    let hint = error.downcast_ref::<Hinted>().map(|hinted| format!("\nhint: {}\n", hinted.hint));
    format!("error: {error:#}\n{}", hint.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    #[test]
    fn causes_and_hints_are_shown() {
        let check = |error: anyhow::Error, expected: &str| assert_eq!(super::render(&error), expected);
        check(anyhow!("no such file").context("reading a.yaml"), "error: reading a.yaml: no such file\n");
        check(super::error("no workflow", "add one"), "error: no workflow\n\nhint: add one\n");
        let wrapped: anyhow::Error = Err::<(), _>(super::error("b", "c")).context("a").unwrap_err();
        check(wrapped, "error: a: b\n\nhint: c\n");
    }
}
