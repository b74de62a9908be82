//! Errors that come with advice. Printed as `error: …`, then after an empty line `hint: …`.

use std::fmt;

use crate::cli::style::{BAD, HINT, WARNING, styled};

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

/// The text for stderr, with colour, causes on the same line as what they caused.
pub fn render(error: &anyhow::Error) -> String {
    let hint = error.downcast_ref::<Hinted>().map(|hinted| format!("\n{}: {}\n", styled(HINT, "hint"), hinted.hint));
    format!("{}: {error:#}\n{}", styled(BAD, "error"), hint.unwrap_or_default())
}

/// Says on stderr what is probably not meant, and what to do about it.
pub fn warn(message: impl fmt::Display, hint: impl fmt::Display) {
    anstream::eprintln!("{}: {message}\n{}: {hint}", styled(WARNING, "warning"), styled(HINT, "hint"));
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    #[test]
    fn causes_and_hints_are_shown() {
        let plain = |text: String| anstream::adapter::strip_str(&text).to_string();
        let check = |error: anyhow::Error, expected: &str| assert_eq!(plain(super::render(&error)), expected);
        assert_ne!(plain(super::render(&anyhow!("a"))), super::render(&anyhow!("a")));
        check(anyhow!("no such file").context("reading a.yaml"), "error: reading a.yaml: no such file\n");
        check(super::error("no workflow", "add one"), "error: no workflow\n\nhint: add one\n");
        let wrapped: anyhow::Error = Err::<(), _>(super::error("b", "c")).context("a").unwrap_err();
        check(wrapped, "error: a: b\n\nhint: c\n");
    }
}
