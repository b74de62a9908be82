//! `landfall policy`: work on policy modules without a cluster.

mod asking;
pub mod bench;
pub mod build;
pub mod check;
pub mod cover;
pub mod explain;
pub mod new;
pub mod run;
pub mod test;
pub mod diff;
pub mod fuzz;
mod opened;
pub mod replay;

use clap::Subcommand;

use crate::cli::Outcome;

/// Commands of `landfall policy`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Begin a policy module: a folder that builds as it is, with cases
    New(new::Arguments),
    /// Build a policy folder into the component that the controller loads
    Build(build::Arguments),
    /// Load a policy module as the controller would, and say what it is and how fast it decides
    Check(check::Arguments),
    /// Put a request, or every pod of a workflow, to policy modules, and show the decisions
    Run(run::Arguments),
    /// Say why a request is decided as it is
    Explain(explain::Arguments),
    /// Put the questions of a suite to a policy module, and compare the answers
    Test(test::Arguments),
    /// Show what of a module's code runs in its suite, and which settings no case depends on
    Cover(cover::Arguments),
    /// Measure what decisions take, and compare it with an earlier run
    Bench(bench::Arguments),
    /// Show which decisions differ between two versions of a policy, the loosened ones first
    Diff(diff::Arguments),
    /// Try whether a policy module keeps the laws that every module should, with generated settings and requests
    Fuzz(fuzz::Arguments),
    /// Make recorded decisions again, and compare them bit for bit
    Replay(replay::Arguments),
}

/// Runs the command.
pub fn run(command: &Command) -> anyhow::Result<Outcome> {
    match command {
        Command::New(arguments) => new::run(arguments).map(|()| Outcome::Done),
        Command::Build(arguments) => build::run(arguments).map(|()| Outcome::Done),
        Command::Check(arguments) => check::run(arguments).map(|()| Outcome::Done),
        Command::Run(arguments) => run::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::Cover(arguments) => cover::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Diff(arguments) => diff::run(arguments),
        Command::Fuzz(arguments) => fuzz::run(arguments),
        Command::Replay(arguments) => replay::run(arguments),
    }
}

/// Reads `80%`, `80` or `0.5`.
///
/// # Errors
///
/// It is no such number.
pub fn percent(text: &str) -> Result<f64, String> {
    let number: Result<f64, _> = text.strip_suffix('%').unwrap_or(text).parse();
    number
        .ok()
        .filter(|percent| percent.is_finite() && *percent >= 0.0)
        .ok_or_else(|| format!("{text:?} is not a percentage, such as 80%"))
}
