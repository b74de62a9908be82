//! Folders on the machine that live as long as this process needs them: removed at the end, or by the next runtime if this
//! process was killed.

use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// How the names of all such folders begin.
const PREFIX: &str = "landfall-";
/// A file in the folder that its owner keeps locked. The system unlocks it however the owner ends.
const LOCK: &str = "lock";

/// A folder that belongs to this process as long as this value lives; dropping it removes it.
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    _lock: File,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!("can't remove {}: {error}", self.path.display());
        }
    }
}

/// A new name among the system's temporary folders.
pub fn temporary() -> PathBuf {
    env::temp_dir().join(format!("{PREFIX}{}-{}", std::process::id(), uuid::Uuid::new_v4().simple()))
}

/// Makes the folder and takes it.
///
/// # Errors
/// If the system refuses.
pub fn take(path: PathBuf) -> io::Result<Folder> {
    fs::create_dir_all(&path)?;
    let draft = path.join("lock.new");
    let lock = File::create(&draft)?;
    lock.lock()?;
    // It gets its name only now, so that nobody ever sees it unlocked while its owner lives.
    fs::rename(draft, path.join(LOCK))?;
    Ok(Folder { path, _lock: lock })
}

/// Removes what runtimes that were killed have left beside `path`. What can't be removed belongs to someone else.
pub fn sweep(path: &Path) {
    let beside = path.parent().and_then(|parent| fs::read_dir(parent).ok());
    for entry in beside.into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && abandoned(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn abandoned(path: &Path) -> bool {
    File::open(path.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_abandoned_folders_are_swept() {
        let parent = tempfile::tempdir().unwrap();
        let place = |name: &str| parent.path().join(name);
        let ours = take(place("landfall-1-ours")).unwrap();
        for killed in ["landfall-2-abandoned", "other-abandoned"] {
            fs::create_dir(place(killed)).unwrap();
            File::create(place(killed).join(LOCK)).unwrap();
        }
        drop(take(place("landfall-4-dropped")).unwrap());
        fs::create_dir(place("landfall-3-begun")).unwrap();
        sweep(&ours.path);
        let check = |name: &str, stays: bool| assert_eq!(place(name).exists(), stays, "{name}");
        check("landfall-1-ours", true);
        check("landfall-2-abandoned", false);
        check("other-abandoned", true);
        check("landfall-3-begun", true);
        check("landfall-4-dropped", false);
    }
}
