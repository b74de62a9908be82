//! `landfall logs`: what the pods of a workflow print, in whichever clusters they are, through the controller.
//!
//! Who may read the logs of the workflow's namespace at home needs no access to the other clusters: the controller checks
//! that right, and reads the rest itself.

mod reach;
pub mod serve;
mod show;

use std::{path::PathBuf, time::Duration};

use anstream::ColorChoice;
use anyhow::Context;
use clap::Args;
use futures::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use jiff::Timestamp;

use crate::{
    api::ids::Namespace,
    cli::{Outcome, connection::Connection, hint, local::span, logging, output::Format},
    controller::logs::{item::Item, lines::LINE_BYTES_MAX, wanted::Wanted},
};

/// A line of the answer is no longer: every byte of the text may be written as six, and there is more than the text.
const ANSWER_LINE_BYTES_MAX: usize = 6 * LINE_BYTES_MAX + 16 * 1024;

/// Flags of `landfall logs`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall logs my-workflow -n argo
  landfall logs my-workflow -f --tail 10
  landfall logs my-workflow --node my-workflow.build --since 5m -o json | jq -r .text
  landfall logs my-workflow --address https://127.0.0.1:9443 --insecure-skip-tls-verify

Needed at home: to get pods/log in the workflow's namespace and the workflow, and to get services/proxy \
\"https:landfall-logs:logs\" in the controller's namespace unless --address leads there otherwise. \
Nothing is needed in other clusters.

Exit status: 0 if all was shown, 1 if not.")]
pub struct Arguments {
    /// The workflow
    #[arg(value_name = "WORKFLOW")]
    workflow: String,
    /// The workflow's namespace; that of the kubeconfig's context if not given
    #[arg(short, long)]
    namespace: Option<Namespace>,
    /// Go on until the workflow has ended, with pods as they begin
    #[arg(short, long)]
    follow: bool,
    /// Of each container, so many of the lines that are there
    #[arg(long, value_name = "LINES")]
    tail: Option<u32>,
    /// Only what was printed in this time before now: 90s, 5m, 1h
    #[arg(long, value_name = "TIME", value_parser = span::parse)]
    since: Option<Duration>,
    /// Only what was printed from this time on: 2026-11-24T08:30:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "since")]
    since_time: Option<Timestamp>,
    /// Show when each line was printed, by the clock of the machine that ran it
    #[arg(long)]
    timestamps: bool,
    /// Only of this node, by name, display name or ID, or of this pod
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Only of containers of this name
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// How to print the lines: for people, or one JSON object each
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Print no colours, though a terminal would show them
    #[arg(long)]
    no_color: bool,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    route: Route,
}

/// How the controller is reached.
#[derive(Debug, Args)]
#[group(skip)]
struct Route {
    /// The controller's namespace, where the Service landfall-logs is
    #[arg(long, value_name = "NAMESPACE", default_value = "landfall", conflicts_with = "address")]
    controller_namespace: Namespace,
    /// Where the controller serves logs, instead of by the API server's proxy: https://HOST:PORT
    #[arg(long, value_name = "URL")]
    address: Option<http::Uri>,
    /// The certificates by which the one at --address is checked, as PEM; without it those of the system
    #[arg(long, value_name = "FILE", requires = "address")]
    certificate_authority: Option<PathBuf>,
    /// Don't check who is at --address, which is given your token
    #[arg(long, requires = "address", conflicts_with = "certificate_authority")]
    insecure_skip_tls_verify: bool,
    /// A file with the token to ask with; without it that of the kubeconfig
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Shows them.
///
/// # Errors
/// If the controller can't be reached, or says no, or the answer was cut off.
pub async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    logging::start(logging::Format::Text, logging::QUIET)?;
    if arguments.no_color {
        ColorChoice::Never.write_global();
    }
    let config = arguments.connection.config().await?;
    let namespace = match &arguments.namespace {
        Some(namespace) => namespace.clone(),
        None => config.default_namespace.parse().context("the namespace of the kubeconfig's context")?,
    };
    let seconds = arguments.since.map(|since| since.as_millis().div_ceil(1000).max(1));
    let wanted = Wanted {
        namespace,
        workflow: arguments.workflow,
        follow: arguments.follow,
        tail: arguments.tail.map(i64::from),
        since_seconds: seconds.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX)),
        since_time: arguments.since_time,
        node: arguments.node,
        container: arguments.container,
    };
    let answer = reach::ask(config, &arguments.route, &wanted).await?;
    let mut screen = show::Screen::new(arguments.output, arguments.timestamps);
    pass_on(Box::pin(answer), &mut screen).await
}

async fn pass_on(mut answer: impl AsyncBufRead + Unpin, screen: &mut show::Screen) -> anyhow::Result<Outcome> {
    let mut line = Vec::new();
    let mut is_whole = true;
    loop {
        line.clear();
        let limit = u64::try_from(ANSWER_LINE_BYTES_MAX).unwrap_or(u64::MAX);
        let read = (&mut answer).take(limit).read_until(b'\n', &mut line).await;
        let ending = match read {
            Ok(_) if line.ends_with(b"\n") => None,
            Ok(_) => Some("it ended early".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = ending {
            return Err(hint::error(
                format!("the answer of the controller was cut off: {why}"),
                "ask again; --since leaves out what you have seen",
            ));
        }
        if line == b"\n" {
            continue;
        }
        let item = serde_json::from_slice(&line).context("the answer of the controller can't be read")?;
        match item {
            Item::Line(line) => {
                if !screen.line(&line)? {
                    return Ok(Outcome::Done);
                }
            }
            Item::Problem { problem } => {
                is_whole = false;
                show::problem(&problem);
            }
            Item::End { .. } => return Ok(if is_whole { Outcome::Done } else { Outcome::Unsuccessful }),
        }
    }
}
