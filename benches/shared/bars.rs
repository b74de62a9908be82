//! The bars: each is told on a line of its own, and the whole fails where one is missed.

use std::{fmt::Display, process::ExitCode};

/// What was judged so far.
#[derive(Default)]
pub struct Bars {
    /// Since the last part was concluded.
    lines: Vec<String>,
    missed: usize,
}

impl Bars {
    /// Whether what `bar` says was held. It is told at the end of the part, so that tables stay whole.
    pub fn judge(&mut self, bar: impl Display, is_held: bool) {
        self.missed += usize::from(!is_held);
        self.lines.push(format!("bar {bar}: {}", if is_held { "ok" } else { "MISSED" }));
    }

    /// Tells the bars of the part that has ended.
    pub fn tell(&mut self) {
        self.lines.drain(..).for_each(|line| println!("{line}"));
        println!();
    }

    /// A failure, if any was missed.
    pub fn conclude(&self) -> ExitCode {
        match self.missed {
            0 => ExitCode::SUCCESS,
            missed => {
                println!("{missed} bars were MISSED; on a machine that does other work, look at the quiet rounds");
                ExitCode::FAILURE
            }
        }
    }
}
