//! `landfall cluster`: the clusters that steps may run in beside home.
//!
//! What each command knows of a cluster comes from the Secret `clusters` at home, as the controller reads it. No command
//! prints a credential.

pub mod abandon;
pub mod add;
mod apply;
pub mod check;
pub mod confirm;
mod findings;
mod grid;
mod home;
pub mod list;
mod next_steps;
mod places;
pub mod remove;
pub mod rotate;
mod secret;
mod target;
mod token;
mod workflows;

use clap::Subcommand;

use crate::cli::{Outcome, logging};

/// Commands of `landfall cluster`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Let steps run in another cluster: make there what the controller needs, and store at home how it is reached
    Add(add::Arguments),
    /// Show the clusters, and how they are
    List(list::Arguments),
    /// Try whether the controller can do in a cluster all that it needs, and say what to mend
    Check(check::Arguments),
    /// Give the controller a new token for a cluster
    Rotate(rotate::Arguments),
    /// Forget a cluster
    Remove(remove::Arguments),
    /// Accept that another cluster stands behind a name
    Confirm(confirm::Arguments),
    /// Give up pods in a cluster that does not come back, so that workflows that wait for it can be deleted
    Abandon(abandon::Arguments),
}

/// Runs the command.
///
/// # Errors
/// What kept it from doing what it was told.
pub async fn run(command: Command) -> anyhow::Result<Outcome> {
    logging::start(logging::Format::Text, logging::QUIET)?;
    match command {
        Command::Add(arguments) => add::run(arguments).await,
        Command::List(arguments) => list::run(arguments).await,
        Command::Check(arguments) => check::run(arguments).await,
        Command::Rotate(arguments) => rotate::run(arguments).await,
        Command::Remove(arguments) => remove::run(arguments).await,
        Command::Confirm(arguments) => confirm::run(arguments).await,
        Command::Abandon(arguments) => abandon::run(arguments).await,
    }
}
