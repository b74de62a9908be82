//! The thread that keeps the chain up to date: it builds and tries each new set beside the one in force, and swaps them.
//!
//! Events of the file system are a hint that makes it quick; reading the folder again every few seconds is the truth,
//! because events get lost.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::AccessKind, event::AccessMode};

use crate::policy::{
    config::{Config, ModulesConfig},
    folder::{Files, Folder, FolderError, Reading},
    inforce::InForce,
    state::Refusal,
    store::{SetError, Store},
};

/// What the thread is told.
#[derive(Debug)]
pub enum Signal {
    /// Something happened in or near the folder.
    Hint,
    /// There is a new configuration.
    Configure(Box<Config>),
    /// There is a new configuration, and it can't be read.
    RefuseConfig(Refusal),
    /// Enough.
    Stop,
}

/// Everything that the thread owns.
pub struct Reload {
    in_force: Arc<InForce>,
    config: Config,
    config_refusal: Option<Refusal>,
    path: Option<PathBuf>,
    folder: Folder,
    store: Store,
    pace: Pace,
    /// Since when a file changes at every look.
    unsettled: Option<Instant>,
    last: Option<Last>,
}

/// How often the folder is looked at, and for how long a look may be put off.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two looks, where there is no event.
    pub rescan: Duration,
    /// A file that changes for longer than this is an error.
    pub patience: Duration,
}

/// What was found when something was last loaded, and how that went.
struct Last {
    config: Config,
    files: Files,
    outcome: Result<(), Refusal>,
}

/// Why there is no new set.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Set(#[from] SetError),
    #[error("the configuration lists modules, and no policy folder is configured")]
    NoFolder,
    #[error("{}: the file keeps changing, for more than {} ms now", .file.display(), .patience.as_millis())]
    Restless { file: PathBuf, patience: Duration },
}

impl Reload {
    /// Keeps `in_force` as `config` and the folder at `path` say.
    pub fn new(in_force: Arc<InForce>, config: Config, path: Option<PathBuf>, pace: Pace) -> Reload {
        Reload {
            in_force,
            config,
            config_refusal: None,
            path,
            folder: Folder::default(),
            store: Store::default(),
            pace,
            unsettled: None,
            last: None,
        }
    }

    /// Looks once, and puts what it finds in force or says why not. Gives back when to look again.
    fn look(&mut self) -> Duration {
        let mut wait = self.pace.rescan;
        let found = match self.files() {
            Ok(Reading::Complete(files)) => {
                self.unsettled = None;
                self.load(files)
            }
            Ok(Reading::Unsettled(file, still)) => {
                wait = still;
                if self.is_patient() {
                    return wait;
                }
                let restless = Refused::Restless { file, patience: self.pace.patience }.refusal();
                // Who writes a file without end does not keep the configuration from changing.
                self.load_again().and(Err(restless))
            }
            Err(error) => {
                self.unsettled = None;
                Err(error.refusal())
            }
        };
        match (self.config_refusal.clone(), found) {
            (Some(refusal), _) | (None, Err(refusal)) => self.in_force.refuse(refusal),
            (None, Ok(())) => self.in_force.accept(),
        }
        wait
    }

    /// A file has not been changing for too long.
    fn is_patient(&mut self) -> bool {
        self.unsettled.get_or_insert_with(Instant::now).elapsed() < self.pace.patience
    }

    /// Loads the first set before anything is decided, unless a file keeps changing.
    pub fn look_until_settled(&mut self) {
        loop {
            let wait = self.look();
            if self.unsettled.is_none() || !self.is_patient() {
                return;
            }
            thread::sleep(wait);
        }
    }

    /// Runs until it is told to stop or nobody is left to tell it anything.
    pub fn run(mut self, signals: &Receiver<Signal>, sender: Sender<Signal>) {
        let hinted = Arc::new(AtomicBool::new(false));
        let mut watch = self.path.clone().map(|path| Watch::new(path, sender, Arc::clone(&hinted)));
        let mut wait = Duration::ZERO;
        loop {
            match signals.recv_timeout(wait) {
                // What happens from here on is a hint of its own.
                Ok(Signal::Hint) => hinted.store(false, Ordering::SeqCst),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Signal::Configure(config)) => {
                    self.config = *config;
                    self.config_refusal = None;
                }
                Ok(Signal::RefuseConfig(refusal)) => {
                    self.config_refusal = Some(refusal.clone());
                    self.in_force.refuse(refusal);
                }
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Some(watch) = &mut watch {
                watch.renew();
            }
            wait = self.look();
        }
    }

    fn files(&mut self) -> Result<Reading, Refused> {
        match (&self.path, &self.config.chain.modules) {
            (Some(_), ModulesConfig::Listed(modules)) if modules.is_empty() => Ok(Reading::Complete(Files::default())),
            (Some(path), ModulesConfig::WholeFolder | ModulesConfig::Listed(_)) => Ok(self.folder.read(path)?),
            (None, ModulesConfig::Listed(modules)) if !modules.is_empty() => Err(Refused::NoFolder),
            (None, ModulesConfig::WholeFolder | ModulesConfig::Listed(_)) => Ok(Reading::Complete(Files::default())),
        }
    }

    /// Loads what was found, unless it is what was found the last time: then the outcome is the same.
    fn load(&mut self, files: Files) -> Result<(), Refusal> {
        if let Some(last) = &self.last
            && (&last.config, &last.files) == (&self.config, &files)
        {
            return last.outcome.clone();
        }
        let outcome = match self.store.load(self.in_force.host(), &self.config, &files) {
            Ok(modules) => {
                self.in_force.replace(modules);
                Ok(())
            }
            Err(error) => Err(Refused::Set(error).refusal()),
        };
        self.last = Some(Last { config: self.config.clone(), files, outcome: outcome.clone() });
        outcome
    }

    /// Loads what was found the last time, if there was anything; the configuration may be another.
    fn load_again(&mut self) -> Result<(), Refusal> {
        match &self.last {
            Some(last) if !last.files.files.is_empty() => self.load(last.files.clone()),
            Some(_) | None => Ok(()),
        }
    }
}

impl Refused {
    fn refusal(&self) -> Refusal {
        let refusal = |file: Option<PathBuf>| Refusal { module: None, file, reason: self.to_string(), hint: None };
        match self {
            Refused::Folder(error) => refusal(Some(error.path().to_owned())),
            Refused::Set(error) => {
                let module = error.module().map(str::to_owned);
                Refusal { module, hint: error.hint(), ..refusal(error.file().map(Path::to_owned)) }
            }
            Refused::NoFolder => refusal(None),
            Refused::Restless { file, .. } => refusal(Some(file.clone())),
        }
    }
}

/// Watches on the folder and on its parent: a folder that is itself a link is swapped in the parent, without an event in
/// the folder.
struct Watch {
    folder: PathBuf,
    watcher: Option<RecommendedWatcher>,
    /// Where the folder really is; a watch goes there and stays there when the link is swapped.
    watched: Option<PathBuf>,
}

impl Watch {
    /// Tells `sender` of each change that `hinted` doesn't say is told already: a file that is written without end would
    /// fill the queue.
    fn new(folder: PathBuf, sender: Sender<Signal>, hinted: Arc<AtomicBool>) -> Watch {
        let name = folder.file_name().map(OsStr::to_owned);
        let inside = folder.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let concerns = event.is_ok_and(|event| concerns(&event, &inside, name.as_deref()));
            if concerns && !hinted.swap(true, Ordering::SeqCst) {
                // Without a receiver there is nobody left to tell.
                drop(sender.send(Signal::Hint));
            }
        });
        let mut watch = Watch { folder, watcher: watcher.ok(), watched: None };
        if let Some(parent) = watch.folder.parent()
            && let Some(watcher) = &mut watch.watcher
            && let Err(error) = watcher.watch(parent, RecursiveMode::NonRecursive)
        {
            tracing::debug!(folder = %parent.display(), %error, "no events for the policy folder's parent");
        }
        watch.renew();
        watch
    }

    /// Follows the folder to where it is now.
    fn renew(&mut self) {
        let now = self.folder.canonicalize().ok();
        if now == self.watched {
            return;
        }
        let Some(watcher) = &mut self.watcher else { return };
        if self.watched.take().is_some() {
            // It fails when the folder is gone, and its watch with it.
            drop(watcher.unwatch(&self.folder));
        }
        if now.is_some() && watcher.watch(&self.folder, RecursiveMode::NonRecursive).is_ok() {
            self.watched = now;
        }
    }
}

/// Reading the folder makes events as well: those would go round in circles.
fn concerns(event: &Event, folder: &Path, name: Option<&OsStr>) -> bool {
    let read_only = matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
    !read_only
        && event
            .paths
            .iter()
            .any(|path| path.starts_with(folder) || (path.parent() == folder.parent() && path.file_name() == name))
}
