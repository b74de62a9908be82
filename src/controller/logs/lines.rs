//! Bytes into lines, whole or in pieces that are not too long. Pure.

/// A line without a break may get this long, in bytes, before it is passed on in pieces: a progress bar without line breaks
/// must not be kept forever.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// What came of a line so far.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
    /// What comes next is the rest of a line whose beginning was passed on.
    is_within: bool,
}

/// A line, or a piece of one that is too long, without its break.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// What is no UTF-8 is replaced.
    pub text: String,
    /// Whether a line begins with it.
    pub begins: bool,
}

impl Lines {
    /// Takes more bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// The last line, though it has no break; `None` if there is nothing of it.
    pub fn end(&mut self) -> Option<Piece> {
        let piece = self.next();
        if piece.is_some() || self.rest.is_empty() {
            return piece;
        }
        let text = String::from_utf8_lossy(&self.rest).into_owned();
        self.rest.clear();
        Some(Piece { text, begins: !std::mem::take(&mut self.is_within) })
    }
}

/// Those that are there already.
impl Iterator for Lines {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let (length, with_break, is_whole) = match end {
            Some(end) if end <= LINE_BYTES_MAX => (end, end + 1, true),
            _ if LINE_BYTES_MAX < self.rest.len() => (LINE_BYTES_MAX, LINE_BYTES_MAX, false),
            _ => return None,
        };
        let text = String::from_utf8_lossy(&self.rest[..length]).into_owned();
        self.rest.drain(..with_break);
        let begins = !std::mem::replace(&mut self.is_within, !is_whole);
        Some(Piece { text, begins })
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE_BYTES_MAX, Lines};

    #[test]
    fn output_is_cut_into_lines() {
        let mut lines = Lines::default();
        let mut check = |bytes: &[u8], expected: &[(&str, bool)]| {
            lines.push(bytes);
            let found: Vec<_> = lines.by_ref().map(|piece| (piece.text, piece.begins)).collect();
            let expected: Vec<_> = expected.iter().map(|(text, begins)| ((*text).to_owned(), *begins)).collect();
            assert_eq!(found, expected);
        };
        check(b"one\n\nth", &[("one", true), ("", true)]);
        check(b"ree\n", &[("three", true)]);
        let long = "x".repeat(LINE_BYTES_MAX);
        check(format!("{long}yyy").as_bytes(), &[(&long, true)]);
        check(b"\nz", &[("yyy", false)]);
        assert_eq!(lines.end().map(|piece| (piece.text, piece.begins)), Some(("z".to_owned(), true)));
        assert_eq!(lines.end(), None);
    }
}
