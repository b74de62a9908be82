//! What a module of the SDK said as it panicked: `policies/sdk/src/last_words.rs` leaves it in the module's memory. Only the
//! tools of policy authors look for it: it may quote anything that the module was given.

use memchr::memmem;

use crate::policy::{
    bindings,
    decision::{self, CODE_MODULE_TRAPPED},
    host::Host,
    limits::{self, Failure, Limits},
    module::{self, LoadError, Prepared},
    request::Request,
    snapshot, trial,
};

/// What the words begin with, before their length in four digits and a space.
const MARK: &[u8] = b"landfall-last-words ";
/// Digits of the length, and the space.
const LENGTH_BYTES: usize = 5;

impl Prepared {
    /// The failure of a decision with the module's own words, where it panicked and left any. It is made again for that.
    pub fn with_last_words(
        &self,
        host: &Host,
        settings: &serde_json::Value,
        request: &Request,
        failure: Failure,
    ) -> Failure {
        self.told(host, settings, Some(request), failure)
    }

    /// The same of a module that can't be loaded with `settings`.
    pub fn load_error_with_last_words(&self, host: &Host, settings: &serde_json::Value, error: LoadError) -> LoadError {
        match error {
            LoadError::Configure(failure) => LoadError::Configure(self.told(host, settings, None, failure)),
            LoadError::Trial(failure) => LoadError::Trial(self.told(host, settings, Some(&trial::request()), failure)),
            LoadError::TooLarge { .. }
            | LoadError::Unfit(_)
            | LoadError::Invalid(_)
            | LoadError::WrongWorld(_)
            | LoadError::Settings(_) => error,
        }
    }

    fn told(&self, host: &Host, settings: &serde_json::Value, request: Option<&Request>, failure: Failure) -> Failure {
        if failure.code != CODE_MODULE_TRAPPED {
            return failure;
        }
        match self.last_words(host, settings, request) {
            Some(words) => Failure { message: format!("the module panicked: {}", decision::fit(&words)), ..failure },
            None => failure,
        }
    }

    /// The memory is found before the module is asked: of one that has trapped, it can only be read.
    fn last_words(&self, host: &Host, settings: &serde_json::Value, request: Option<&Request>) -> Option<String> {
        let exports = module::exports_of(host, self.component()).ok()?;
        let (mut store, instance, running) = module::instantiate(host, &exports, Limits::default()).ok()?;
        store.set_hostcall_fuel(usize::MAX);
        store.set_epoch_deadline(u64::MAX / 2);
        let memories = snapshot::memories(self.bytes(), &mut store, instance).ok()?;
        store.set_hostcall_fuel(Limits::default().result_bytes);
        let configured = module::call_configure(host, &mut store, &running, &settings.to_string());
        if let (Ok(needs), Some(request)) = (configured, request) {
            limits::set_time(&mut store, Limits::default().decision_time);
            let _running = host.ticker.running();
            let answer = bindings::with_request(request, needs, |request| {
                running.landfall_policy_policy().call_authorize(&mut store, request)
            });
            if answer.is_ok() {
                return None;
            }
        }
        memories.iter().find_map(|memory| find(memory.as_le_slice(&store)))
    }
}

fn find(memory: &[u8]) -> Option<String> {
    memmem::find_iter(memory, MARK).find_map(|at| {
        let rest = memory.get(at + MARK.len()..)?;
        let length: usize = std::str::from_utf8(rest.get(..LENGTH_BYTES - 1)?).ok()?.parse().ok()?;
        let words = rest.get(LENGTH_BYTES..LENGTH_BYTES + length)?;
        Some(String::from_utf8_lossy(words).into_owned())
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_are_found_behind_their_mark() {
        let check = |memory: &[u8], expected: Option<&str>| assert_eq!(super::find(memory).as_deref(), expected);
        check(b"..landfall-last-words {} ..landfall-last-words 0003 oh!..", Some("oh!"));
        check(b"landfall-last-words 0009 oh!", None);
        check(b"landfall-last-words", None);
        check(b"", None);
    }
}
