//! What Argo does, as data: reads the folder that LANDFALL_CONFORMANCE names. Without the variable the tests are
//! skipped, and say so.

mod objects;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The folder of the data, if there is one; otherwise says that `what` is skipped.
pub fn folder(what: &str) -> Option<PathBuf> {
    let folder = env::var_os("LANDFALL_CONFORMANCE").map(PathBuf::from);
    if folder.is_none() {
        println!("conformance {what}: skipped, LANDFALL_CONFORMANCE is not set");
    }
    folder
}

/// All files below, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}
