//! What this machine offers to containers, found out once.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use tokio::sync::{OnceCell, Semaphore};

use crate::local::runtime::{
    process::{Process, isolation},
    root::PROGRAMS,
    spec::{Isolation, Spec},
};

/// Containers that are being started at the same time. More would only compete for the processors and all be slower.
const STARTS_AT_ONCE: usize = 8;
/// Where programs are looked for if the machine doesn't say.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// File systems that hold ordinary files. Those below `/` are shown in containers; all others are the kernel's, or in memory.
const ORDINARY_FILE_SYSTEMS: [&str; 10] =
    ["9p", "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "virtiofs", "xfs", "zfs"];
/// Mount points shown at most: each costs a few system calls at the start of each container.
const FOLDERS_MAX: usize = 16;

/// This machine, as far as containers see it.
pub struct Machine {
    program: PathBuf,
    folder: PathBuf,
    folders: Vec<PathBuf>,
    isolation: OnceCell<Isolation>,
    starts: Semaphore,
}

impl Machine {
    /// `program` is this program; `folder` is where containers' things are kept.
    pub fn new(program: PathBuf, folder: PathBuf) -> Machine {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let folders = ordinary_folders(&mounts);
        Machine { program, folder, folders, isolation: OnceCell::new(), starts: Semaphore::new(STARTS_AT_ONCE) }
    }

    /// How far containers are kept apart. The first call tries it out.
    pub async fn isolation(&self) -> Isolation {
        *self.isolation.get_or_init(|| self.try_isolation()).await
    }

    async fn try_isolation(&self) -> Isolation {
        let folder = self.folder.join("attempt");
        if let Err(error) = fs::create_dir_all(&folder) {
            tracing::warn!("can't make {}: {error}", folder.display());
        }
        let mut spec = self.spec(Isolation::Plain, folder);
        spec.command = vec!["/argosay".to_owned(), "exit".to_owned()];
        let (isolation, why) = isolation(&spec).await;
        if let Some(why) = why {
            tracing::warn!(
                why,
                "this system lets us make no mount namespaces: pods run as plain processes that see each other's files, and volumes don't work"
            );
        }
        isolation
    }

    /// A spec that has what is the same for all containers; `folder` is the container's own.
    pub fn spec(&self, isolation: Isolation, folder: PathBuf) -> Spec {
        Spec {
            isolation,
            program: self.program.clone(),
            folder,
            machine_folders: self.folders.clone(),
            hostname: "localhost".to_owned(),
            command: Vec::new(),
            env: Vec::new(),
            working_folder: PathBuf::from("/"),
            user: None,
            group: None,
            mounts: Vec::new(),
        }
    }

    /// Starts a container; returns when its command runs, or why it doesn't.
    pub async fn start(&self, spec: &Spec, sink: impl Fn(&[u8]) + Send + 'static) -> Result<Process, String> {
        let _permit = self.starts.acquire().await.map_err(|error| error.to_string())?;
        let mut process = Process::start(spec, sink).await.map_err(|error| format!("{error:#}"))?;
        match process.started().await {
            Ok(()) => Ok(process),
            Err(message) => {
                process.printed().await;
                process.cleared().await;
                Err(message)
            }
        }
    }
}

/// What every container's environment starts from. Programs come from the machine, so PATH and HOME are the machine's as well.
pub fn environment(hostname: &str) -> BTreeMap<String, String> {
    let machine = |name: &str, otherwise: &str| env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    BTreeMap::from([
        ("PATH".to_owned(), format!("{}:{PROGRAMS}", machine("PATH", PATH_DEFAULT))),
        ("HOME".to_owned(), machine("HOME", "/root")),
        ("HOSTNAME".to_owned(), hostname.to_owned()),
    ])
}

/// The mount points below `/` that hold ordinary files, parents first, from the text of `/proc/mounts`.
fn ordinary_folders(mounts: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(place), Some(kind)) = (words.next(), words.next()) else { continue };
        // Spaces and the like are written as octal escapes; such a mount point is rare enough to be left out.
        let path = Path::new(place);
        if ORDINARY_FILE_SYSTEMS.contains(&kind) && place != "/" && !place.contains('\\') && path.is_dir() {
            found.push(path.to_owned());
        }
    }
    found.sort_by_key(|path| path.components().count());
    found.dedup();
    found.truncate(FOLDERS_MAX);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_with_ordinary_files_are_shown() {
        let mounts = "/dev/a / ext4 rw 0 0\nproc /proc proc rw 0 0\n/dev/b /usr ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n\
                      /dev/c /usr/bin xfs rw 0 0\n/dev/d /no/such/folder ext4 rw 0 0\nbroken\n";
        assert_eq!(ordinary_folders(mounts), [Path::new("/usr"), Path::new("/usr/bin")]);
    }
}
