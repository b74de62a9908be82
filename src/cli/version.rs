//! `landfall version`.

use clap::Args;
use serde::Serialize;

use crate::cli::output::{self, Format};

/// The version of Argo Workflows whose fields, node IDs and messages are ours too.
const ARGO_VERSION: &str = "v4.1.2";

/// Flags of `landfall version`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  landfall version\n  landfall version -o json")]
pub struct Arguments {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Serialize)]
struct Version {
    landfall: &'static str,
    argo: &'static str,
}

/// Prints the versions.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let version = Version { landfall: env!("CARGO_PKG_VERSION"), argo: ARGO_VERSION };
    match arguments.output {
        Format::Text => {
            output::text_to_stdout(&format!("landfall {}, after Argo Workflows {}\n", version.landfall, version.argo))
        }
        Format::Json => output::json(&version),
    }
}
