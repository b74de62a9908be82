//! Spans of time on the command line: `90s`, `5m`, `1h`, `500ms`.

use std::time::Duration;

/// Units, longest first.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

/// Reads a whole number and its unit.
///
/// # Errors
/// What is expected instead.
pub fn parse(text: &str) -> Result<Duration, String> {
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let milliseconds = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, milliseconds)| *milliseconds);
    let span = milliseconds.zip(number.parse::<u64>().ok()).and_then(|(unit, number)| number.checked_mul(unit));
    span.map(Duration::from_millis).ok_or_else(|| "expected a whole number and a unit: 500ms, 90s, 5m, 1h".to_owned())
}

/// The span as it would be given.
pub fn show(span: Duration) -> String {
    let milliseconds = span.as_millis();
    match (milliseconds % 1000, milliseconds % 60_000, milliseconds % 3_600_000) {
        _ if milliseconds == 0 => "0s".to_owned(),
        (_, _, 0) => format!("{}h", milliseconds / 3_600_000),
        (_, 0, _) => format!("{}m", milliseconds / 60_000),
        (0, _, _) => format!("{}s", milliseconds / 1000),
        (_, _, _) => format!("{milliseconds}ms"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn spans_are_read_and_shown() {
        let check = |text: &str, expected: &str| {
            let found = super::parse(text).map_or_else(|_| "refused".to_owned(), super::show);
            assert_eq!(found, expected, "{text}");
        };
        check("90s", "90s");
        check("300s", "5m");
        check("60m", "1h");
        check("1500ms", "1500ms");
        check("0s", "0s");
        for refused in ["", "5", "s", "-5s", "1.5m", "5 m", "99999999999999999999h", "9999999999999999h"] {
            check(refused, "refused");
        }
    }
}
