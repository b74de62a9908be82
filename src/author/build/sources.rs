//! The digest of what a component was built from. The build writes it into the component, so that a component that is
//! older than its sources is noticed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::author::build::Language;

/// The custom section of a component that holds the digest, as hex.
pub const SECTION: &str = "landfall:sources";

/// How deep path dependencies of path dependencies are followed.
const DEPENDENCIES_DEEP_MAX: usize = 4;

/// The digest of the sources in `folder`: of all [`files`]. The interface is not in it: with one that it doesn't fit, a
/// component can't be loaded.
///
/// # Errors
///
/// A file can't be read.
pub fn digest(folder: &Path, language: Language) -> io::Result<String> {
    let mut hasher = Sha256::new();
    for (name, file) in files(folder, language)? {
        add(&mut hasher, &name, &fs::read(file)?);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The sources in `folder`, each with its name there. Of a crate, that is its manifest, everything in `src` and the same of
/// its path dependencies; of the other languages, the list of packages and every file of code.
///
/// # Errors
///
/// A folder or a manifest can't be read.
pub fn files(folder: &Path, language: Language) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    match language {
        Language::Rust => add_crate(&mut files, folder, "", 0)?,
        Language::JavaScript => add_files(&mut files, folder, &["package.json"], &["js", "mjs", "json"])?,
        Language::Python => add_files(&mut files, folder, &["requirements.txt", "pyproject.toml"], &["py"])?,
    }
    Ok(files)
}

/// The digest that stands in a component, if it was built by `landfall policy build`.
pub fn of_component(component: &[u8]) -> Option<&str> {
    const HEX: usize = 64;
    let start = component.len().checked_sub(HEX)?;
    let (before, digest) = component.split_at(start);
    if !before.ends_with(SECTION.as_bytes()) {
        return None;
    }
    std::str::from_utf8(digest).ok()
}

/// Lengths go in as well, so that no two trees run together into the same bytes.
fn add(hasher: &mut Sha256, name: &str, content: &[u8]) {
    hasher.update(format!("{} {name} {}\n", name.len(), content.len()));
    hasher.update(content);
}

fn add_crate(all: &mut Vec<(String, PathBuf)>, folder: &Path, prefix: &str, depth: usize) -> io::Result<()> {
    let manifest = folder.join("Cargo.toml");
    let text = fs::read_to_string(&manifest)?;
    all.push((format!("{prefix}Cargo.toml"), manifest));
    let mut files = Vec::new();
    collect(&folder.join("src"), &|_| true, &mut files)?;
    all.extend(files.into_iter().map(|file| (format!("{prefix}{}", name_in(folder, &file)), file)));
    if depth == DEPENDENCIES_DEEP_MAX {
        return Ok(());
    }
    for path in paths_in(&text) {
        if folder.join(path).join("Cargo.toml").is_file() {
            add_crate(all, &folder.join(path), &format!("{prefix}{path}/"), depth + 1)?;
        }
    }
    Ok(())
}

/// The values of `path = "…"` in a manifest, in their order.
fn paths_in(manifest: &str) -> impl Iterator<Item = &str> {
    manifest.lines().filter_map(|line| {
        let (before, after) = line.split_once("path")?;
        let word_before = before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-');
        let value = after.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?;
        if word_before { None } else { value.split_once('"').map(|(path, _)| path) }
    })
}

fn add_files(all: &mut Vec<(String, PathBuf)>, folder: &Path, lists: &[&str], extensions: &[&str]) -> io::Result<()> {
    let code =
        |file: &Path| file.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known));
    let mut files = Vec::new();
    collect(folder, &code, &mut files)?;
    let lists = lists.iter().map(|list| folder.join(list)).filter(|list| list.is_file());
    files.extend(lists.filter(|list| !code(list)));
    files.sort();
    all.extend(files.into_iter().map(|file| (name_in(folder, &file), file)));
    Ok(())
}

fn name_in(folder: &Path, file: &Path) -> String {
    file.strip_prefix(folder).expect("collected below the folder").to_string_lossy().into_owned()
}

/// All files below `folder` that `wanted` takes, but none that tools have put there: what is hidden, installed packages,
/// lock files, caches.
fn collect(folder: &Path, wanted: &dyn Fn(&Path) -> bool, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || ["node_modules", "__pycache__", "package-lock.json", "venv"].contains(&&*name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), wanted, files)?;
        } else if wanted(&entry.path()) {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::paths_in;

    #[test]
    fn paths_of_dependencies_are_found() {
        let manifest = "[lib]\npath = \"src/lib.rs\"\n[dependencies]\nsdk = { path = \"../sdk\", version = \"1\" }\na-path = \"no\"\nx = { path=\"y\" }\n";
        assert_eq!(paths_in(manifest).collect::<Vec<_>>(), ["src/lib.rs", "../sdk", "y"]);
    }
}
