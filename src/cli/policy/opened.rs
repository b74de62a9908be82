//! What `fuzz`, `diff` and `replay` share: modules and settings from their files, and a sign of life when it takes long.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use serde_json::Value as Json;

use crate::{
    author::{
        subject::Subject,
        suite::{self, Suite},
    },
    cli::{hint, policy::asking},
    policy::{host::Host, module::Prepared},
};

/// From then on there is a sign of life.
const PATIENCE: Duration = Duration::from_secs(2);
/// Values in text are cut here; `-o json` has all.
const CHARACTERS_MAX: usize = 2000;

/// The module that `path` means, with what to do if there is none.
pub fn subject(path: &Path) -> anyhow::Result<Subject> {
    Subject::open(path).map_err(|error| match error.hint() {
        Some(advice) => hint::error(error, advice),
        None => error.into(),
    })
}

/// The module, compiled.
pub fn prepared(host: &Host, subject: &Subject) -> anyhow::Result<Prepared> {
    Prepared::new(host, subject.bytes.clone()).map_err(|error| match error.hint() {
        Some(advice) => hint::error(format!("{}: {error}", subject.name), advice),
        None => anyhow::Error::new(error).context(subject.name.clone()),
    })
}

/// The settings in a file.
pub fn settings(file: Option<&Path>) -> anyhow::Result<Option<Json>> {
    file.map(|file| asking::read_settings(file).map(|(settings, _)| settings)).transpose()
}

/// The suite that is named, else that of the module's folder if it has one.
pub fn suite(subject: &Subject, named: Option<&Path>) -> anyhow::Result<Option<Suite>> {
    let of_folder = || subject.folder.as_deref().filter(|folder| folder.join(suite::FILE).exists());
    let Some(path) = named.or_else(of_folder) else { return Ok(None) };
    match Suite::read(path) {
        Ok(suite) => Ok(Some(suite)),
        Err(error) => Err(match error.hint() {
            Some(advice) => hint::error(error, advice),
            None => error.into(),
        }),
    }
}

/// Text that is not longer than people read.
pub fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(CHARACTERS_MAX).collect();
    if cut.len() < text.len() {
        cut += &format!("… ({} bytes in all)", text.len());
    }
    cut
}

/// A line on the terminal that says how far something is, once it has taken a while.
pub struct SignOfLife {
    start: Instant,
    bar: Option<ProgressBar>,
}

impl SignOfLife {
    /// Nothing is shown yet.
    pub fn start() -> SignOfLife {
        SignOfLife { start: Instant::now(), bar: None }
    }

    /// Shows it, if it is time.
    pub fn show(&mut self, text: impl FnOnce() -> String) {
        if self.start.elapsed() > PATIENCE {
            let bar = self.bar.get_or_insert_with(ProgressBar::new_spinner);
            bar.set_message(text());
            bar.tick();
        }
    }
}

impl Drop for SignOfLife {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
