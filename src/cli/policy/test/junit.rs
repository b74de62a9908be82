//! Results as JUnit XML, which CI systems show.

use std::{fs, path::Path};

use anyhow::Context;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::cli::policy::test::{Ended, Snapshot, Tested};

/// Writes the file.
///
/// # Errors
/// It can't be written.
pub fn write(file: &Path, all: &[Tested]) -> anyhow::Result<()> {
    let mut report = Report::new("landfall policy test");
    for tested in all {
        report.add_test_suite(suite(tested));
    }
    let text = report.to_string().context("writing JUnit XML")?;
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

fn suite(tested: &Tested) -> TestSuite {
    let path = tested.path.display().to_string();
    let mut suite = TestSuite::new(path.as_str());
    let failed = |kind: NonSuccessKind, what: &str| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(what);
        status
    };
    let case = |name: &str, status: TestCaseStatus| {
        let mut case = TestCase::new(name, status);
        case.set_classname(path.as_str());
        case
    };
    match &tested.outcome {
        Ended::Unread(error) => {
            suite.add_test_case(case("suite", failed(NonSuccessKind::Error, &error.to_string())));
        }
        Ended::Failed { what, .. } => {
            suite.add_test_case(case("suite", failed(NonSuccessKind::Error, what)));
        }
        Ended::Ran { report, snapshot, .. } => {
            suite.set_time(report.took);
            for result in &report.results {
                let status = match &result.problem {
                    None => TestCaseStatus::success(),
                    Some(problem) => failed(NonSuccessKind::Failure, &format!("{problem}, found {}", result.said)),
                };
                let mut case = case(&result.name, status);
                case.set_time(result.took);
                suite.add_test_case(case);
            }
            if matches!(snapshot, Snapshot::Differs { .. }) {
                let status = failed(NonSuccessKind::Failure, "the answers are not those of the snapshot");
                suite.add_test_case(case("snapshot", status));
            }
        }
    }
    suite
}
