//! `landfall crd`: the custom resource definitions.

use clap::Args;
use serde_json::json;

use crate::{
    api::crd,
    cli::output::{self, Format},
};

/// Flags of `landfall crd`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall crd | kubectl apply --server-side -f -\n  landfall crd -o json | jq '.items[].metadata.name'"
)]
pub struct Arguments {
    /// How to print them: text is YAML
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Prints all CRDs, as several YAML documents or as one JSON list.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match arguments.output {
        Format::Text => {
            let documents: Vec<_> = crd::files().into_iter().map(|(_, text)| text).collect();
            output::text_to_stdout(&documents.join("---\n"))
        }
        Format::Json => output::json(&json!({ "apiVersion": "v1", "kind": "List", "items": crd::documents() })),
    }
}
