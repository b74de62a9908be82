//! The log of the process, on stderr.

use anyhow::{Context as _, anyhow};
use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// Which environment variable says what is logged, as `info` or `landfall::policy=debug`.
const VARIABLE: &str = "LANDFALL_LOG";
/// What a daemon logs.
pub const NORMAL: &str = "info,kube=warn,tower=warn";
/// What a command logs whose output is for people.
pub const QUIET: &str = "warn,kube=off";

/// Never logged, whatever the environment says: the client shows the whole text of an answer that it can't read, and a Secret
/// or a token that was cut off on its way would stand in the log.
const UNSHOWN: &str = "kube_client::client=error";
/// Nor this by a command, which says itself what went wrong.
const UNSHOWN_QUIET: &str = "kube_client::client=off";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON object a line
    Json,
}

/// Starts the log. `standard` says what is logged if the environment doesn't.
///
/// # Errors
/// If the environment says something that can't be read.
pub fn start(format: Format, standard: &str) -> anyhow::Result<()> {
    let wanted = std::env::var(VARIABLE).unwrap_or_else(|_| standard.to_owned());
    let filter = EnvFilter::try_new(&wanted).map_err(|error| anyhow!("{VARIABLE}={wanted:?}: {error}"))?;
    let unshown = if standard == QUIET { UNSHOWN_QUIET } else { UNSHOWN };
    let filter = filter.add_directive(unshown.parse().context("a directive")?);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    match format {
        Format::Text => log.with_target(false).try_init(),
        Format::Json => log.json().flatten_event(true).try_init(),
    }
    .map_err(|error| anyhow!("starting the log: {error}"))
}
