//! What a module says as it panics. A module has nothing to write to, and after a panic it can't be asked any more; so the
//! text is left in a place of its memory, where the tools of policy authors look for it. A controller never does: its
//! message, as any, may quote what nobody else may read.

use std::{panic, sync::Mutex};

/// What the text begins with, before its length in four digits and a space.
const MARK: &str = "landfall-last-words ";
const TEXT_BYTES_MAX: usize = 1024;

static LAST_WORDS: Mutex<[u8; MARK.len() + 5 + TEXT_BYTES_MAX]> = Mutex::new([0; MARK.len() + 5 + TEXT_BYTES_MAX]);

/// From now on, a panic leaves its message.
pub fn keep() {
    panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let written = payload.downcast_ref::<String>().map(String::as_str);
        let what = written.or(payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
        let mut text = what.replace('\n', " ");
        if let Some(place) = panic.location() {
            text += &format!(" ({}:{})", place.file(), place.line());
        }
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let words = format!("{MARK}{end:04} {}", &text[..end]);
        // Whoever panics while it holds this has said enough.
        if let Ok(mut place) = LAST_WORDS.try_lock() {
            place[..words.len()].copy_from_slice(words.as_bytes());
        }
    }));
}
