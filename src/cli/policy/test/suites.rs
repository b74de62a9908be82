//! Which suites the paths of the command line mean.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::{author::suite::FILE, cli::hint};

/// The suites, as they are named. Where several paths are named, as by `policies/*`, those that have nothing to do with
/// suites are left out, and that is told.
///
/// # Errors
/// Nothing is there of that name, or there is no suite in any of them.
pub fn find(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut suites = Vec::new();
    let mut left_out = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
        if !metadata.is_dir() {
            let is_suite = path
                .extension()
                .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known));
            if is_suite || paths.len() == 1 {
                suites.push(path.clone())
            } else {
                left_out.push(path)
            }
            continue;
        }
        let found = in_folder(path)?;
        if found.is_empty() {
            left_out.push(path);
        }
        suites.extend(found);
    }
    if suites.is_empty() {
        let named: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(hint::error(
            format!("{}: there is no {FILE}", named.join(", ")),
            "name a policy folder, or make one: landfall policy new my-policy --lang rust",
        ));
    }
    for path in left_out {
        eprintln!("{}: left out, there is no {FILE}", path.display());
    }
    Ok(suites)
}

/// The folder itself if it has a suite, else those in it that have one.
fn in_folder(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if folder.join(FILE).exists() {
        return Ok(vec![folder.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if path.join(FILE).exists() {
            found.push(path.strip_prefix(".").map(Path::to_owned).unwrap_or(path));
        }
    }
    found.sort();
    Ok(found)
}
