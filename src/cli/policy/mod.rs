//! `landfall policy`: work on policy modules without a cluster.

pub mod check;

use clap::Subcommand;

/// Commands of `landfall policy`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load a policy module as the controller would, and say what it is and how fast it decides
    Check(check::Arguments),
}

/// Runs the command.
pub fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Check(arguments) => check::run(arguments),
    }
}
