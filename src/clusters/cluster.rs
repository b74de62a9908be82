//! A connection to one cluster: calls within its time and budget, which cluster it is, and whether calls make sense now.
//!
//! The connection outlives its client: another token, address or authority gives it another client, and so does every
//! return from an outage. What is known of the cluster's pods stays, because it is the same cluster: its UID says so.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::ids::ClusterName,
    clusters::{
        call::{self, CallError},
        connect,
        health::{self, State},
        identity::{self, Identity},
        limit::Budget,
        rest_config::{Rate, RestConfig},
        settings::Settings,
    },
};

/// How long a call may take where the config doesn't say. Longer than an API server's slow moment, far shorter than a
/// worker may hang.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Calls under way in one cluster. A frozen one then holds at most this many of the controller's passes, until its
/// breaker opens; a healthy one is kept busy by far fewer.
const CALLS_AT_ONCE: usize = 64;

/// How long a call that is under way when the cluster becomes unavailable may still be answered, whatever its own limit.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// A connection to one cluster.
pub struct Cluster {
    name: ClusterName,
    number: u64,
    link: watch::Sender<Arc<Link>>,
    settings: RwLock<Arc<Settings>>,
    identity: Mutex<Identity>,
    at_once: Semaphore,
    state: watch::Sender<State>,
    heard: Mutex<Instant>,
    look: Notify,
    version: watch::Sender<u64>,
    clock: fn() -> Timestamp,
    cancelled: CancellationToken,
}

/// How the cluster is spoken to.
pub struct Link {
    client: kube::Client,
    /// Where it came from; `None`: it was given.
    config: Option<RestConfig>,
    call_timeout: Duration,
    budget: Arc<Budget>,
}

impl Link {
    /// By a client that needs no connecting, without limits, as to clusters in this process.
    pub fn of_client(client: kube::Client) -> Link {
        Link { client, config: None, call_timeout: CALL_TIMEOUT, budget: Arc::new(Budget::new(Rate::Unlimited)) }
    }

    /// As a config says.
    ///
    /// # Errors
    /// If it can't be: the message names the field or file.
    pub fn of_config(config: RestConfig) -> anyhow::Result<Link> {
        Ok(Link {
            client: connect::client(&config)?,
            call_timeout: config.timeout.unwrap_or(CALL_TIMEOUT),
            budget: Arc::new(Budget::new(config.rate)),
            config: Some(config),
        })
    }

    /// The same with connections of its own: those of an outage may be dead without knowing it, and files that the config
    /// names may have changed.
    ///
    /// # Errors
    /// If the config can't be used any more.
    pub fn renewed(&self) -> anyhow::Result<Link> {
        let client = match &self.config {
            Some(config) => connect::client(config)?,
            None => self.client.clone(),
        };
        let (config, call_timeout, budget) = (self.config.clone(), self.call_timeout, self.budget.clone());
        Ok(Link { client, config, call_timeout, budget })
    }

    /// Speaks to the cluster.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// Where it came from; `None`: it was given by its client.
    pub fn config(&self) -> Option<&RestConfig> {
        self.config.as_ref()
    }

    /// Whether both surely lead to the same server, whoever one is there.
    fn leads_where(&self, other: &RestConfig) -> bool {
        self.config.as_ref().is_some_and(|config| {
            config.host == other.host && config.server_name == other.server_name && config.trust == other.trust
        })
    }
}

/// What the connections of one controller have in common.
pub struct Shared {
    /// Grows with every change of any cluster.
    pub version: watch::Sender<u64>,
    /// What time it is, for people.
    pub clock: fn() -> Timestamp,
    /// The probes.
    pub tasks: TaskTracker,
    /// Ends the probes.
    pub cancelled: CancellationToken,
    number: AtomicU64,
}

impl Shared {
    /// Of a controller with this clock.
    pub fn new(clock: fn() -> Timestamp) -> Shared {
        Shared {
            version: watch::Sender::new(0),
            clock,
            tasks: TaskTracker::new(),
            cancelled: CancellationToken::new(),
            number: AtomicU64::new(0),
        }
    }

    /// Tells that something changed.
    pub fn tick(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    /// A cluster that can't be used from now on.
    pub fn unavailable(&self, reason: String) -> State {
        State::Unavailable { reason, since: (self.clock)() }
    }
}

impl Cluster {
    /// A new connection, looked after from now on.
    pub fn open(name: ClusterName, link: Link, settings: Settings, state: State, shared: &Shared) -> Arc<Cluster> {
        let mut identity = Identity::default();
        identity.remember(settings.uid.clone());
        let cluster = Arc::new(Cluster {
            name,
            number: shared.number.fetch_add(1, Ordering::Relaxed),
            link: watch::Sender::new(Arc::new(link)),
            settings: RwLock::new(Arc::new(settings)),
            identity: Mutex::new(identity),
            at_once: Semaphore::new(CALLS_AT_ONCE),
            state: watch::Sender::new(state),
            heard: Mutex::new(Instant::now()),
            look: Notify::new(),
            version: shared.version.clone(),
            clock: shared.clock,
            cancelled: shared.cancelled.child_token(),
        });
        shared.tasks.spawn(health::watch_over(cluster.clone()));
        cluster
    }

    /// Takes over what the Secret says now. Whoever goes on being the same cluster stays known.
    ///
    /// # Errors
    /// If the config can't be used; then nothing has changed.
    pub fn update(&self, config: RestConfig, settings: Settings) -> anyhow::Result<()> {
        let link = self.link();
        if link.config.as_ref() != Some(&config) {
            let stays = link.leads_where(&config);
            let link = Link::of_config(config)?;
            tracing::info!(cluster = %self.name, same_server = stays, "cluster is connected anew");
            if !stays {
                // Nothing may go there before it has told which cluster it is.
                self.set_unavailable("its connection changed and is not tried yet");
            }
            self.link.send_replace(Arc::new(link));
            self.look.notify_one();
        }
        self.set_settings(settings);
        Ok(())
    }

    /// Takes over what is known of it beside its connection.
    pub fn set_settings(&self, settings: Settings) {
        if *self.settings() != settings {
            self.identity().remember(settings.uid.clone());
            *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
            self.look.notify_one();
            self.tick();
        }
    }

    /// Its name.
    pub fn name(&self) -> &ClusterName {
        &self.name
    }

    /// Differs between two connections, also where one replaced the other under the same name.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// For watches, which bound themselves by silence. Everything else goes through [`Cluster::call`].
    pub fn client(&self) -> kube::Client {
        self.link.borrow().client()
    }

    /// Changes whenever [`Cluster::client`] gives another client, be it of another token or because the connections of the
    /// last one may be dead. What is under way by the last one should be begun anew.
    pub fn subscribe_client(&self) -> watch::Receiver<Arc<Link>> {
        self.link.subscribe()
    }

    /// How it is spoken to.
    pub fn link(&self) -> Arc<Link> {
        self.link.borrow().clone()
    }

    /// Speaks to it by `link` from now on, unless it is spoken to otherwise than by `before` already.
    pub fn replace_link(&self, before: &Arc<Link>, link: Link) -> bool {
        self.link.send_if_modified(|held| {
            let is_same = Arc::ptr_eq(held, before);
            if is_same {
                *held = Arc::new(link);
            }
            is_same
        })
    }

    /// What is known of it beside its connection.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether calls make sense now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Returns once calls make sense; at once if they do now.
    pub async fn ready(&self) {
        // It fails only if the sender is gone, and this object holds it.
        drop(self.state.subscribe().wait_for(|state| *state == State::Ready).await);
    }

    /// Returns once calls make no sense.
    pub async fn unavailable(&self) {
        drop(self.state.subscribe().wait_for(|state| *state != State::Ready).await);
    }

    /// Returns once somebody wants it to be probed without waiting.
    pub async fn asked_to_look(&self) {
        self.look.notified().await;
    }

    /// Ends when this connection is removed or replaced.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Makes one call, within this cluster's time and budget. Fails at once while the cluster is unavailable; makes it
    /// unavailable when there is no answer.
    pub async fn call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        let link = self.link();
        let busy = || {
            let seconds = link.call_timeout.as_secs_f32();
            CallError::Unreachable(format!("more calls than it takes in {seconds} s wait for their turn"))
        };
        // Who waits holds a pass, and others need those too.
        let _permit = timeout(link.call_timeout, self.at_once.acquire()).await.map_err(|_| busy())?;
        if let State::Unavailable { reason, .. } = self.state() {
            return Err(CallError::Unreachable(reason));
        }
        if !link.budget.take(link.call_timeout).await {
            return Err(busy());
        }
        let outcome = tokio::select! {
            outcome = call::bounded(link.call_timeout, call) => outcome,
            reason = self.stays_unavailable() => Err(CallError::Unreachable(reason)),
        };
        match &outcome {
            Ok(_) | Err(CallError::Refused(_)) => self.heard(),
            Err(CallError::Unreachable(reason)) => self.lost(reason),
        }
        outcome
    }

    /// Returns once the cluster has been unavailable for a while, with the reason: what is under way then won't be answered.
    async fn stays_unavailable(&self) -> String {
        let mut states = self.state.subscribe();
        loop {
            // They fail only if the sender is gone, and this object holds it.
            drop(states.wait_for(|state| *state != State::Ready).await);
            let is_back = timeout(ANSWER_PATIENCE, states.wait_for(|state| *state == State::Ready)).await.is_ok();
            if !is_back && let State::Unavailable { reason, .. } = self.state() {
                return reason;
            }
        }
    }

    /// Asks which cluster it is. If it is another than the one that is meant, or doesn't say, it is unavailable.
    pub async fn verify(&self) -> Result<(), CallError> {
        let reason = match self.call(identity::read(self.client())).await {
            Ok(uid) => match self.meet(&uid) {
                Ok(()) => return Ok(()),
                Err(reason) => reason,
            },
            Err(CallError::Refused(status)) => match identity::missing_right(&status) {
                Some(reason) => reason,
                None => return Err(CallError::Refused(status)),
            },
            Err(error) => return Err(error),
        };
        self.set_unavailable(&reason);
        Err(CallError::Unreachable(reason))
    }

    /// A cluster answers with this UID.
    ///
    /// # Errors
    /// If it is not the one that is meant: what to do about it.
    pub fn meet(&self, uid: &str) -> Result<(), String> {
        let before = self.to_remember();
        let met = self.identity().meet(uid);
        if self.to_remember() != before {
            self.tick();
        }
        met.map_err(|expected| {
            let accept = if self.link.borrow().config.is_some() {
                format!("landfall cluster confirm {}", self.name)
            } else {
                "restart the controller".to_owned()
            };
            format!(
                "another cluster answers: the uid of its namespace {:?} is {uid}, the one that is remembered is {expected}; \
                 nothing is created or deleted there until you accept it: {accept}",
                identity::NAMESPACE
            )
        })
    }

    /// The UID that its settings should have and don't; never of one that was given by its client.
    pub fn to_remember(&self) -> Option<String> {
        self.link.borrow().config.as_ref()?;
        self.identity().to_remember().map(str::to_owned)
    }

    /// That its token has ended, if it has, and what to do about it.
    pub fn ended_token(&self) -> Option<String> {
        let expires = self.settings().token_expires?;
        let name = &self.name;
        (expires <= (self.clock)()).then(|| format!("its token ended at {expires}: landfall cluster rotate {name}"))
    }

    /// When something was last heard of it.
    pub fn heard_at(&self) -> Instant {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that something was heard of it.
    pub fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Notes that the cluster could not be reached by a call or watch. While it is known to be unavailable, only probes say
    /// why.
    pub fn lost(&self, reason: &str) {
        if self.state() == State::Ready {
            self.set_unavailable(reason);
        }
    }

    /// Notes that the cluster answers.
    pub fn set_ready(&self) {
        let is_news = self.state.send_replace(State::Ready) != State::Ready;
        if is_news {
            tracing::info!(cluster = %self.name, "cluster is reachable");
            self.tick();
        }
    }

    /// Notes why the cluster can't be used.
    pub fn set_unavailable(&self, reason: &str) {
        let is_news = self.state.send_if_modified(|state| {
            let (since, is_news) = match &*state {
                State::Ready => ((self.clock)(), true),
                State::Unavailable { reason: before, since } => (*since, before != reason),
            };
            *state = State::Unavailable { reason: reason.to_owned(), since };
            is_news
        });
        if is_news {
            tracing::warn!(cluster = %self.name, reason, "cluster is unavailable");
            self.tick();
        }
    }

    fn identity(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) {
        self.version.send_modify(|version| *version += 1);
    }
}
