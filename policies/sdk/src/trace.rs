//! Notes on what a module looked at, for `landfall policy explain`. Made by [`trace!`](crate::trace!).

use std::cell::{Cell, RefCell};

/// All notes of one question together: what a module may give back has a limit, and notes must never reach it.
const BYTES_MAX: usize = 6 << 10;

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static NOTES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// From now on, notes are collected.
pub fn start() {
    NOTES.with_borrow_mut(Vec::clear);
    ON.set(true);
}

/// The notes since [`start`]; no more are collected. What does not fit into the limit is counted by a last note.
pub fn take() -> Vec<String> {
    ON.set(false);
    let mut notes = NOTES.take();
    let mut bytes = 0;
    let fitting = notes.iter().take_while(|note| {
        bytes += note.len();
        bytes <= BYTES_MAX
    });
    let kept = fitting.count();
    let more = notes.len() - kept;
    if more > 0 {
        notes.truncate(kept);
        notes.push(format!("… and {more} more"));
    }
    notes
}

/// Whether notes are collected.
pub fn is_on() -> bool {
    ON.get()
}

/// Adds a note.
pub fn note(note: String) {
    NOTES.with_borrow_mut(|notes| notes.push(note));
}

#[cfg(test)]
mod tests {
    use crate::{trace, trace::BYTES_MAX};

    #[test]
    fn notes_are_collected_only_when_asked_for() {
        let half = || {
            assert!(trace::is_on(), "nobody asked");
            "x".repeat(BYTES_MAX / 2)
        };
        crate::trace!("{}", half());
        trace::start();
        for _ in 0..4 {
            crate::trace!("{}", half());
        }
        let notes = trace::take();
        assert_eq!((notes.len(), notes[2].as_str()), (3, "… and 2 more"));
        crate::trace!("{}", half());
        assert!(trace::take().is_empty());
    }
}
