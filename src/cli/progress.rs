//! Tells whoever waits at a terminal how far it is. What is done soon says nothing.

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shorter waits need no explanation.
const PATIENCE: Duration = Duration::from_secs(2);

/// A line on stderr that is redrawn and, in the end, taken away.
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
}

impl Progress {
    /// Begins to wait.
    pub fn new() -> Progress {
        let target =
            if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{msg}").expect("the template is a constant that is well formed");
        Progress { bar: ProgressBar::with_draw_target(None, target).with_style(style), start: Instant::now() }
    }

    /// How far it is.
    pub fn say(&self, text: impl FnOnce() -> String) {
        if self.start.elapsed() > PATIENCE && !self.bar.is_hidden() {
            self.bar.set_message(text());
        }
    }
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
