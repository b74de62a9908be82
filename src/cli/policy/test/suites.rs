//! Which suites the paths of the command line mean.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::{
    author::{
        build::Language,
        subject::SubjectError,
        suite::{FILE, Suite, SuiteError},
    },
    cli::{hint, words},
    policy::{config::reader, decision::MODULE_BUILTIN},
};

/// The suites, as they are named. Where several paths are named, as by `policies/*`, those that have nothing to do with
/// suites are left out, and that is told.
///
/// # Errors
/// Nothing is there of that name, or there is no suite in any of them.
pub fn find(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut suites = Vec::new();
    let mut left_out = Vec::new();
    for path in paths {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => return Err(not_there(path, error)),
        };
        if !metadata.is_dir() {
            let has = |endings: &[&str]| {
                path.extension().is_some_and(|extension| endings.iter().any(|known| extension == *known))
            };
            if has(&["yaml", "yml", "json"]) {
                suites.push(path.clone());
            } else if has(&["wasm"]) {
                return Err(module_alone(path));
            } else if paths.len() == 1 {
                return Err(hint::error(
                    format!("{}: not a suite", path.display()),
                    format!("name a policy folder, or a suite: a file of YAML such as {FILE}"),
                ));
            } else {
                left_out.push((path, format!("there is no {FILE}")));
            }
            continue;
        }
        let found = in_folder(path)?;
        if found.len() == 1 && found[0] == *path && paths.len() > 1 && has_no_module(path) {
            left_out.push((path, "there is neither a module nor sources of one".to_owned()));
            continue;
        }
        if found.is_empty() {
            left_out.push((path, format!("there is no {FILE}")));
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
    for (path, why) in left_out {
        eprintln!("{}: left out, {why}", path.display());
    }
    Ok(suites)
}

/// What is said of a path where there is nothing.
fn not_there(path: &Path, error: io::Error) -> anyhow::Error {
    let name = path.to_string_lossy();
    let builtin = reader::nearest(&name, &[MODULE_BUILTIN]).is_some();
    if builtin && error.kind() == io::ErrorKind::NotFound {
        return hint::error(
            format!("{name}: the built-in module has no suite of its own on this machine"),
            format!("write one that begins with `module: {MODULE_BUILTIN}`, and name its file"),
        );
    }
    if error.kind() == io::ErrorKind::NotFound {
        return hint::error(format!("{name}: no such file or folder"), "name a policy folder, or its suite");
    }
    anyhow::Error::new(error).context(name.into_owned())
}

/// A component says nothing of what it is to answer: its suite does.
fn module_alone(path: &Path) -> anyhow::Error {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = folder.join(FILE);
    let advice = if beside.exists() {
        format!("name the suite beside it: landfall policy test {}", words::quoted(folder))
    } else {
        let module = path.file_name().unwrap_or_default().to_string_lossy();
        format!("write a suite that begins with `module: {module}`, and name its file")
    };
    hint::error(format!("{}: a module alone has no suite", path.display()), advice)
}

/// A suite whose module is not there, and can't be built there either: such as that of the templates of this repository.
fn has_no_module(folder: &Path) -> bool {
    Language::of(folder).is_none()
        && matches!(Suite::read(folder), Err(SuiteError::Subject(SubjectError::NotBuilt { .. })))
}

/// The folder itself if it has a suite, else those in it that have one.
fn in_folder(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if folder.join(FILE).exists() {
        return Ok(vec![folder.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if path.join(FILE).exists() && !has_no_module(&path) {
            found.push(path.strip_prefix(".").map(Path::to_owned).unwrap_or(path));
        }
    }
    found.sort();
    Ok(found)
}
