//! How data is printed: text for people, JSON for programs. Data goes to stdout, all else to stderr.

use std::io::{self, Write as _};

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;

/// What `-o` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: JSON on stdout and nothing else there
    Json,
}

/// Prints a value as JSON.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value).context("writing JSON")?;
    text.push('\n');
    text_to_stdout(&text)
}

/// Prints text, in colour on a terminal. A reader that has seen enough, as `head` has, is no error.
pub fn text_to_stdout(text: &str) -> anyhow::Result<()> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to stdout"),
    }
}
