//! Changes of the files that an author works on, so that a suite can be run again. What to do then is not here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::policy::module::digest;

/// The endings of what matters in a policy folder: the component, suites with the pods they name, and settings.
const ENDINGS: &[&str] = &["wasm", "yaml", "yml", "json"];

/// Watches folders until it is dropped.
pub struct Watch {
    folders: BTreeSet<PathBuf>,
    /// What was in each file when it was looked at last.
    digests: BTreeMap<PathBuf, String>,
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Watches the folders of `paths`, each a folder or a file in one. `hint` is called, on another thread, when something
    /// may have changed.
    ///
    /// # Errors
    ///
    /// The system has no more watches, or a folder can't be read.
    pub fn start(paths: &[PathBuf], hint: impl Fn() + Send + 'static) -> Result<Watch, notify::Error> {
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Reading a file is an event as well, and running a suite reads files.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                hint();
            }
        })?;
        let mut folders = BTreeSet::new();
        for path in paths {
            let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            if folders.insert(folder.to_owned()) {
                watcher.watch(folder, RecursiveMode::NonRecursive)?;
            }
        }
        let digests = read(&folders);
        Ok(Watch { folders, digests, _watcher: watcher })
    }

    /// The files that changed, came or went since the last call. An editor that writes what was there already changes
    /// nothing.
    pub fn changed(&mut self) -> Vec<PathBuf> {
        let now = read(&self.folders);
        let before = std::mem::replace(&mut self.digests, now);
        let paths: BTreeSet<&PathBuf> = before.keys().chain(self.digests.keys()).collect();
        paths.into_iter().filter(|path| before.get(*path) != self.digests.get(*path)).cloned().collect()
    }
}

/// The digests of all files that matter. What can't be read right now is looked at the next time.
fn read(folders: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, String> {
    let mut digests = BTreeMap::new();
    for folder in folders {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let matters = path.extension().is_some_and(|extension| ENDINGS.iter().any(|ending| extension == *ending));
            if let Some(bytes) = matters.then(|| fs::read(&path).ok()).flatten() {
                digests.insert(path.strip_prefix(".").map(Path::to_owned).unwrap_or(path), digest(&bytes));
            }
        }
    }
    digests
}
