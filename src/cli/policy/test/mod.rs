//! `landfall policy test`: does the module answer as its suite says?

mod json;
mod junit;
mod suites;
mod text;
mod watch;

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use crate::{
    author::suite::{
        Suite, SuiteError,
        run::{self, Report},
        snapshot,
    },
    cli::{
        Outcome,
        output::{self, Format},
    },
    policy::host::Host,
};

/// Flags of `landfall policy test`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall policy test\n  landfall policy test policies/*\n  landfall policy test policies/images --filter tenants\n  landfall policy test --watch\n  landfall policy test policies/* --junit report.xml\n\nExit status: 0 if every answer is as expected, 1 if not."
)]
pub struct Arguments {
    /// Policy folders, or suites (cases.yaml); of a folder without a suite, the folders in it
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// Ask only what has this text in its name
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Write what every question was answered to cases.snapshot; later runs compare it word for word
    #[arg(long, conflicts_with_all = ["filter", "watch"])]
    update: bool,
    /// Run again whenever the module or its suite changes, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Write the results as JUnit XML as well
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// How to print the results
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// A suite and what came of it.
struct Tested {
    /// The suite, as it was named.
    path: PathBuf,
    outcome: Ended,
}

/// How a suite ended.
enum Ended {
    /// Everything was asked.
    Ran { suite: Box<Suite>, report: Report, snapshot: Snapshot },
    /// There is no suite, or it has no module.
    Unread(SuiteError),
    /// Nothing could be asked, or the snapshot couldn't be used: what, and what to do.
    Failed { what: String, hint: Option<String> },
}

/// What is with the snapshot.
enum Snapshot {
    /// It is as before, or there is none.
    Same,
    /// What it was and what it would be.
    Differs { before: String, now: String },
    /// It was written anew.
    Written,
}

/// Runs the suites and prints what came of them.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let host = Host::new()?;
    if arguments.watch {
        return watch::run(&host, arguments);
    }
    let paths = suites::find(&arguments.paths)?;
    Ok(if round(&host, arguments, &paths)? { Outcome::Done } else { Outcome::Unsuccessful })
}

/// Runs all suites once and prints. Whether everything was as expected.
fn round(host: &Arc<Host>, arguments: &Arguments, paths: &[PathBuf]) -> anyhow::Result<bool> {
    let mut all = Vec::new();
    for path in paths {
        let tested = Tested { path: path.clone(), outcome: test(host, arguments, path) };
        if arguments.output == Format::Text {
            output::text_to_stdout(&text::suite(&tested))?;
        }
        all.push(tested);
    }
    match arguments.output {
        Format::Text => output::text_to_stdout(&text::summary(&all))?,
        Format::Json => output::json(&json::results(&all))?,
    }
    if let Some(file) = &arguments.junit {
        junit::write(file, &all)?;
    }
    Ok(all.iter().all(Tested::is_good))
}

fn test(host: &Host, arguments: &Arguments, path: &std::path::Path) -> Ended {
    let suite = match Suite::read(path) {
        Ok(suite) => Box::new(suite),
        Err(error) => return Ended::Unread(error),
    };
    let report = match run::run(host, &suite, arguments.filter.as_deref()) {
        Ok(report) => report,
        Err(error) => {
            let name = suite
                .subject
                .file
                .as_ref()
                .map_or_else(|| suite.subject.name.clone(), |file| file.display().to_string());
            return Ended::Failed { what: format!("{name}: {error}"), hint: error.hint().map(str::to_owned) };
        }
    };
    let snapshot = if arguments.update {
        snapshot::update(&suite.file, &report).map(|changed| if changed { Snapshot::Written } else { Snapshot::Same })
    } else {
        snapshot::compare(&suite.file, &report).map(|difference| match difference {
            None => Snapshot::Same,
            Some((before, now)) => Snapshot::Differs { before, now },
        })
    };
    match snapshot {
        Ok(snapshot) => Ended::Ran { suite, report, snapshot },
        Err(error) => {
            let what = format!("{}: {error}", snapshot::file_of(&suite.file).display());
            Ended::Failed { what, hint: None }
        }
    }
}

impl Tested {
    fn is_good(&self) -> bool {
        match &self.outcome {
            Ended::Ran { report, snapshot, .. } => {
                report.failed().next().is_none() && !matches!(snapshot, Snapshot::Differs { .. })
            }
            Ended::Unread(_) | Ended::Failed { .. } => false,
        }
    }
}
