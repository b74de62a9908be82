//! Which part of a container's output is wanted, in the words of `GET …/pods/NAME/log`, and that part.

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use jiff::{SignedDuration, Timestamp};

use crate::local::logs::{Logs, Piece, Printed};

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What will be printed, too.
    pub follow: bool,
    timestamps: bool,
    lines: Option<usize>,
    bytes: Option<usize>,
    since: Option<Timestamp>,
}

impl Reading {
    /// Reads the parameters of a request, which are given by name; empty ones count as absent. `now` is what `sinceSeconds`
    /// counts back from.
    ///
    /// # Errors
    /// What is wrong with one.
    pub fn parse<'a>(parameter: impl Fn(&str) -> Option<&'a str>, now: Timestamp) -> Result<Reading, String> {
        let text = |name: &str| parameter(name).filter(|text| !text.is_empty());
        let flag = |name: &str| matches!(text(name), Some("true" | "1"));
        let count = |name: &str| {
            let number = number(name, text(name))?;
            Ok::<_, String>(number.map(|number| usize::try_from(number).unwrap_or(usize::MAX)))
        };
        Ok(Reading {
            follow: flag("follow"),
            timestamps: flag("timestamps"),
            lines: count("tailLines")?,
            bytes: count("limitBytes")?,
            since: since(number("sinceSeconds", text("sinceSeconds"))?, text("sinceTime"), now)?,
        })
    }

    /// That part of what was printed so far.
    pub fn so_far(&self, printed: &Printed) -> Bytes {
        let mut shown = self.stamper().stamp(printed, self.start(printed));
        shown.truncate(self.bytes.unwrap_or(usize::MAX));
        shown
    }

    /// That part of what was printed so far, and what comes after it.
    pub fn follow(
        &self,
        logs: &Logs,
        (pod_uid, container): (&str, &str),
        so_far: Option<&Printed>,
    ) -> impl Stream<Item = Bytes> + use<> {
        let mut skip = so_far.map_or(0, |so_far| self.start(so_far));
        let mut stamper = self.stamper();
        logs.follow(pod_uid, container).filter_map(move |piece| {
            let news = match piece {
                Piece::Printed(news) => {
                    let skipped = skip.min(news.bytes.len());
                    skip -= skipped;
                    Some(stamper.stamp(&news, skipped))
                }
                // As a kubelet does when it rotates the files of logs.
                Piece::Gap(_) => None,
            };
            std::future::ready(news)
        })
    }

    fn start(&self, printed: &Printed) -> usize {
        tail(&printed.bytes, self.lines).max(beginning(printed, self.since))
    }

    fn stamper(&self) -> Stamper {
        Stamper { stamps: self.timestamps, is_within: false }
    }
}

/// Reads a whole number.
///
/// # Errors
/// As an API server says it.
pub fn number(name: &str, text: Option<&str>) -> Result<Option<u64>, String> {
    let wrong = |text| format!("{name}: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax");
    text.map(|text| text.parse().map_err(|_| wrong(text))).transpose()
}

/// From when on lines are wanted.
fn since(seconds: Option<u64>, time: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, String> {
    match (seconds, time) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err("at most one of `sinceTime` or `sinceSeconds` may be specified".to_owned()),
        (Some(0), None) => Err("sinceSeconds: Invalid value: 0: must be greater than 0".to_owned()),
        (Some(seconds), None) => {
            let span = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            Ok(Some(now.checked_sub(span).unwrap_or(Timestamp::MIN)))
        }
        (None, Some(time)) => time.parse().map(Some).map_err(|error| format!("sinceTime: {error}")),
    }
}

/// Where the lines begin that were begun since then.
fn beginning(printed: &Printed, since: Option<Timestamp>) -> usize {
    let Some(since) = since else { return 0 };
    printed.times.iter().find(|(_, time)| since <= *time).map_or(printed.bytes.len(), |(at, _)| *at)
}

/// Puts the time before each line, if that is wanted.
struct Stamper {
    stamps: bool,
    /// What comes next goes on with a line.
    is_within: bool,
}

impl Stamper {
    /// The bytes from `start` on.
    fn stamp(&mut self, printed: &Printed, start: usize) -> Bytes {
        if !self.stamps {
            return printed.bytes.slice(start..);
        }
        let mut stamped = Vec::new();
        let mut at = start;
        for line in printed.bytes[start..].split_inclusive(|byte| *byte == b'\n') {
            let begun = printed.times.partition_point(|(from, _)| *from <= at);
            if let Some((_, time)) = printed.times[..begun].last().filter(|_| !self.is_within) {
                stamped.extend_from_slice(format!("{time:.9} ").as_bytes());
            }
            stamped.extend_from_slice(line);
            self.is_within = !line.ends_with(b"\n");
            at += line.len();
        }
        stamped.into()
    }
}

/// Where the last so many lines begin.
fn tail(output: &[u8], lines: Option<usize>) -> usize {
    let Some(lines) = lines else { return 0 };
    if lines == 0 {
        return output.len();
    }
    let end = output.strip_suffix(b"\n").unwrap_or(output);
    let breaks = end.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    breaks.map(|(at, _)| at + 1).nth(lines - 1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_gets_the_time_at_which_it_began() {
        let printed = |text: &'static str, times: &[(usize, i64)]| Printed {
            bytes: Bytes::from_static(text.as_bytes()),
            times: times.iter().map(|(at, second)| (*at, Timestamp::from_second(*second).unwrap())).collect(),
        };
        let mut stamper = Stamper { stamps: true, is_within: false };
        let mut check = |printed: &Printed, start: usize, expected: &str| {
            let text = String::from_utf8(stamper.stamp(printed, start).to_vec()).unwrap();
            assert_eq!(text.replace("1970-01-01T00:00:0", "").replace(".000000000Z", ""), expected);
        };
        let first = printed("a\nb\nc", &[(0, 1), (4, 2)]);
        check(&first, 2, "1 b\n2 c");
        check(&printed("d\ne\n", &[(0, 2), (2, 3)]), 0, "d\n3 e\n");
        let since = |second: i64| beginning(&first, Timestamp::from_second(second).ok());
        assert_eq!([since(0), since(1), since(2), since(3)], [0, 0, 4, 5]);
    }

    #[test]
    fn tails_count_lines() {
        let output = b"a\nb\nc\n";
        for (lines, expected) in [(None, 0), (Some(0), 6), (Some(1), 4), (Some(2), 2), (Some(3), 0), (Some(9), 0)] {
            assert_eq!(tail(output, lines), expected, "{lines:?}");
        }
        assert_eq!(tail(b"a\nb", Some(1)), 2);
    }
}
