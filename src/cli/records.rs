//! The flags that say where decision records go.

use std::{convert::Infallible, path::PathBuf, str::FromStr};

use clap::Args;

use crate::policy::{recorder::Sink, rotation::Limits};

/// Bytes of a megabyte, as disks count.
const MEGABYTE: u64 = 1_000_000;
/// One file: some hundred thousand decisions.
const MEGABYTES: u64 = 100;
/// So half a gigabyte in all.
const FILES: u16 = 5;

/// For a daemon. They go to stdout unless told otherwise: who is asked what was allowed has an answer without having
/// prepared for the question, and the log is on stderr, so nothing else is there.
#[derive(Debug, Args)]
pub struct Records {
    /// Where each decision of policy is recorded, as a line of JSON: off, stdout, or a file, which is added to
    #[arg(long, value_name = "off|stdout|FILE", default_value = "stdout")]
    decision_records: Destination,
    /// How large the file may get before a new one is begun
    #[arg(long, value_name = "NUMBER", default_value_t = MEGABYTES, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    decision_records_max_megabytes: u64,
    /// How many files are kept, the older ones as FILE.1, FILE.2 and so on
    #[arg(long, value_name = "NUMBER", default_value_t = FILES, value_parser = clap::value_parser!(u16).range(1..))]
    decision_records_files: u16,
}

#[derive(Clone, Debug)]
enum Destination {
    Off,
    Stdout,
    File(PathBuf),
}

impl FromStr for Destination {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Destination, Infallible> {
        Ok(match text {
            "off" => Destination::Off,
            "stdout" => Destination::Stdout,
            path => Destination::File(path.into()),
        })
    }
}

impl Records {
    /// What policy is told.
    pub fn sink(&self) -> Sink {
        match &self.decision_records {
            Destination::Off => Sink::Off,
            Destination::Stdout => Sink::Stdout,
            Destination::File(path) => Sink::File {
                path: path.clone(),
                limits: Limits {
                    bytes: self.decision_records_max_megabytes * MEGABYTE,
                    files: self.decision_records_files.into(),
                },
            },
        }
    }
}

/// For a command whose stdout is taken: to a file, if one is given.
pub fn to_file(path: Option<PathBuf>) -> Sink {
    match path {
        None => Sink::Off,
        Some(path) => Sink::File { path, limits: Limits { bytes: MEGABYTES * MEGABYTE, files: FILES.into() } },
    }
}
