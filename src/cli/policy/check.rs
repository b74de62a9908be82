//! `landfall policy check`: would the controller take this module?

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{
    author::{
        check::{self, Report, Share, Unit},
        stale::Sources,
    },
    cli::{
        hint,
        output::{self, Format},
        style::{BAD, FAINT, STRONG, styled, time},
    },
};

/// Flags of `landfall policy check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall policy check policies/pod-security\n  landfall policy check policies/images --settings images.yaml\n  landfall policy check builtin -o json\n\nExit status: 0 if the controller would take the module, also one that is older than its sources; 1 if not."
)]
pub struct Arguments {
    /// A .wasm file, a policy folder, or `builtin` for the module that evaluates namespaceRoles
    #[arg(default_value = ".")]
    subject: PathBuf,
    /// What the module is configured with, as YAML or JSON; `{}` without it
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// How to print what is found
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Checks the module and prints what was found.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let report =
        check::check(&arguments.subject, arguments.settings.as_deref()).map_err(|error| match error.hint() {
            Some(advice) => hint::error(&error, advice),
            None => anyhow::Error::new(error),
        })?;
    match arguments.output {
        Format::Text => output::text_to_stdout(&text(&report, &arguments.subject)),
        Format::Json => output::json(&report),
    }
}

fn text(report: &Report, subject: &Path) -> String {
    let list = |words: &[String]| if words.is_empty() { "nothing".to_owned() } else { words.join(", ") };
    let how = match &report.no_snapshot_because {
        None => "fresh from a snapshot for each decision".to_owned(),
        Some(reason) => format!("fresh and configured again for each decision, because {reason}"),
    };
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text += &format!("{name:<12}{value}\n");
    line("module", &styled(STRONG, &report.name));
    line("digest", &report.digest);
    if let Some(sources) = report.sources {
        line("sources", &sources_text(sources, subject));
    }
    line("imports", &list(&report.imports));
    line("needs", &list(&report.needs));
    line("runs", &how);
    line("compiled", &format!("in {}", time(report.compile_nanoseconds)));
    line("configured", &format!("in {}, with its snapshot", time(report.configure_nanoseconds)));
    for Share { name, unit, used, limit } in &report.limits {
        let amount = |amount: u64| match unit {
            Unit::Nanoseconds => time(amount),
            Unit::Bytes => size(amount),
        };
        line(name, &format!("{} {}", amount(*used), styled(FAINT, format!("of {}", amount(*limit)))));
    }
    text
}

fn sources_text(sources: Sources, subject: &Path) -> String {
    let build = format!("landfall policy build {}", subject.display());
    match sources {
        Sources::AsBuilt => "as it was built from".to_owned(),
        Sources::Changed => format!("{}: {build}", styled(BAD, "changed since it was built")),
        Sources::Unknown => format!("it doesn't say which it was built from: {build} makes one that does"),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}
