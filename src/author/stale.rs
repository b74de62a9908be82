//! Whether a component is older than the sources beside it. What is said of it is the caller's.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::author::{
    build::{Language, sources},
    subject::{self, Subject},
};

/// How a component stands to the sources in its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Sources {
    /// It was built from them.
    AsBuilt,
    /// They are not what it was built from.
    Changed,
    /// `landfall policy build` did not make it, so that nobody knows.
    Unknown,
}

/// The folder with the sources of the component, and how it stands to them; nothing where there are none.
///
/// # Errors
///
/// The sources in this folder can't be read.
pub fn sources(subject: &Subject) -> Result<Option<(PathBuf, Sources)>, (PathBuf, io::Error)> {
    let Some((folder, language)) = folder_of(subject) else { return Ok(None) };
    let now = match sources::digest(&folder, language) {
        Ok(now) => now,
        Err(error) => return Err((folder, error)),
    };
    let stands = match sources::of_component(&subject.bytes) {
        None => Sources::Unknown,
        Some(built) if built == now => Sources::AsBuilt,
        Some(_) => Sources::Changed,
    };
    Ok(Some((folder, stands)))
}

/// The policy folder that the component is of, and its language: the one that was named, or the one that the file is in if
/// it is named as a build there would name it.
pub fn folder_of(subject: &Subject) -> Option<(PathBuf, Language)> {
    let folder = match (&subject.folder, &subject.file) {
        (Some(folder), _) => folder.clone(),
        (None, Some(file)) => of_file(file)?,
        (None, None) => return None,
    };
    let language = Language::of(&folder)?;
    Some((folder, language))
}

/// The folder of a component, if that is what a build in it makes.
pub fn of_file(file: &Path) -> Option<PathBuf> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let made = subject::component_of(folder).ok()?;
    (fs::canonicalize(made).ok()? == fs::canonicalize(file).ok()?).then(|| folder.to_owned())
}
