//! Asks whoever sits at a terminal before something is done that can't be undone.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::cli::hint;

/// Whether to go on: yes without asking where `yes` was said, what is answered at a terminal, and an error where nobody can
/// be asked.
///
/// # Errors
/// If nobody can be asked.
pub fn go_on(yes: bool, question: &str) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(hint::error(
            "nobody can be asked whether to go on, as this is no terminal",
            "add --yes once you have read what it would do",
        ));
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
