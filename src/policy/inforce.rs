//! The chain in force: swapped by the reload thread, read by every decision.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use tokio::sync::watch;

use crate::{
    api::ids::Namespace,
    policy::{
        audit::Records,
        decision::Decision,
        host::Host,
        module::Module,
        request::{self, Request},
        state::{ModuleState, Refusal, State},
        store::{self, Chain},
    },
};

/// What decisions are made with.
pub struct InForce {
    host: Arc<Host>,
    managed: Option<Namespace>,
    chain: RwLock<Option<Arc<Chain>>>,
    state: watch::Sender<State>,
    records: Records,
}

impl InForce {
    /// Nothing is in force yet. `managed` is the namespace of namespace mode.
    pub fn new(host: Arc<Host>, managed: Option<Namespace>, records: Records) -> InForce {
        InForce { host, managed, chain: RwLock::default(), state: watch::Sender::new(State::default()), records }
    }

    /// The host of all modules.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Where the state is told.
    pub fn state(&self) -> &watch::Sender<State> {
        &self.state
    }

    /// Where decisions are told.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Decides and tells the record. A decision that has begun ends with the chain that it began with.
    pub fn decide(&self, request: &Request) -> Decision {
        let start = Instant::now();
        let chain = self.chain();
        let set_digest = chain.as_ref().map_or("", |chain| chain.digest.as_str());
        let generation = chain.as_ref().map_or(0, |chain| chain.generation);
        let outside = self.managed.as_ref().and_then(|managed| request::outside_namespace_mode(managed, request));
        let decision = match (outside, &chain) {
            (Some(denial), _) => Decision::deny(denial, generation),
            (None, None) => store::no_policy(&self.why_none()),
            (None, Some(chain)) => {
                let _turn = self.host.turn();
                chain.decide(&self.host, request)
            }
        };
        self.records.tell(request, &decision, (set_digest, Vec::new()), start.elapsed());
        decision
    }

    /// Puts `modules` in force as the next generation, unless that is what is in force.
    pub fn replace(&self, modules: Vec<Arc<Module>>) {
        let old = self.chain();
        if old.as_ref().is_some_and(|chain| chain.digest == store::set_digest(&modules)) {
            return;
        }
        let chain = Arc::new(Chain::new(old.map_or(0, |chain| chain.generation) + 1, modules));
        let modules = chain.modules.iter().map(|module| ModuleState {
            name: module.name().to_owned(),
            digest: module.digest().to_owned(),
            needs_pod: module.needs_pod(),
        });
        let state = State {
            generation: chain.generation,
            set_digest: chain.digest.clone(),
            modules: modules.collect(),
            refusal: None,
            refusals: self.state.borrow().refusals,
        };
        tracing::info!(generation = chain.generation, modules = chain.modules.len(), "policy is in force");
        *self.chain.write().unwrap_or_else(PoisonError::into_inner) = Some(chain);
        self.state.send_replace(state);
    }

    /// What is configured is what is in force.
    pub fn accept(&self) {
        self.state.send_if_modified(|state| state.refusal.take().is_some());
    }

    /// What is configured is not what is in force.
    pub fn refuse(&self, refusal: Refusal) {
        self.state.send_if_modified(|state| {
            if state.refusal.as_ref() == Some(&refusal) {
                return false;
            }
            tracing::warn!(
                generation = state.generation,
                module = refusal.module.as_deref(),
                file = refusal.file.as_ref().map(|file| file.display().to_string()),
                reason = refusal.reason,
                hint = refusal.hint.as_deref(),
                "new policy refused; what was in force stays, and nothing is where the generation is 0"
            );
            state.refusal = Some(refusal);
            state.refusals += 1;
            true
        });
    }

    fn chain(&self) -> Option<Arc<Chain>> {
        self.chain.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn why_none(&self) -> String {
        self.state
            .borrow()
            .refusal
            .as_ref()
            .map_or_else(|| "none was loaded".to_owned(), |refusal| refusal.reason.clone())
    }
}
