//! The chain in force: swapped by the reload thread, read by every decision.

use std::{
    io,
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::{
    api::ids::Namespace,
    policy::{
        audit::Records,
        decision::Decision,
        host::Host,
        request::{self, Request},
        shadows::{Decided, Shadows},
        state::{ModuleState, Refusal, State},
        store::{self, Chain, Member},
    },
};

/// A decision that began with a set that was replaced ends within so many looks, unless it has more modules than most.
const RETIRING_LOOKS_MAX: usize = 100;
/// Between two of them.
const RETIRING_LOOK: Duration = Duration::from_millis(1);

/// What decisions are made with.
pub struct InForce {
    host: Arc<Host>,
    managed: Option<Namespace>,
    chain: RwLock<Option<Arc<Chain>>>,
    state: watch::Sender<State>,
    records: Arc<Records>,
    shadows: Shadows,
}

impl InForce {
    /// Nothing is in force yet. `managed` is the namespace of namespace mode.
    ///
    /// # Errors
    ///
    /// The machine refuses the thread for shadows.
    pub fn new(host: Arc<Host>, managed: Option<Namespace>, records: Records) -> io::Result<InForce> {
        let records = Arc::new(records);
        let shadows = Shadows::start(Arc::clone(&host), Arc::clone(&records))?;
        let state = watch::Sender::new(State::default());
        Ok(InForce { host, managed, chain: RwLock::default(), state, records, shadows })
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

    /// The thread that asks shadows.
    pub fn shadows(&self) -> &Shadows {
        &self.shadows
    }

    /// Writes down what waits to be recorded. Later decisions count as lost.
    pub fn end(&self) {
        self.shadows.end();
        self.records.end();
    }

    /// Decides and tells the record. A decision that has begun ends with the chain that it began with. Shadows are asked
    /// elsewhere, and the record waits for them.
    pub fn decide(&self, request: &Request) -> Decision {
        let start = Instant::now();
        let chain = self.chain();
        let refused = request::refused_by_core(self.managed.as_ref(), request);
        let (decision, set_digest) = match (refused, chain) {
            (None, Some(chain)) => return self.ask(chain, request, start),
            (None, None) => (store::no_policy(&self.why_none()), String::new()),
            (Some(denial), None) => (Decision::deny(denial, 0), String::new()),
            (Some(denial), Some(chain)) => (Decision::deny(denial, chain.generation), chain.digest.clone()),
        };
        self.records.tell(request, &decision, (&set_digest, Vec::new()), start.elapsed());
        decision
    }

    fn ask(&self, chain: Arc<Chain>, request: &Request, start: Instant) -> Decision {
        let turn = self.host.turn();
        let (decision, said) = chain.decide(&self.host, request);
        drop(turn);
        let took = start.elapsed();
        if chain.shadows().is_empty() {
            self.records.tell(request, &decision, (&chain.digest, said), took);
        } else {
            let (request, decision) = (request.clone(), decision.clone());
            self.shadows.compare(Decided { chain, request, decision, said, took });
        }
        decision
    }

    /// Puts `members` in force as the next generation, unless that is what is in force.
    pub fn replace(&self, members: Vec<Member>) {
        let old = self.chain();
        if old.as_ref().is_some_and(|chain| chain.digest == store::set_digest(&members)) {
            return;
        }
        let chain = Arc::new(Chain::new(old.as_ref().map_or(0, |chain| chain.generation) + 1, members));
        let modules = chain.members.iter().map(|Member { module, mode }| ModuleState {
            name: module.name().to_owned(),
            digest: module.digest().to_owned(),
            settings_digest: module.settings_digest().to_owned(),
            mode: *mode,
            needs_pod: module.needs_pod(),
        });
        self.shadows.keep(&chain.shadows());
        let state = State {
            generation: chain.generation,
            set_digest: chain.digest.clone(),
            modules: modules.collect(),
            refusal: None,
            refusals: self.state.borrow().refusals,
        };
        tracing::info!(generation = chain.generation, modules = chain.members.len(), "policy is in force");
        // The old one is only dropped below: nobody waits for that.
        let replaced = self.chain.write().unwrap_or_else(PoisonError::into_inner).replace(chain);
        self.state.send_replace(state);
        drop(replaced);
        if let Some(old) = old {
            retire(old);
        }
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

/// Drops a chain that was replaced once no decision is under way with it: who has it last gives its memory back, which
/// takes longer than a decision may.
fn retire(chain: Arc<Chain>) {
    for _ in 0..RETIRING_LOOKS_MAX {
        if Arc::strong_count(&chain) == 1 {
            return;
        }
        thread::sleep(RETIRING_LOOK);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::InForce;
    use crate::policy::{audit::Records, config::Config, folder::Files, host::Host, recorder::Sink, store::Store};

    #[test]
    fn a_decision_under_way_ends_with_the_set_that_it_began_with() {
        let host = Host::new().unwrap();
        let load = |roles: &str| {
            let config = Config::parse(Some(roles), None).unwrap().0;
            Store::default().load(&host, &config, &Files::default()).unwrap()
        };
        let in_force = InForce::new(Arc::clone(&host), None, Records::new(&Sink::Off).unwrap()).unwrap();
        let request = serde_json::json!({
            "home": "default", "workflow": {"namespace": "argo", "name": "w", "uid": "1"}, "template": "main",
            "target": {"cluster": "other", "namespace": "x"}, "creates": "pod",
        });
        let request = serde_json::from_value(request).unwrap();
        let decide = || in_force.decide(&request);
        in_force.replace(load("[]"));
        let chain = in_force.chain().unwrap();
        let held = Arc::strong_count(&chain);
        let turns: Vec<_> = (0..Host::decisions_at_once()).map(|_| host.turn()).collect();
        thread::scope(|scope| {
            let waiting = scope.spawn(decide);
            // It has its set, and waits for a turn.
            while Arc::strong_count(&chain) == held {
                thread::yield_now();
            }
            in_force.replace(load("[{namespace: '', rules: [{clusterNames: [''], namespaces: ['']}]}]"));
            drop(turns);
            let decision = waiting.join().unwrap();
            assert_eq!((decision.generation, decision.code()), (1, Some("namespace-has-no-entry")));
        });
        assert_eq!((decide().generation, decide().code()), (2, None));
    }
}
