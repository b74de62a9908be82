//! What `fuzz`, `diff` and `replay` share: modules and settings from their files, and a sign of life when it takes long.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use indicatif::ProgressBar;
use serde_json::Value as Json;

use crate::{
    author::{
        origin::{Origin, read_settings},
        stale::{self, Sources},
        subject::Subject,
        suite::{self, Suite},
    },
    cli::{hint, words},
    policy::{host::Host, module::Prepared},
};

/// From then on there is a sign of life.
const PATIENCE: Duration = Duration::from_secs(2);
/// Values in text are cut here; `-o json` has all.
const CHARACTERS_MAX: usize = 2000;

/// The module that `path` means, with what to do if there is none. One that is older than its sources is used, and that
/// is told.
pub fn subject(path: &Path) -> anyhow::Result<Subject> {
    let subject = Subject::open(path).map_err(|error| match error.hint() {
        Some(advice) => hint::error(error, advice),
        None => error.into(),
    })?;
    warn_if_stale(&subject);
    Ok(subject)
}

/// Says on stderr if the module is older than the sources beside it.
pub fn warn_if_stale(subject: &Subject) {
    // Sources that can't be read are for `build` and `check` to tell.
    if let Ok(Some((folder, Sources::Changed))) = stale::sources(subject) {
        let build = format!("build it again: landfall policy build {}", words::quoted(&folder));
        hint::warn(format!("{} is older than its sources", subject.shown()), build);
    }
}

/// That a file can be written there. It is found out before a work whose result it is to hold.
///
/// # Errors
/// What is in the way.
pub fn writable(file: &Path) -> anyhow::Result<()> {
    if file.is_dir() {
        anyhow::bail!("{}: is a folder, and a file is to be written", file.display());
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    writable_folder(folder).with_context(|| file.display().to_string())
}

/// That a folder can be made, or written to.
///
/// # Errors
/// What is in the way.
pub fn makeable(folder: &Path) -> anyhow::Result<()> {
    let there = folder.ancestors().find(|folder| folder.exists()).filter(|folder| !folder.as_os_str().is_empty());
    writable_folder(there.unwrap_or(Path::new("."))).with_context(|| folder.display().to_string())
}

fn writable_folder(folder: &Path) -> anyhow::Result<()> {
    match tempfile::tempfile_in(folder) {
        Ok(_) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("the folder {} can't be written to", folder.display())),
    }
}

/// The module, compiled.
pub fn prepared(host: &Host, subject: &Subject) -> anyhow::Result<Prepared> {
    Prepared::new(host, subject.bytes.clone()).map_err(|error| match error.hint() {
        Some(advice) => hint::error(format!("{}: {error}", subject.name), advice),
        None => anyhow::Error::new(error).context(subject.name.clone()),
    })
}

/// The settings in a file, and where they stand.
pub fn settings(file: Option<&Path>) -> anyhow::Result<Option<(Json, Origin)>> {
    Ok(file.map(read_settings).transpose()?)
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
