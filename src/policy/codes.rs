//! Which codes of a module that is given the pod are its own: those that stand in its file.
//!
//! Records, metrics and Events hold no value of a pod, and all of them hold codes. A module could quote the pod in one: a
//! password is a code if it is made of lower-case letters and digits. What a module takes from the pod doesn't stand in its
//! own file, and a code that its author chose does: as text, whatever the language. One that the module puts together when it
//! runs isn't found, and is replaced; so is one that stands in the settings only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use memchr::memmem;

/// Codes that are remembered. A module has a handful; more are not looked for, because that takes milliseconds in a large
/// module, and a module that quotes the pod would have another one for each decision.
const CODES_MAX: usize = 256;

/// The codes of one module.
#[derive(Debug)]
pub struct Codes {
    component: Arc<[u8]>,
    known: Mutex<HashMap<String, bool>>,
}

impl Codes {
    /// Those of the module with these bytes. They are looked for once they are used.
    pub fn of(component: Arc<[u8]>) -> Codes {
        Codes { component, known: Mutex::default() }
    }

    /// The code stands in the module's file.
    pub fn has(&self, code: &str) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(has) = known.get(code) {
            return *has;
        }
        if known.len() >= CODES_MAX {
            return false;
        }
        let has = memmem::find(&self.component, code.as_bytes()).is_some();
        known.insert(code.to_owned(), has);
        has
    }
}

#[cfg(test)]
mod tests {
    use super::{CODES_MAX, Codes};

    #[test]
    fn only_what_stands_in_the_file_is_a_code() {
        let codes = Codes::of(b"..no-rule..not-at-home..late".as_slice().into());
        for _ in 0..2 {
            assert!(codes.has("no-rule") && codes.has("not-at-home"));
            assert!(!codes.has("hunter2"));
        }
        for number in 0..CODES_MAX {
            codes.has(&format!("x{number}"));
        }
        // By now it has too many.
        assert!(codes.has("no-rule") && !codes.has("late"));
    }
}
