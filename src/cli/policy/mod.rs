//! `landfall policy`: work on policy modules without a cluster.

mod asking;
pub mod check;
pub mod explain;
pub mod run;
pub mod test;

use clap::Subcommand;

use crate::cli::Outcome;

/// Commands of `landfall policy`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load a policy module as the controller would, and say what it is and how fast it decides
    Check(check::Arguments),
    /// Put a request, or every pod of a workflow, to policy modules, and show the decisions
    Run(run::Arguments),
    /// Say why a request is decided as it is
    Explain(explain::Arguments),
    /// Put the questions of a suite to a policy module, and compare the answers
    Test(test::Arguments),
}

/// Runs the command.
pub fn run(command: &Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Check(arguments) => check::run(arguments).map(|()| Outcome::Done),
        Command::Run(arguments) => run::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Test(arguments) => test::run(arguments),
    }
}
