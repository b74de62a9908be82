//! `landfall local`: clusters in this process, with the controller; and pods of other clusters as processes.

mod display;
pub mod files;
mod images;
pub mod lines;
mod logs;
pub mod names;
pub mod node;
pub mod run;
pub mod span;
pub mod tree;
pub mod up;
mod world;

use clap::Subcommand;

use crate::cli::Outcome;

/// Commands of `landfall local`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one workflow in clusters that live in this process, and show what it does
    Run(run::Arguments),
    /// Keep clusters running, with the controller, for kubectl and other clients
    Up(up::Arguments),
    /// Be a node of a cluster, whose pods run as processes of this machine
    Node(node::Arguments),
}

/// Runs the command.
pub async fn run(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Run(arguments) => run::run(arguments).await,
        Command::Up(arguments) => up::run(arguments).await,
        Command::Node(arguments) => node::run(arguments).await,
    }
}
