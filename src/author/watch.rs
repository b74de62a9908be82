//! Changes of the files that an author works on, so that a suite can be run again. What to do then is not here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::policy::module::digest;

/// Names the files that matter at the moment: which they are changes with what is in them.
type Files = Box<dyn Fn() -> BTreeSet<PathBuf> + Send>;

/// Watches files until it is dropped.
pub struct Watch {
    files: Files,
    folders: BTreeSet<PathBuf>,
    /// What was in each file when it was looked at last.
    digests: BTreeMap<PathBuf, String>,
    watcher: RecommendedWatcher,
}

impl Watch {
    /// Watches the folders of what `files` names, whenever it is asked. `hint` is called, on another thread, when something
    /// may have changed.
    ///
    /// # Errors
    ///
    /// The system has no more watches.
    pub fn start(
        files: impl Fn() -> BTreeSet<PathBuf> + Send + 'static,
        hint: impl Fn() + Send + 'static,
    ) -> Result<Watch, notify::Error> {
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Reading a file is an event as well, and running a suite reads files.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                hint();
            }
        })?;
        let (folders, digests) = (BTreeSet::new(), BTreeMap::new());
        let mut watch = Watch { files: Box::new(files), folders, digests, watcher };
        watch.changed();
        if watch.folders.is_empty() {
            return Err(notify::Error::path_not_found());
        }
        Ok(watch)
    }

    /// The files that changed, came or went since the last call. An editor that writes what was there already changes
    /// nothing.
    pub fn changed(&mut self) -> Vec<PathBuf> {
        self.follow(&(self.files)());
        // What was written before its folder was watched is seen by looking again.
        let files = (self.files)();
        let before = std::mem::replace(&mut self.digests, read(&files));
        let paths: BTreeSet<&PathBuf> = before.keys().chain(self.digests.keys()).collect();
        // A file that is there as before and doesn't matter any more has not changed.
        let matters = |path: &&&PathBuf| files.contains(**path) || !path.exists();
        let differs = |path: &&&PathBuf| before.get(**path) != self.digests.get(**path);
        paths.iter().filter(matters).filter(differs).map(|path| PathBuf::clone(path)).collect()
    }

    /// Takes these files for what they are now: their last change was the caller's own.
    pub fn take(&mut self, which: impl Fn(&Path) -> bool) {
        let files = (self.files)().into_iter().filter(|file| which(file)).collect();
        self.digests.extend(read(&files));
    }

    /// Watches the folders of these files, or those above where they aren't there yet.
    fn follow(&mut self, files: &BTreeSet<PathBuf>) {
        let there = |file: &PathBuf| {
            let mut above = file.ancestors().skip(1).map(|folder| match folder.as_os_str().is_empty() {
                true => Path::new("."),
                false => folder,
            });
            above.find(|folder| folder.is_dir()).map(Path::to_owned)
        };
        let wanted: BTreeSet<PathBuf> = files.iter().filter_map(there).collect();
        for folder in self.folders.difference(&wanted) {
            // A folder that is gone is watched no more anyway.
            drop(self.watcher.unwatch(folder));
        }
        // One that can't be watched is tried again the next time.
        let watched = |folder: &PathBuf| {
            self.folders.contains(folder) || self.watcher.watch(folder, RecursiveMode::NonRecursive).is_ok()
        };
        self.folders = wanted.into_iter().filter(watched).collect();
    }
}

/// The digests of the files. What can't be read right now is looked at the next time.
fn read(files: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, String> {
    let digest = |file: &PathBuf| fs::read(file).ok().map(|bytes| (file.clone(), digest(&bytes)));
    files.iter().filter_map(digest).collect()
}
