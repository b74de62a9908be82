//! The chain in force: swapped by the reload thread, read by every decision.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Instant,
};

use tokio::sync::watch;

use crate::{
    api::ids::Namespace,
    policy::{
        audit::Records,
        decision::{Decision, Difference, Mode},
        host::Host,
        request::{self, Request},
        state::{Differences, ModuleState, Refusal, State},
        store::{self, Chain, Member},
    },
};

/// What decisions are made with.
pub struct InForce {
    host: Arc<Host>,
    managed: Option<Namespace>,
    chain: RwLock<Option<Arc<Chain>>>,
    state: watch::Sender<State>,
    records: Records,
    /// How often each shadow in force differed from what was decided.
    differences: Mutex<BTreeMap<(String, Difference), u64>>,
}

impl InForce {
    /// Nothing is in force yet. `managed` is the namespace of namespace mode.
    pub fn new(host: Arc<Host>, managed: Option<Namespace>, records: Records) -> InForce {
        InForce {
            host,
            managed,
            chain: RwLock::default(),
            state: watch::Sender::new(State::default()),
            records,
            differences: Mutex::default(),
        }
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
    ///
    /// Shadows are asked after the decision was handed to `answer`, in the same turn: they cost others their turn, and never
    /// the answer. The record waits for them.
    pub fn decide(&self, request: &Request, answer: impl FnOnce(Decision)) {
        let start = Instant::now();
        let chain = self.chain();
        let outside = self.managed.as_ref().and_then(|managed| request::outside_namespace_mode(managed, request));
        let (decision, set_digest) = match (outside, &chain) {
            (None, Some(chain)) => return self.ask(chain, request, start, answer),
            (None, None) => (store::no_policy(&self.why_none()), ""),
            (Some(denial), None) => (Decision::deny(denial, 0), ""),
            (Some(denial), Some(chain)) => (Decision::deny(denial, chain.generation), chain.digest.as_str()),
        };
        self.records.tell(request, &decision, (set_digest, Vec::new()), start.elapsed());
        answer(decision);
    }

    fn ask(&self, chain: &Chain, request: &Request, start: Instant, answer: impl FnOnce(Decision)) {
        let turn = self.host.turn();
        let (decision, mut said) = chain.decide(&self.host, request);
        let took = start.elapsed();
        if !chain.has_shadows() {
            drop(turn);
            self.records.tell(request, &decision, (&chain.digest, said), took);
            answer(decision);
            return;
        }
        answer(decision.clone());
        said.extend(chain.ask_shadows(&self.host, request));
        drop(turn);
        for said in &said {
            if let Some(difference) = said.difference(decision.is_allowed()) {
                *self.differing().entry((said.module().to_owned(), difference)).or_default() += 1;
            }
        }
        self.records.tell(request, &decision, (&chain.digest, said), took);
    }

    /// How often each shadow in force differed, since it is one.
    pub fn differences(&self) -> Vec<Differences> {
        let counts = self.differing();
        let counts = counts.iter().map(|((module, difference), count)| Differences {
            module: module.clone(),
            difference: *difference,
            count: *count,
        });
        counts.collect()
    }

    /// Puts `members` in force as the next generation, unless that is what is in force.
    pub fn replace(&self, members: Vec<Member>) {
        let old = self.chain();
        if old.as_ref().is_some_and(|chain| chain.digest == store::set_digest(&members)) {
            return;
        }
        let chain = Arc::new(Chain::new(old.map_or(0, |chain| chain.generation) + 1, members));
        let modules = chain.members.iter().map(|Member { module, mode }| ModuleState {
            name: module.name().to_owned(),
            digest: module.digest().to_owned(),
            settings_digest: module.settings_digest().to_owned(),
            mode: *mode,
            needs_pod: module.needs_pod(),
        });
        let is_shadow =
            |name: &str| chain.members.iter().any(|member| member.mode == Mode::Shadow && member.module.name() == name);
        self.differing().retain(|(name, _), _| is_shadow(name));
        let state = State {
            generation: chain.generation,
            set_digest: chain.digest.clone(),
            modules: modules.collect(),
            refusal: None,
            refusals: self.state.borrow().refusals,
        };
        tracing::info!(generation = chain.generation, modules = chain.members.len(), "policy is in force");
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

    fn differing(&self) -> MutexGuard<'_, BTreeMap<(String, Difference), u64>> {
        self.differences.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn why_none(&self) -> String {
        self.state
            .borrow()
            .refusal
            .as_ref()
            .map_or_else(|| "none was loaded".to_owned(), |refusal| refusal.reason.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::InForce;
    use crate::policy::{
        audit::Records,
        config::Config,
        folder::Files,
        host::Host,
        module,
        recorder::Sink,
        store::{BUILTIN, Store},
    };

    #[test]
    fn shadows_are_asked_after_the_answer_was_given() {
        let host = Host::new().unwrap();
        let files = [("next.wasm".to_owned(), Arc::from(BUILTIN))].into();
        let files = Files { files, ..Files::default() };
        let config = Config::parse(None, Some("modules: [{file: next.wasm, mode: shadow}]")).unwrap().0;
        let members = Store::default().load(&host, &config, &files).unwrap();
        let in_force = InForce::new(host, None, Records::new(&Sink::Off).unwrap());
        in_force.replace(members);
        let mut records = in_force.records().subscribe();
        let mut answers = 0;
        in_force.decide(&module::trial_request(), |decision| {
            assert!(decision.is_allowed());
            assert!(records.try_recv().is_err(), "the record, which tells of the shadow, is still to come");
            answers += 1;
        });
        assert_eq!((answers, records.try_recv().unwrap().modules.len()), (1, 2));
    }
}
