//! Commands: one folder a noun, one file a verb.
//!
//! Data goes to stdout and everything else to stderr, which is readable without colour.

pub mod ask;
pub mod cluster;
pub mod connection;
pub mod controller;
pub mod crd;
pub mod hint;
pub mod interrupt;
pub mod listen;
pub mod local;
pub mod logging;
pub mod logs;
pub mod output;
pub mod policy;
pub mod progress;
pub mod records;
pub mod snippet;
pub mod style;
pub mod version;
pub mod words;

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

/// Exit status after an interrupt, as a shell gives it: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Parser)]
#[command(
    name = "landfall",
    version,
    about = "Runs Argo Workflows whose steps may run in other clusters, each pod allowed first by policy modules",
    after_help = "Examples:\n  landfall local run manifests/examples/multi-cluster.yaml\n  landfall local up\n  landfall policy test policies/*\n  landfall crd | kubectl apply --server-side -f -"
)]
struct Landfall {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller: in a cluster, or from outside with a kubeconfig
    Controller(controller::Arguments),
    /// The clusters that steps may run in beside the one of the controller
    #[command(
        subcommand,
        after_help = "Examples:\n  landfall cluster add other my-context --target-namespace argo\n  landfall cluster list\n  landfall cluster check other"
    )]
    Cluster(cluster::Command),
    /// Show what the pods of a workflow print, in whichever clusters they are
    Logs(logs::Arguments),
    /// Clusters in this process, for a laptop and for tests
    #[command(
        subcommand,
        after_help = "Examples:\n  landfall local run manifests/examples/multi-cluster.yaml\n  landfall local up --cluster other"
    )]
    Local(local::Command),
    /// Work on policy modules
    #[command(
        subcommand,
        after_help = "Examples:\n  landfall policy test policies/images\n  landfall policy run manifests/examples/multi-cluster-denied.yaml\n  landfall policy explain manifests/examples/multi-cluster-denied.yaml"
    )]
    Policy(policy::Command),
    /// Print the custom resource definitions
    Crd(crd::Arguments),
    /// Print the version
    Version(version::Arguments),
}

/// How a command ended that did what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Done,
    /// What was run did not succeed; that has been said.
    Unsuccessful,
    /// It was interrupted, and has tidied up.
    Interrupted,
}

/// The program behind the command line. Everything is printed by the time that it returns.
pub fn main() -> ExitCode {
    match run(Landfall::parse().command) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Unsuccessful) => ExitCode::FAILURE,
        Ok(Outcome::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            // Whoever closed stderr doesn't want to know.
            drop(write!(anstream::stderr(), "{}", hint::render(&error)));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Controller(arguments) => threads()?.block_on(controller::run(arguments)),
        Command::Cluster(command) => threads()?.block_on(cluster::run(command)),
        Command::Logs(arguments) => threads()?.block_on(logs::run(arguments)),
        Command::Local(command) => threads()?.block_on(local::run(command)),
        Command::Policy(command) => policy::run(&command),
        Command::Crd(arguments) => crd::run(&arguments).map(|()| Outcome::Done),
        Command::Version(arguments) => version::run(&arguments).map(|()| Outcome::Done),
    }
}

fn threads() -> anyhow::Result<tokio::runtime::Runtime> {
    Builder::new_multi_thread().enable_all().build().context("starting the threads")
}
