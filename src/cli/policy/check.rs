//! `landfall policy check`: would the controller take this module?

use std::path::PathBuf;

use clap::Args;

use crate::{
    author::subject,
    cli::{
        hint,
        output::{self, Format},
    },
    policy::check::{self, Report},
};

/// Flags of `landfall policy check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall policy check deny-all.wasm\n  landfall policy check images.wasm --settings images.yaml\n  landfall policy check builtin -o json\n\nExit status: 0 if the controller would take the module, 1 if not."
)]
pub struct Arguments {
    /// The component, the policy folder that it is in, or `builtin` for the module that evaluates namespaceRoles
    file: PathBuf,
    /// What the module is configured with, as YAML or JSON; `{}` without it
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// How to print what is found
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Checks the module and prints what was found.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let component = match arguments.file.is_dir() {
        true => subject::component_of(&arguments.file).map_err(anyhow::Error::new)?,
        false => arguments.file.clone(),
    };
    let report = check::check(&component, arguments.settings.as_deref()).map_err(|error| match error.hint() {
        Some(advice) => hint::error(&error, advice),
        None => anyhow::Error::new(error),
    })?;
    match arguments.output {
        Format::Text => output::text_to_stdout(&text(&report)),
        Format::Json => output::json(&report),
    }
}

fn text(report: &Report) -> String {
    let list = |words: &[String]| if words.is_empty() { "nothing".to_owned() } else { words.join(", ") };
    let how = match &report.no_snapshot_because {
        None => "fresh from a snapshot for each decision".to_owned(),
        Some(reason) => format!("fresh and configured again for each decision, because {reason}"),
    };
    format!(
        "module      {}\nsize        {} bytes\ndigest      {}\nimports     {}\nneeds       {}\nruns        {how}\ncompiled    in {}\nconfigured  in {}\ndecides     in {} (median)\n",
        report.name,
        report.size,
        report.digest,
        list(&report.imports),
        list(&report.needs),
        time(report.compile_nanoseconds),
        time(report.configure_nanoseconds),
        time(report.decision_nanoseconds),
    )
}

fn time(nanoseconds: u64) -> String {
    match nanoseconds {
        0..10_000_000 => format!("{}.{} µs", nanoseconds / 1000, nanoseconds / 100 % 10),
        _ => format!("{} ms", nanoseconds / 1_000_000),
    }
}
