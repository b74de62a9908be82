//! Policy folders, and volumes as the kubelet writes them.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// A policy that is only what the folder holds.
pub const WITHOUT_BUILTIN: &str = "builtin: false";

/// A policy folder in a folder of its own.
pub struct Place {
    /// The parent.
    pub root: TempDir,
    /// The policy folder.
    pub path: PathBuf,
}

/// An empty one.
pub fn folder() -> Place {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("policies");
    fs::create_dir(&path).unwrap();
    Place { root, path }
}

/// As the kubelet writes a volume: a folder named by the time, the link `..data` swapped by a rename, a link a file.
pub fn publish(folder: &Path, version: &str, files: &[(&str, &[u8])]) {
    let content = folder.join(format!("..{version}"));
    fs::create_dir(&content).unwrap();
    for (name, bytes) in files {
        fs::write(content.join(name), bytes).unwrap();
        let link = folder.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    let next = folder.join("..data_tmp");
    symlink(format!("..{version}"), &next).unwrap();
    fs::rename(&next, folder.join("..data")).unwrap();
}
