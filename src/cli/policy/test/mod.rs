//! `landfall policy test`: does the module answer as its suite says?

mod json;
mod junit;
mod suites;
mod text;
mod watch;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;

use crate::{
    author::{
        build::{self, Language},
        stale::{self, Sources},
        subject::SubjectError,
        suite::{
            Suite, SuiteError,
            run::{self, Report},
            snapshot,
        },
    },
    cli::{
        Outcome, hint,
        output::{self, Format},
        policy::opened,
    },
    policy::host::Host,
};

/// Flags of `landfall policy test`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall policy test policies/images\n  landfall policy test policies/*\n  landfall policy test policies/builtin --filter \"team-a -> \"\n  landfall policy test policies/images --watch --build\n  landfall policy test policies/* --junit report.xml\n\nExit status: 0 if every answer is as expected, 1 if not."
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
    /// First build the module, if it is older than its sources or was never built
    #[arg(long)]
    build: bool,
    /// Run again whenever the suite, a pod file that it names, the module or its sources change, until Ctrl-C
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
    if let Some(file) = &arguments.junit {
        opened::writable(file)?;
    }
    let mut all = Vec::new();
    for path in paths {
        let tested = Tested { path: path.clone(), outcome: test(host, arguments, path) };
        if arguments.output == Format::Text && !tested.is_left_out() {
            output::text_to_stdout(&text::suite(&tested))?;
        }
        all.push(tested);
    }
    if let Some(filter) = arguments.filter.as_ref().filter(|_| all.iter().all(Tested::is_left_out)) {
        return Err(nothing_of_that_name(filter, &all));
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

/// A misspelt filter asks nothing, and that nothing is as expected is no good news.
fn nothing_of_that_name(filter: &str, all: &[Tested]) -> anyhow::Error {
    let names = all.iter().filter_map(|tested| match &tested.outcome {
        Ended::Ran { suite, .. } => Some(format!("{} has: {}", suite.file.display(), suite.names_listed())),
        Ended::Unread(_) | Ended::Failed { .. } => None,
    });
    let names: Vec<_> = names.collect();
    hint::error(format!("no case has {filter:?} in its name"), names.join("\n      "))
}

fn test(host: &Host, arguments: &Arguments, path: &Path) -> Ended {
    let mut read = Suite::read(path);
    if arguments.build
        && let Some(folder) = to_build(&read)
    {
        eprintln!("building {} …", folder.display());
        if let Err(error) = build::build(&folder, &build::Options::default(), |_| {}) {
            return Ended::Failed { what: error.to_string(), hint: error.hint() };
        }
        read = Suite::read(path);
    }
    let suite = match read {
        Ok(suite) => Box::new(suite),
        Err(error) => return Ended::Unread(error),
    };
    opened::warn_if_stale(&suite.subject);
    let report = match run::run(host, &suite, arguments.filter.as_deref()) {
        Ok(report) => report,
        Err(error) => {
            let what = format!("{}: {error}", suite.subject.shown());
            return Ended::Failed { what, hint: error.hint().map(str::to_owned) };
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

/// The folder that has to be built before the suite says anything about its sources.
fn to_build(suite: &Result<Suite, SuiteError>) -> Option<PathBuf> {
    match suite {
        Ok(suite) => match stale::sources(&suite.subject) {
            Ok(Some((folder, Sources::Changed | Sources::Unknown))) => Some(folder),
            Ok(Some((_, Sources::AsBuilt)) | None) | Err(_) => None,
        },
        Err(SuiteError::Subject(SubjectError::NotBuilt { folder, .. })) => Language::of(folder).map(|_| folder.clone()),
        Err(_) => None,
    }
}

impl Tested {
    /// The filter left all of it out.
    fn is_left_out(&self) -> bool {
        match &self.outcome {
            Ended::Ran { report, .. } => report.results.is_empty() && report.left_out > 0,
            Ended::Unread(_) | Ended::Failed { .. } => false,
        }
    }

    fn is_good(&self) -> bool {
        match &self.outcome {
            Ended::Ran { report, snapshot, .. } => {
                report.failed().next().is_none() && !matches!(snapshot, Snapshot::Differs { .. })
            }
            Ended::Unread(_) | Ended::Failed { .. } => false,
        }
    }
}
