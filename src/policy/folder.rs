//! The policy folder as one consistent reading: the `*.wasm` files of one moment that the configuration wants, none of them
//! half written. What else lies there is not looked at.
//!
//! Volumes of ConfigMaps and Secrets change by a rename onto the link `..data`: the folder behind it is read, and the
//! link looked at again afterwards. In any other folder a file counts once it stood still for a while.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use crate::policy::{
    config::{MODULES_MAX, ModulesConfig},
    limits::MODULE_BYTES,
};

/// The link that the kubelet swaps.
const DATA_LINK: &str = "..data";
/// A plain file has to keep its size, time and inode for so long.
pub const STILL: Duration = Duration::from_millis(100);
/// A volume that changes again during each of so many readings is broken.
const READINGS_MAX: usize = 5;

/// What the folder holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The folder, as configured; empty where nothing of it is wanted.
    pub folder: PathBuf,
    /// The contents by name; of a listed file that isn't there, nothing.
    pub files: BTreeMap<String, Arc<[u8]>>,
}

/// How a reading ended.
#[derive(Debug)]
pub enum Reading {
    /// All of it.
    Complete(Files),
    /// This file may still be being written: look again after this time.
    Unsettled(PathBuf, Duration),
}

/// Why the folder gives no set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FolderError {
    /// There is none, and modules of it are listed.
    #[error("the configuration lists modules, and no policy folder is configured")]
    NotConfigured,
    /// The folder or a file in it can't be read.
    #[error("{}: {message}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// There is no module. That is an error, not "no policy".
    #[error("{}: the policy folder holds no .wasm file", .path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// More modules than a chain may have.
    #[error("{}: {count} modules, over {MODULES_MAX}", .path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// A file is larger than a module may be.
    #[error("{}: {bytes} bytes, over the limit of {MODULE_BYTES}", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
}

impl FolderError {
    /// The file or folder at fault.
    pub fn path(&self) -> Option<&Path> {
        match self {
            FolderError::NotConfigured => None,
            FolderError::Unreadable { path, .. }
            | FolderError::Empty { path }
            | FolderError::TooMany { path, .. }
            | FolderError::TooLarge { path, .. } => Some(path),
        }
    }
}

/// Reads one folder again and again, and remembers since when each plain file stood still.
#[derive(Debug, Default)]
pub struct Folder {
    still: HashMap<PathBuf, (Stamp, Instant)>,
}

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

impl Folder {
    /// Reads what `modules` wants of `folder` now. Where that is nothing, there need not be a folder.
    ///
    /// # Errors
    ///
    /// It gives no set.
    pub fn read(&mut self, folder: Option<&Path>, modules: &ModulesConfig) -> Result<Reading, FolderError> {
        let is_wanted = match modules {
            ModulesConfig::WholeFolder => folder.is_some(),
            ModulesConfig::Listed(modules) => !modules.is_empty(),
        };
        if !is_wanted {
            return Ok(Reading::Complete(Files::default()));
        }
        let folder = folder.ok_or(FolderError::NotConfigured)?;
        let data = folder.join(DATA_LINK);
        if fs::symlink_metadata(&data).is_ok_and(|metadata| metadata.is_symlink()) {
            self.still.clear();
            return read_volume(folder, &data, modules);
        }
        self.read_plain(folder, modules)
    }

    fn read_plain(&mut self, folder: &Path, modules: &ModulesConfig) -> Result<Reading, FolderError> {
        let paths = modules_in(folder, modules)?;
        let now = Instant::now();
        let mut unsettled: Option<(&PathBuf, Duration)> = None;
        let mut still = HashMap::new();
        for path in paths.values() {
            let stamp = stamp(path)?;
            let since = match self.still.get(path) {
                Some((known, since)) if *known == stamp => *since,
                Some(_) | None => now,
            };
            let left = STILL.saturating_sub(now.duration_since(since));
            if unsettled.map_or(Duration::ZERO, |(_, longest)| longest) < left {
                unsettled = Some((path, left));
            }
            still.insert(path.clone(), (stamp, since));
        }
        self.still = still;
        if let Some((path, wait)) = unsettled {
            return Ok(Reading::Unsettled(path.clone(), wait));
        }
        let files = read_all(folder, &paths)?;
        // A write that began since the stamps were taken shows in a second look.
        for path in paths.values() {
            if self.still.get(path).map(|(known, _)| *known) != Some(stamp(path)?) {
                return Ok(Reading::Unsettled(path.clone(), STILL));
            }
        }
        Ok(Reading::Complete(files))
    }
}

fn read_volume(folder: &Path, data: &Path, modules: &ModulesConfig) -> Result<Reading, FolderError> {
    let mut last = None;
    for _ in 0..READINGS_MAX {
        let before = fs::read_link(data).map_err(|error| unreadable(data, &error))?;
        let content = folder.join(&before);
        let files = modules_in(&content, modules).and_then(|paths| read_all(folder, &paths));
        let after = fs::read_link(data).map_err(|error| unreadable(data, &error))?;
        if before == after {
            return files.map(Reading::Complete);
        }
        last = files.err();
    }
    Err(last.unwrap_or_else(|| FolderError::Unreadable {
        path: data.to_owned(),
        message: format!("changed during each of {READINGS_MAX} readings"),
    }))
}

/// The modules in a folder that are wanted, by name. Hidden files and everything else are none of ours.
fn modules_in(folder: &Path, modules: &ModulesConfig) -> Result<BTreeMap<String, PathBuf>, FolderError> {
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let mut paths = BTreeMap::new();
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".wasm") && !name.starts_with('.') {
            paths.insert(name, entry.path());
        }
    }
    if paths.is_empty() {
        return Err(FolderError::Empty { path: folder.to_owned() });
    }
    if let ModulesConfig::Listed(modules) = modules {
        paths.retain(|name, _| modules.iter().any(|module| module.file == *name));
    }
    if paths.len() > MODULES_MAX {
        return Err(FolderError::TooMany { path: folder.to_owned(), count: paths.len() });
    }
    Ok(paths)
}

fn read_all(folder: &Path, paths: &BTreeMap<String, PathBuf>) -> Result<Files, FolderError> {
    let mut files = BTreeMap::new();
    for (name, path) in paths {
        let bytes = stamp(path)?.size;
        if bytes > MODULE_BYTES {
            return Err(FolderError::TooLarge { path: path.clone(), bytes });
        }
        let mut content = Vec::new();
        // It may have grown meanwhile.
        let read = File::open(path).and_then(|file| file.take(MODULE_BYTES + 1).read_to_end(&mut content));
        let bytes = read.map_err(|error| unreadable(path, &error))? as u64;
        if bytes > MODULE_BYTES {
            return Err(FolderError::TooLarge { path: path.clone(), bytes });
        }
        files.insert(name.clone(), content.into());
    }
    Ok(Files { folder: folder.to_owned(), files })
}

fn stamp(path: &Path) -> Result<Stamp, FolderError> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() && !metadata.is_dir() {
        // Whoever reads a pipe waits for ever, and a device has no end. A folder says so itself when it is read.
        return Err(FolderError::Unreadable { path: path.to_owned(), message: "not a file".to_owned() });
    }
    Ok(Stamp { size: metadata.len(), modified: metadata.modified().ok(), inode: metadata.ino() })
}

fn unreadable(path: &Path, error: &io::Error) -> FolderError {
    FolderError::Unreadable { path: path.to_owned(), message: error.to_string() }
}
