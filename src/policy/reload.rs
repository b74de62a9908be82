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
    config::{Config, ModuleConfig, ModulesConfig},
    folder::{Files, Folder, FolderError, Reading},
    inforce::InForce,
    state::Refusal,
    store::{SetError, Store},
};

/// What the log says where there are no events.
const NO_EVENTS: &str =
    "the policy folder can't be watched: changes in it are seen when it is read again, some seconds later";

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

/// Whether the thread is to end, and whether it is where it can't.
#[derive(Debug, Default)]
pub struct Ending {
    pub(in crate::policy) is_wanted: AtomicBool,
    pub(in crate::policy) is_loading: AtomicBool,
}

impl Ending {
    /// From now on nothing is loaded any more. Gives back whether the thread ends soon: it doesn't if it is loading, which
    /// nobody can interrupt.
    pub fn begin(&self) -> bool {
        self.is_wanted.store(true, Ordering::SeqCst);
        !self.is_loading.load(Ordering::SeqCst)
    }
}

/// Everything that the thread owns.
pub struct Reload {
    ending: Arc<Ending>,
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
    #[error("{}: the file keeps changing, for more than {} ms now", .file.display(), .patience.as_millis())]
    Restless { file: PathBuf, patience: Duration },
}

impl Reload {
    /// Keeps `in_force` as `config` and the folder at `path` say.
    pub fn new(in_force: Arc<InForce>, config: Config, path: Option<PathBuf>, pace: Pace) -> Reload {
        Reload {
            ending: Arc::default(),
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

    /// How the thread is told to end while it loads.
    pub fn ending(&self) -> Arc<Ending> {
        Arc::clone(&self.ending)
    }

    /// Looks once, and puts what it finds in force or says why not. Gives back when to look again.
    fn look(&mut self) -> Duration {
        let mut wait = self.pace.rescan;
        let found = match self.folder.read(self.path.as_deref(), &self.config.chain.modules) {
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
                Err(Refused::from(error).refusal())
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

    /// Loads what was found, unless it is what was found the last time: then the outcome is the same.
    fn load(&mut self, files: Files) -> Result<(), Refusal> {
        if let Some(last) = &self.last
            && (&last.config, &last.files) == (&self.config, &files)
        {
            return last.outcome.clone();
        }
        // First say so, then look: whoever wants it to end looks in the other order.
        self.ending.is_loading.store(true, Ordering::SeqCst);
        let outcome = if self.ending.is_wanted.load(Ordering::SeqCst) {
            self.last.as_ref().map_or(Ok(()), |last| last.outcome.clone())
        } else {
            self.load_anew(files)
        };
        self.ending.is_loading.store(false, Ordering::SeqCst);
        outcome
    }

    fn load_anew(&mut self, files: Files) -> Result<(), Refusal> {
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

    /// Loads what was found the last time, if that is all that is wanted now: the configuration may be another.
    fn load_again(&mut self) -> Result<(), Refusal> {
        let Some(last) = &self.last else { return Ok(()) };
        let was_whole = matches!(last.config.chain.modules, ModulesConfig::WholeFolder);
        let has = |module: &ModuleConfig| last.files.files.contains_key(&module.file);
        let is_enough = !last.files.files.is_empty()
            && match &self.config.chain.modules {
                ModulesConfig::WholeFolder => was_whole,
                ModulesConfig::Listed(modules) => was_whole || modules.iter().all(has),
            };
        if is_enough { self.load(last.files.clone()) } else { Ok(()) }
    }
}

impl Refused {
    fn refusal(&self) -> Refusal {
        let refusal = |file: Option<PathBuf>| Refusal { module: None, file, reason: self.to_string(), hint: None };
        match self {
            Refused::Folder(error) => refusal(error.path().map(Path::to_owned)),
            Refused::Set(error) => {
                let module = error.module().map(str::to_owned);
                Refusal { module, hint: error.hint(), ..refusal(error.file().map(Path::to_owned)) }
            }
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
    /// That it can't be watched was told.
    is_told: bool,
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
        Watch::of(folder, watcher)
    }

    /// Without a watcher there are no hints, and all is well but slower: the machine may have no watches left.
    fn of(folder: PathBuf, watcher: notify::Result<RecommendedWatcher>) -> Watch {
        if let Err(error) = &watcher {
            tracing::warn!(folder = %folder.display(), %error, "{NO_EVENTS}");
        }
        let mut watch = Watch { folder, watcher: watcher.ok(), watched: None, is_told: false };
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
        if now.is_none() {
            return;
        }
        match watcher.watch(&self.folder, RecursiveMode::NonRecursive) {
            Ok(()) => self.watched = now,
            // It is tried again at each look, and told once.
            Err(error) if !self.is_told => {
                self.is_told = true;
                tracing::warn!(folder = %self.folder.display(), %error, "{NO_EVENTS}");
            }
            Err(_) => {}
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

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use super::{NO_EVENTS, Watch};

    /// What is logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_folder_that_can_not_be_watched_is_told_of() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut watch = Watch::of("/policies".into(), Err(notify::Error::generic("no watches left")));
            watch.renew();
        });
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.matches(NO_EVENTS).count(), 1, "{log}");
        assert!(log.contains(" WARN ") && log.contains("folder=/policies error=no watches left"), "{log}");
    }
}
