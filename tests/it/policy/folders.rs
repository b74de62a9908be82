//! Policy folders, and volumes as the kubelet writes them; and what is read of them.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use landfall::policy::{
    config::{ModuleConfig, ModulesConfig},
    folder::{Files, Folder, FolderError, Reading},
    limits::Limits,
};
use tempfile::TempDir;

use crate::{
    policy::support::{ask, of_folder},
    support::modules,
};

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

/// What is read of the folder once its files stand still.
fn read(folder: &Path, modules: &ModulesConfig) -> Result<Files, FolderError> {
    let mut reader = Folder::default();
    loop {
        match reader.read(Some(folder), modules)? {
            Reading::Complete(files) => return Ok(files),
            Reading::Unsettled(..) => thread::yield_now(),
        }
    }
}

fn listed(files: &[&str]) -> ModulesConfig {
    ModulesConfig::Listed(files.iter().map(|file| ModuleConfig::of_file(file, Limits::default())).collect())
}

/// While a volume changes from one version to another, what is read is all of one.
#[test]
fn a_volume_is_read_as_it_was_at_one_moment() {
    const READINGS: usize = 400;
    /// Long enough that a reading takes a while.
    const LENGTH: usize = 100_000;
    let folder = folder();
    let names = ["a.wasm", "b.wasm", "c.wasm"];
    for version in [1, 2] {
        let bytes = vec![version; LENGTH];
        publish(&folder.path, &version.to_string(), &names.map(|name| (name, &bytes[..])));
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let next = folder.path.join("..data_tmp");
            for version in ["..1", "..2"].into_iter().cycle() {
                if done.load(Ordering::SeqCst) {
                    return;
                }
                symlink(version, &next).unwrap();
                fs::rename(&next, folder.path.join("..data")).unwrap();
                // The kubelet is slower by far; a reading needs a moment between two changes to come to its end.
                (0..20).for_each(|_| thread::yield_now());
            }
        });
        let mut seen = BTreeSet::new();
        let mut readings = 0;
        while readings < READINGS || seen.len() < 2 {
            match Folder::default().read(Some(&folder.path), &ModulesConfig::WholeFolder) {
                Ok(Reading::Complete(files)) => {
                    let versions: BTreeSet<_> = files.files.values().flat_map(|bytes| bytes.iter().copied()).collect();
                    if files.files.len() != names.len() || versions.len() != 1 {
                        done.store(true, Ordering::SeqCst);
                        panic!("mixed: {} files of versions {versions:?}", files.files.len());
                    }
                    seen.extend(versions);
                    readings += 1;
                }
                Err(FolderError::Unreadable { message, .. }) if message.starts_with("changed during each of ") => {}
                other => {
                    done.store(true, Ordering::SeqCst);
                    panic!("{other:?}");
                }
            }
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn what_is_not_listed_is_not_looked_at() {
    let folder = folder();
    fs::write(folder.path.join("site.wasm"), modules::DENY_ALL).unwrap();
    fs::File::create(folder.path.join("large.wasm")).unwrap().set_len(33 << 20).unwrap();
    symlink("nowhere", folder.path.join("dangling.wasm")).unwrap();
    fs::create_dir(folder.path.join("folder.wasm")).unwrap();
    for number in 0..20 {
        fs::write(folder.path.join(format!("{number}.wasm")), "").unwrap();
    }
    let files = read(&folder.path, &listed(&["site.wasm"])).unwrap();
    assert_eq!(files.files.keys().collect::<Vec<_>>(), ["site.wasm"]);
    assert_eq!(ask(&of_folder(&folder.path, "modules: [{file: site.wasm}]"), "other"), "site deny-all 1");
    // What is listed counts, and without a list everything does.
    let refused = |modules: &ModulesConfig| read(&folder.path, modules).unwrap_err().to_string();
    assert!(refused(&listed(&["site.wasm", "large.wasm"])).contains("large.wasm: 34603008 bytes, over the limit"));
    assert!(refused(&listed(&["dangling.wasm"])).contains("dangling.wasm: No such file or directory"));
    assert!(refused(&ModulesConfig::WholeFolder).contains("24 modules, over 16"));
    // A listed file that isn't there is no module of the folder.
    assert!(read(&folder.path, &listed(&["another.wasm"])).unwrap().files.is_empty());
}

#[test]
fn only_files_are_read() {
    let folder = folder();
    let pipe = folder.path.join("pipe.wasm");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let told = read(&folder.path, &ModulesConfig::WholeFolder).unwrap_err().to_string();
    assert!(told.ends_with("pipe.wasm: not a file"), "{told}");
    fs::remove_file(&pipe).unwrap();
    symlink("/dev/zero", folder.path.join("zero.wasm")).unwrap();
    let told = read(&folder.path, &listed(&["zero.wasm"])).unwrap_err().to_string();
    assert!(told.ends_with("zero.wasm: not a file"), "{told}");
}

#[test]
fn without_a_folder_nothing_may_be_listed() {
    let read = |modules: &ModulesConfig| match Folder::default().read(None, modules) {
        Ok(Reading::Complete(files)) => format!("{} files", files.files.len()),
        Ok(Reading::Unsettled(..)) => "unsettled".to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(read(&ModulesConfig::WholeFolder), "0 files");
    assert_eq!(read(&listed(&[])), "0 files");
    let expected = "the configuration lists modules, and no policy folder is configured";
    assert_eq!(read(&listed(&["site.wasm"])), expected);
}
