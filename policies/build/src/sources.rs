//! The digest of what a committed component was built from. The builder writes it into the component, and a test of the
//! repository compares it with the tree, so that a stale component is noticed. The test includes this very file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// The custom section of a component that holds the digest, as hex.
pub const SECTION: &str = "landfall:sources";

/// The digest of the crate in `folder` (its manifest and everything in `src`) and of the interface in `wit`.
///
/// # Errors
///
/// A file can't be read.
pub fn digest(folder: &Path, wit: &Path) -> io::Result<String> {
    let mut files = vec![folder.join("Cargo.toml")];
    collect(&folder.join("src"), &mut files)?;
    let mut hasher = Sha256::new();
    for file in &files {
        let name = file.strip_prefix(folder).expect("collected below the folder");
        add(&mut hasher, &name.to_string_lossy(), &fs::read(file)?);
    }
    add(&mut hasher, "policy.wit", &fs::read(wit.join("policy.wit"))?);
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Lengths go in as well, so that no two trees run together into the same bytes.
fn add(hasher: &mut Sha256, name: &str, content: &[u8]) {
    hasher.update(format!("{} {name} {}\n", name.len(), content.len()));
    hasher.update(content);
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
