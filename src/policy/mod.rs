//! May this pod land there? Roles, modules, their host and their reload.
//!
//! [`Policies`] is the entry point: it keeps a chain of modules up to date and asks it. `request` and `decision` are what
//! is asked and answered, `config` what the operator writes, `module` and `host` how WebAssembly is run, `reload` and
//! `folder` how a new set comes into force. Making requests and acting on decisions is the controller's.

pub mod audit;
mod bindings;
mod codes;
mod compile;
pub mod config;
pub mod consent;
pub mod decision;
pub mod digest;
pub mod effort;
pub mod folder;
pub mod host;
mod inforce;
pub mod inspect;
mod last_words;
pub mod limits;
pub mod marked;
pub mod module;
pub mod recorder;
mod reload;
pub mod request;
pub mod roles;
pub mod session;
pub mod rotation;
mod shadows;
mod snapshot;
pub mod state;
pub mod store;
mod trial;
pub mod yaml;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context;
use tokio::{
    sync::{Semaphore, broadcast, oneshot, watch},
    time::timeout,
};

use crate::{
    api::ids::Namespace,
    policy::{
        audit::{Observer, Record, Records},
        config::Config,
        decision::{CODE_MODULE_FAILED, Decision, Denial, MODULE_CORE},
        host::Host,
        inforce::InForce,
        recorder::Sink,
        reload::{Ending, Pace, Reload, Signal},
        request::Request,
        state::{Differences, Refusal, State},
    },
};

/// How often the policy folder is read again, whether or not there was an event.
pub const RESCAN: Duration = Duration::from_secs(10);
/// How long the end waits for decisions under way, each of which takes some milliseconds at most.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// For how long a file in the policy folder may keep changing before that is an error: the largest module is copied in less.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The policy of one controller. Copies share everything; with the last one the reload thread ends, after what it is
/// loading just then.
#[derive(Clone)]
pub struct Policies {
    shared: Arc<Shared>,
}

/// What to start with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder with modules; without one there is the built-in module only.
    pub folder: Option<PathBuf>,
    /// What the ConfigMap says.
    pub config: Config,
    /// In namespace mode, the one namespace that is managed.
    pub managed: Option<Namespace>,
    /// How often the folder is read again: [`RESCAN`].
    pub rescan: Duration,
    /// How long a file in it may keep changing: [`PATIENCE`]. The start waits for so long, too.
    pub patience: Duration,
    /// Where decisions are recorded.
    pub records: Sink,
}

struct Shared {
    in_force: Arc<InForce>,
    /// Bounds the threads that decisions of async callers take.
    threads: Arc<Semaphore>,
    signals: Mutex<Sender<Signal>>,
    reload: Mutex<Option<JoinHandle<()>>>,
    ending: Arc<Ending>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            folder: None,
            config: Config::default(),
            managed: None,
            rescan: RESCAN,
            patience: PATIENCE,
            records: Sink::Off,
        }
    }
}

impl Policies {
    /// Loads the first set, which takes some tenths of a second, and starts the thread that reloads it. Where the first
    /// set is refused, [`State::is_ready`] is false until there is a good one, and whoever asks all the same is denied.
    ///
    /// # Errors
    ///
    /// The WebAssembly engine can't be set up on this machine, or decisions can't be recorded where they should.
    pub fn start(options: Options) -> anyhow::Result<Policies> {
        let records = Records::new(&options.records)?;
        let host = Host::new().context("setting up the WebAssembly engine")?;
        let in_force = InForce::new(host, options.managed, records).context("starting the thread that asks shadows")?;
        let in_force = Arc::new(in_force);
        // A relative path has no parent to watch.
        let folder = options.folder.map(|folder| std::path::absolute(&folder).unwrap_or(folder));
        let pace = Pace { rescan: options.rescan, patience: options.patience };
        let mut reload = Reload::new(Arc::clone(&in_force), options.config, folder, pace);
        reload.look_until_settled();
        let ending = reload.ending();
        let (sender, receiver) = mpsc::channel();
        let hints = sender.clone();
        let thread = thread::Builder::new()
            .name("policy-reload".to_owned())
            .spawn(move || reload.run(&receiver, hints))
            .context("starting the policy reload thread")?;
        Ok(Policies {
            shared: Arc::new(Shared {
                in_force,
                threads: Arc::new(Semaphore::new(Host::decisions_at_once())),
                signals: Mutex::new(sender),
                reload: Mutex::new(Some(thread)),
                ending,
            }),
        })
    }

    /// The same on a thread of its own, for async callers: it begins at once. Whoever stops waiting leaves the thread to end
    /// by itself, because what is being compiled can't be interrupted.
    ///
    /// # Errors
    ///
    /// Those of [`Policies::start`]; or the machine refuses the thread.
    pub fn start_aside(options: Options) -> impl Future<Output = anyhow::Result<Policies>> {
        let (sender, started) = oneshot::channel();
        // Where nobody waits any longer, what was started is dropped.
        let begin = move || drop(sender.send(Policies::start(options)));
        let thread = thread::Builder::new().name("policy-start".to_owned()).spawn(begin);
        async move {
            thread.context("starting the thread that starts policy")?;
            started.await.context("the thread that starts policy panicked")?
        }
    }

    /// Decides, on a thread of its own. It waits when many decisions are under way; it does not deny for that.
    pub async fn decide(&self, request: &Request) -> Decision {
        let failed = |reason: &str| {
            let denial = Denial::of_module(MODULE_CORE, reason, CODE_MODULE_FAILED);
            Decision::deny(denial, self.state().generation)
        };
        let Ok(permit) = Arc::clone(&self.shared.threads).acquire_owned().await else {
            return failed("the policy host was shut down");
        };
        let in_force = Arc::clone(&self.shared.in_force);
        let request = request.clone();
        let decided = tokio::task::spawn_blocking(move || {
            let decision = in_force.decide(&request);
            // Whoever asked may be gone: the place is free when the thread is.
            drop(permit);
            decision
        });
        match decided.await {
            Ok(decision) => decision,
            Err(_) => failed("the policy host failed"),
        }
    }

    /// Decides on this thread, which must not be one that runs async tasks.
    pub fn decide_blocking(&self, request: &Request) -> Decision {
        self.shared.in_force.decide(request)
    }

    /// How often each shadow in force differed from what was decided.
    pub fn differences(&self) -> Vec<Differences> {
        self.shared.in_force.shadows().differences()
    }

    /// How many decisions no shadow was asked about, because they came faster than shadows answer.
    pub fn shadows_skipped(&self) -> u64 {
        self.shared.in_force.shadows().skipped()
    }

    /// Takes a new configuration. It is in force when the state shows a new generation, if it changes anything.
    pub fn configure(&self, config: Config) {
        self.signal(Signal::Configure(Box::new(config)));
    }

    /// There is a new configuration that can't be used: the last good one stays in force, and the state and a log line say
    /// why, until the next good one.
    pub fn refuse(&self, reason: String) {
        self.signal(Signal::RefuseConfig(Refusal { module: None, file: None, reason, hint: None }));
    }

    /// The state now.
    pub fn state(&self) -> State {
        self.shared.in_force.state().borrow().clone()
    }

    /// The state, each time that it changes.
    pub fn subscribe_state(&self) -> watch::Receiver<State> {
        self.shared.in_force.state().subscribe()
    }

    /// The record of each decision from now on, for showing: one who is too slow misses some.
    pub fn subscribe_records(&self) -> broadcast::Receiver<Arc<Record>> {
        self.shared.in_force.records().subscribe()
    }

    /// Shows the record of each decision from now on to `observer`, in place of the one before.
    pub fn observe(&self, observer: Observer) {
        self.shared.in_force.records().observe(observer);
    }

    /// How many decisions should have been recorded and are not.
    pub fn records_lost(&self) -> u64 {
        self.shared.in_force.records().lost()
    }

    /// Writes down what is still to be recorded, decisions under way included, which takes some seconds at worst. To be
    /// called at the end: later decisions count as lost.
    pub async fn end_records(&self) {
        // Whoever decides holds a permit until that is recorded.
        let all = u32::try_from(Host::decisions_at_once()).unwrap_or(u32::MAX);
        if timeout(END_PATIENCE, self.shared.threads.acquire_many(all)).await.is_err() {
            tracing::warn!("decisions are still under way at the end");
        }
        let in_force = Arc::clone(&self.shared.in_force);
        if tokio::task::spawn_blocking(move || in_force.end()).await.is_err() {
            tracing::warn!("the decision records ended badly");
        }
    }

    fn signal(&self, signal: Signal) {
        let sender = self.shared.signals.lock().unwrap_or_else(PoisonError::into_inner);
        // It fails only if the thread has panicked; the chain in force then stays, which is safe.
        if sender.send(signal).is_err() {
            tracing::error!("the policy reload thread is gone: the chain in force stays");
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let sender = self.signals.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(sender.send(Signal::Stop));
        let Some(thread) = self.reload.get_mut().unwrap_or_else(PoisonError::into_inner).take() else { return };
        // What is being compiled can't be interrupted: the thread ends after it, and the process does not wait for that.
        if self.ending.begin() {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs, io,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        thread,
        time::{Duration, Instant},
    };

    use tokio::runtime::{Builder, Runtime};

    use super::{Host, Options, Policies, config::Config, request::Request};

    /// Longer than anything takes here, however busy the machine is.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// The built-in module, and a request that it allows.
    fn builtin() -> (Policies, Request, Runtime) {
        let request = serde_json::json!({
            "home": "default", "workflow": {"namespace": "argo", "name": "w", "uid": "1"}, "template": "main",
            "target": {"cluster": "default", "namespace": "argo"}, "creates": "pod",
        });
        let policies = Policies::start(Options::default()).unwrap();
        (policies, serde_json::from_value(request).unwrap(), Builder::new_current_thread().build().unwrap())
    }

    #[test]
    fn deciding_takes_no_async_thread() {
        let (policies, request, runtime) = builtin();
        // No decision can be made, and there is one thread for all tasks.
        let host = policies.shared.in_force.host();
        let turns: Vec<_> = (0..Host::decisions_at_once()).map(|_| host.turn()).collect();
        let (ran, another_ran) = mpsc::channel();
        let (freed, asked, is_waiting) = thread::scope(|scope| {
            // Should deciding take that thread, it gets the turns after all, and the test fails rather than hangs.
            let freed = scope.spawn(move || {
                let freed = another_ran.recv_timeout(PATIENCE);
                drop(turns);
                freed
            });
            let (asked, is_waiting) = runtime.block_on(async {
                let asking = policies.clone();
                let asked = tokio::spawn(async move { asking.decide(&request).await });
                let another = tokio::spawn(async { "ran" }).await.unwrap();
                let is_waiting = !asked.is_finished();
                ran.send(another).unwrap();
                (asked.await.unwrap(), is_waiting)
            });
            (freed.join().unwrap(), asked, is_waiting)
        });
        assert_eq!((freed, is_waiting, asked.code()), (Ok("ran"), true, None));
    }

    #[test]
    fn so_many_threads_and_no_more_are_taken() {
        let (policies, request, runtime) = builtin();
        let most = Host::decisions_at_once();
        let in_force = &policies.shared.in_force;
        let turns: Vec<_> = (0..most).map(|_| in_force.host().turn()).collect();
        let held = Arc::strong_count(in_force);
        runtime.block_on(async {
            let asked: Vec<_> = (0..most + 5)
                .map(|_| {
                    let (policies, request) = (policies.clone(), request.clone());
                    tokio::spawn(async move { policies.decide(&request).await })
                })
                .collect();
            // All of them have asked by then; whoever is given a thread takes a copy with it.
            tokio::task::yield_now().await;
            assert_eq!(Arc::strong_count(in_force) - held, most);
            drop(turns);
            for asked in asked {
                assert!(asked.await.unwrap().is_allowed());
            }
        });
        assert_eq!(Arc::strong_count(in_force), held);
    }

    #[test]
    fn so_many_decide_at_once_and_no_more() {
        let (policies, _, _) = builtin();
        let host = policies.shared.in_force.host();
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..Host::decisions_at_once() + 5 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _turn = host.turn();
                        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        let most = most.into_inner();
        assert!(most <= Host::decisions_at_once(), "{most} at once");
    }

    #[test]
    fn who_stops_waiting_for_the_start_is_free_at_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("slow.wasm"), include_bytes!("../../tests/guest/guest.wasm")).unwrap();
        let slow = "modules: [{file: slow.wasm, settings: [loop], limits: {configureMilliseconds: 3000}}]";
        let config = Config::parse(None, Some(slow)).unwrap().0;
        let runtime = Builder::new_current_thread().build().unwrap();
        let starting =
            Policies::start_aside(Options { folder: Some(folder.path().to_owned()), config, ..Options::default() });
        runtime.block_on(async { drop(starting) });
        // It would wait for threads of its own.
        drop(runtime);
        // A thread takes its name when it first runs.
        let is_starting = || {
            let name = |task: io::Result<fs::DirEntry>| fs::read_to_string(task?.path().join("comm"));
            let is_it = |task| name(task).is_ok_and(|name| name.trim_end() == "policy-start");
            fs::read_dir("/proc/self/task").unwrap().any(is_it)
        };
        let start = Instant::now();
        while !is_starting() {
            assert!(start.elapsed() < PATIENCE, "it was waited for");
            thread::yield_now();
        }
    }

    #[test]
    fn the_end_does_not_wait_for_what_is_being_loaded() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("slow.wasm"), include_bytes!("../../tests/guest/guest.wasm")).unwrap();
        let config = |chain: &str| Config::parse(None, Some(chain)).unwrap().0;
        let folder_path = Some(folder.path().to_owned());
        let policies =
            Policies::start(Options { folder: folder_path, config: config("modules: []"), ..Options::default() })
                .unwrap();
        // It is configured for three seconds of processor time.
        let slow = "modules: [{file: slow.wasm, settings: [loop], limits: {configureMilliseconds: 3000}}]";
        policies.configure(config(slow));
        let ending = policies.shared.ending.clone();
        while !ending.is_loading.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        let mut states = policies.subscribe_state();
        drop(policies);
        // The thread has what tells the state, and goes on.
        assert!(states.has_changed().is_ok(), "the end waited for the thread");
        // Then it ends by itself.
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { while states.changed().await.is_ok() {} });
    }
}
