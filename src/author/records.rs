//! Decision records, read from a file line by line.

use std::io::{self, BufRead, Read};

use crate::policy::audit::Record;

/// No record is longer: what is asked has a pod's names in it, and never the pod.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// Reads one record after the other.
pub struct Records<R> {
    from: R,
    line: u64,
}

/// A line, and the record that stands there or what is wrong with it.
pub type Line = (u64, Result<Box<Record>, String>);

impl<R: BufRead> Records<R> {
    /// Of these lines.
    pub fn new(from: R) -> Records<R> {
        Records { from, line: 0 }
    }

    /// The next one; nothing at the end.
    ///
    /// # Errors
    ///
    /// The file can't be read.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        let mut text = Vec::new();
        loop {
            text.clear();
            if self.from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text)? == 0 {
                return Ok(None);
            }
            self.line += 1;
            if text.len() as u64 == LINE_BYTES_MAX && !text.ends_with(b"\n") {
                self.from.skip_until(b'\n')?;
                return Ok(Some((self.line, Err(format!("longer than {LINE_BYTES_MAX} bytes")))));
            }
            if !text.trim_ascii().is_empty() {
                break;
            }
        }
        let record = serde_json::from_slice(&text).map(Box::new).map_err(|error| {
            // The place in a line says little, and the line is known.
            let message = error.to_string();
            message.split(" at line ").next().unwrap_or(&message).to_owned()
        });
        Ok(Some((self.line, record)))
    }
}
