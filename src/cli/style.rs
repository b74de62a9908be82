//! Colour, for whoever reads on a terminal. What is printed reads the same without it: streams take it out where nobody
//! sees it, or nobody wants it (`NO_COLOR`).

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

/// All is well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// It is not.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// It may not be.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// What to do about it.
pub const HINT: Style = AnsiColor::Cyan.on_default().bold();
/// Look here first.
pub const STRONG: Style = Style::new().bold();
/// Look here last.
pub const FAINT: Style = Style::new().dimmed();

/// The text in that style.
pub fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// How long something took, in the unit that it is best read in.
pub fn time(nanoseconds: u64) -> String {
    match nanoseconds {
        0..10_000_000 => format!("{}.{} µs", nanoseconds / 1000, nanoseconds / 100 % 10),
        10_000_000..10_000_000_000 => format!("{} ms", nanoseconds / 1_000_000),
        _ => format!("{} s", nanoseconds / 1_000_000_000),
    }
}
