//! Shows a run: lines as they come and, on a terminal, the tree below them, redrawn in place.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use crate::{
    api::{ids::ClusterName, workflow::Workflow},
    cli::local::tree,
};

/// Lines of the tree that are redrawn. More would scroll away what is above on a usual terminal; the last tree is whole.
const LIVE_LINES_MAX: usize = 20;

/// Where a run is shown.
pub enum Display {
    /// A person looks: stdout is a terminal.
    Live {
        /// The tree.
        tree: ProgressBar,
    },
    /// A file, a pipe, a program: plain lines on stdout.
    Stdout,
    /// As stdout is for data, plain lines on stderr.
    Stderr,
}

impl Display {
    /// The one that fits; `data` says that stdout is for data.
    pub fn new(data: bool) -> Display {
        if data {
            return Display::Stderr;
        }
        if !io::stdout().is_terminal() {
            return Display::Stdout;
        }
        let style = ProgressStyle::with_template("{msg}").expect("the template is a constant that is well formed");
        let tree = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout()).with_style(style);
        Display::Live { tree }
    }

    /// Adds a line. Nobody reading any more is no error: the workflow goes on to its end.
    pub fn line(&self, line: &str) {
        match self {
            Display::Live { tree } => tree.suspend(|| drop(writeln!(io::stdout(), "{line}"))),
            Display::Stdout => drop(writeln!(io::stdout(), "{line}")),
            Display::Stderr => drop(writeln!(io::stderr(), "{line}")),
        }
    }

    /// Adds a line about a node, where no tree shows the same.
    pub fn change(&self, line: &str) {
        match self {
            Display::Live { .. } => (),
            Display::Stdout | Display::Stderr => self.line(line),
        }
    }

    /// Redraws the tree, where it is redrawn.
    pub fn draw(&self, workflow: &Workflow, home: &ClusterName) {
        match self {
            Display::Live { tree } => tree.set_message(shortened(&tree::render(workflow, home, Timestamp::now()))),
            Display::Stdout | Display::Stderr => (),
        }
    }

    /// Ends the redrawing and shows the tree as it stays.
    pub fn finish(&self, workflow: &Workflow, home: &ClusterName) {
        if let Display::Live { tree } = self {
            tree.finish_and_clear();
        }
        self.line(&format!("\n{}", tree::render(workflow, home, Timestamp::now())));
    }
}

/// The tree, without what is done if it is long.
fn shortened(tree: &str) -> String {
    let lines: Vec<_> = tree.lines().collect();
    if lines.len() <= LIVE_LINES_MAX {
        return lines.join("\n");
    }
    let open = lines.iter().filter(|line| !line.contains(['✔', '○']));
    let shown: Vec<_> = open.take(LIVE_LINES_MAX).copied().collect();
    format!("{}\n… {} more lines", shown.join("\n"), lines.len() - shown.len())
}
