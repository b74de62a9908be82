//! `landfall policy bench`: what decisions take, and whether that became more.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use crate::{
    author::{
        bench::{self, BenchError, Comparison, Figures, Gate, Row, Stage, Task, Unit},
        origin::Origin,
        question::{Draft, Question},
        subject::Subject,
    },
    cli::{
        Outcome, hint,
        output::{self, Format},
        policy::{cover, opened, percent},
        progress::Progress,
        style::{BAD, FAINT, GOOD, STRONG, styled, time},
        words,
    },
    policy::request::Request,
};

/// Flags of `landfall policy bench`.
#[derive(Debug, Args)]
#[command(
    after_help = "Fuel counts instructions; it and memory are the same on every machine and in every run, so a gate on them never fails by\nchance. Times depend on the machine: they are shown, and gate only with --max-time-regress.\n\nExamples:\n  landfall policy bench policies/images\n  landfall policy bench policies/images --save bench.json\n  landfall policy bench policies/images --compare bench.json --max-regress 5%\n  landfall policy bench policies/images --settings images.yaml --request request.yaml\n\nExit status: 0 if nothing became more than is let pass, 1 if something did."
)]
pub struct Arguments {
    /// A policy folder or its suite, whose questions are asked; or with --request a .wasm file or `builtin`
    #[arg(default_value = ".")]
    subject: PathBuf,
    /// The suite, if it is not the folder's
    #[arg(long, value_name = "FILE", conflicts_with = "request")]
    suite: Option<PathBuf>,
    /// What the module is configured with, as YAML or JSON, in place of what the suite says
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Ask this one request, as YAML or JSON, instead of a suite
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// How long decisions are timed
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// Write the figures to this file, for a later --compare
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Compare with figures that --save has written
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// How much more fuel, memory and size may be than before
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent, requires = "compare")]
    max_regress: f64,
    /// How much longer times may be than before; without this they don't gate
    #[arg(long, value_name = "PERCENT", value_parser = percent, requires = "compare")]
    max_time_regress: Option<f64>,
    /// How to print the figures
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// What to measure.
struct Work {
    subject: Subject,
    /// Where the settings stand that all questions are given.
    origin: Origin,
    /// By name.
    questions: Vec<(String, Arc<serde_json::Value>, Request)>,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    figures: &'a Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<&'a Comparison>,
}

/// Measures, compares, prints and saves.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    // A file that can't be used is told before anything takes long.
    let old = arguments.compare.as_deref().map(|file| read_figures(file, &arguments.subject)).transpose()?;
    if let Some(file) = &arguments.save {
        opened::writable(file)?;
    }
    let work = work(arguments)?;
    let figures = measure(&work, arguments.seconds)?;
    let gate = Gate { exact: arguments.max_regress, times: arguments.max_time_regress };
    let comparison = old.map(|old| bench::compare(&old, &figures, gate));
    match arguments.output {
        Format::Text => output::text_to_stdout(&text(&figures, comparison.as_ref()))?,
        Format::Json => output::json(&Report { figures: &figures, comparison: comparison.as_ref() })?,
    }
    if let Some(file) = &arguments.save {
        let mut text = serde_json::to_string_pretty(&figures).context("writing JSON")?;
        text.push('\n');
        fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    let regressed = comparison.is_some_and(|comparison| comparison.regressed().next().is_some());
    Ok(if regressed { Outcome::Unsuccessful } else { Outcome::Done })
}

fn measure(work: &Work, length: Duration) -> anyhow::Result<Figures> {
    let Work { subject, questions, origin } = work;
    let tasks: Vec<Task<'_>> = questions
        .iter()
        .map(|(name, settings, request)| Task { name, settings: Arc::clone(settings), request })
        .collect();
    let progress = Progress::new();
    let figures = bench::bench((&subject.name, &subject.bytes), &tasks, length, &mut |stage| {
        progress.say(|| match stage {
            Stage::Loading => "loading".to_owned(),
            Stage::Counting => "counting instructions".to_owned(),
            Stage::Timing(elapsed) => format!("timing decisions: {} of {} s", elapsed.as_secs(), length.as_secs()),
        });
    });
    figures.map_err(|error| {
        let name = subject.shown();
        let said = match &error {
            BenchError::Load(error) => origin.refusal(&name, error),
            BenchError::Decision { .. } | BenchError::Nothing | BenchError::Host(_) => format!("{name}: {error}"),
        };
        let advice = match &error {
            BenchError::Load(error) => error.hint(),
            BenchError::Decision { .. } => {
                Some("what a decision takes that never ends says nothing: take the case out, or mend the module")
            }
            BenchError::Nothing | BenchError::Host(_) => None,
        };
        match advice {
            Some(advice) => hint::error(said, advice),
            None => anyhow::anyhow!("{said}"),
        }
    })
}

fn work(arguments: &Arguments) -> anyhow::Result<Work> {
    let (settings, origin) = opened::settings(arguments.settings.as_deref())?.unzip();
    let (settings, origin) = (settings.map(Arc::new), origin.unwrap_or(Origin::None));
    let Some(request) = &arguments.request else {
        let suite = cover::open(&arguments.subject, arguments.suite.as_deref())?;
        let with =
            |question: Question| (question.name, settings.clone().unwrap_or(question.settings), question.request);
        return Ok(Work { questions: suite.questions.into_iter().map(with).collect(), subject: suite.subject, origin });
    };
    let subject = opened::subject(&arguments.subject)?;
    let draft = Draft::read_file(request)?;
    let name = request.file_name().map_or_else(|| "request".to_owned(), |name| name.to_string_lossy().into_owned());
    let request = draft.finish().map_err(|missing| anyhow::anyhow!("{}: {missing}", request.display()))?;
    let settings = settings.unwrap_or_else(|| Arc::new(serde_json::json!({})));
    Ok(Work { subject, questions: vec![(name, settings, request)], origin })
}

fn read_figures(file: &Path, subject: &Path) -> anyhow::Result<Figures> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_json::from_str(&text).map_err(|error| {
        hint::error(
            format!("{}: not what --save writes: {error}", file.display()),
            format!("write it anew: landfall policy bench {} --save {}", words::quoted(subject), words::quoted(file)),
        )
    })
}

/// Reads `10` or `0.5`.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is not a number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn text(figures: &Figures, comparison: Option<&Comparison>) -> String {
    let Figures { exact, times, .. } = figures;
    let count = exact.decision_fuel.len();
    let mut text = format!("{}  {}\n\n", styled(STRONG, &figures.module), styled(FAINT, format!("{count} questions")));
    let most = exact.most_fuel().map(|(name, fuel)| format!("{} most, {name:?}", grouped(fuel))).unwrap_or_default();
    text += &format!(
        "fuel       {} a decision, {most}; {} to configure\n",
        grouped(exact.mean_fuel()),
        grouped(exact.configure_fuel)
    );
    text += &format!(
        "memory     {} a decision, {} after configure\n",
        bytes(exact.decision_memory_bytes),
        bytes(exact.configure_memory_bytes)
    );
    text += &format!("size       {}\n", bytes(figures.size_bytes));
    text += &format!(
        "decisions  {} p50, {} p99 {}\n",
        time(times.p50_nanoseconds),
        time(times.p99_nanoseconds),
        styled(FAINT, format!("of {} fresh ones", grouped(times.samples as u64)))
    );
    text += &format!(
        "load       {} to compile, {} to configure\n",
        time(times.compile_nanoseconds),
        time(times.configure_nanoseconds)
    );
    if let Some(reason) = &figures.no_snapshot_because {
        text += &format!("\nnote: configured for each decision, because {reason}\n");
    }
    if figures.left_out > 0 {
        text += &format!(
            "\nnote: {} questions were left out; {} and {} settings are the most\n",
            figures.left_out,
            bench::QUESTIONS_MAX,
            bench::SETTINGS_MAX
        );
    }
    text + &comparison.map(compared).unwrap_or_default()
}

fn compared(comparison: &Comparison) -> String {
    let shown: Vec<[String; 4]> = comparison.rows.iter().map(cells).collect();
    let heads = ["", "old", "new", "ratio"].map(str::to_owned);
    let width = |column: usize| {
        shown.iter().chain([&heads]).map(|cells| cells[column].chars().count()).max().unwrap_or_default()
    };
    let widths = [width(0), width(1), width(2), width(3)];
    let line = |cells: &[String; 4]| {
        let [metric, old, new, ratio] = cells;
        format!("{metric:<0$}  {old:>1$}  {new:>2$}  {ratio:>3$}", widths[0], widths[1], widths[2], widths[3])
    };
    let mut text = format!("\n{}\n", styled(STRONG, line(&heads).trim_end()));
    for (row, cells) in comparison.rows.iter().zip(&shown) {
        let line = line(cells);
        text += &match (row.regressed, row.shown_only) {
            (true, _) => format!("{}\n", styled(BAD, format!("{line}  regressed"))),
            (false, true) => format!("{}\n", styled(FAINT, line)),
            (false, false) => format!("{line}\n"),
        };
    }
    if comparison.only_one > 0 {
        text +=
            &format!("\nnote: {} questions are in only one of the runs, and are not compared\n", comparison.only_one);
    }
    if let Some(version) = &comparison.other_version {
        text += &format!("\nnote: version {version} of landfall measured before: another one can count differently\n");
    }
    let regressed = comparison.regressed().count();
    let verdict = match regressed {
        0 => styled(GOOD, "nothing regressed"),
        1 => styled(BAD, "1 figure regressed"),
        more => styled(BAD, format!("{more} figures regressed")),
    };
    format!("{text}\n{verdict}\n")
}

fn cells(row: &Row) -> [String; 4] {
    let value = |value| match row.unit {
        Unit::Fuel => grouped(value),
        Unit::Bytes => bytes(value),
        Unit::Nanoseconds => time(value),
    };
    let ratio = row.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
    [row.metric.clone(), value(row.old), value(row.new), ratio]
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, grouped};

    #[test]
    fn numbers_can_be_read() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([5, 20 << 10, 20 << 20].map(bytes), ["5 bytes", "20 KiB", "20 MiB"]);
    }
}
