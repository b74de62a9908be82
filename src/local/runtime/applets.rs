//! Small programs that are built into this one: `argosay` of the image `argoproj/argosay`, and `cowsay`, which its version 1 holds.
//!
//! What argosay does is a fact about Argo's `test/e2e/images/argosay`. That a failure ends with 2 is one too: a Go panic does.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::{Context, bail};

/// Exit code of a failure, as of a Go program that panics.
const EXIT_FAILED: u8 = 2;
/// Columns of the cow's speech before a line is broken.
const COLUMNS: usize = 40;

/// The built-in program that a process was started as, by the last part of the path it was started under.
pub fn named(program: &OsStr) -> Option<fn(Vec<OsString>) -> ExitCode> {
    match Path::new(program).file_name()?.to_str()? {
        "argosay" => Some(argosay),
        "cowsay" => Some(cowsay),
        _ => None,
    }
}

fn argosay(words: Vec<OsString>) -> ExitCode {
    let words: Vec<String> = words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    say(&words).unwrap_or_else(|error| {
        eprintln!("argosay: {error:#}");
        ExitCode::from(EXIT_FAILED)
    })
}

fn say(words: &[&str]) -> anyhow::Result<ExitCode> {
    match words {
        [] | ["echo"] => print("hello argo\n".as_bytes())?,
        ["echo", text] => print(format!("{text}\n").as_bytes())?,
        ["echo", text, file] => {
            if let Some(folder) = Path::new(file).parent() {
                fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
            }
            fs::write(file, text).with_context(|| format!("can't write {file}"))?;
        }
        ["cat", files @ ..] => {
            for file in files {
                print(&fs::read(file).with_context(|| format!("can't read {file}"))?)?;
            }
        }
        ["sleep", duration] => thread::sleep(go_duration(duration)?),
        ["exit"] => {}
        ["exit", code] => {
            let code: i64 = code.parse().with_context(|| format!("{code:?} is no exit code"))?;
            // The system keeps the lowest eight bits, as for every program.
            return Ok(ExitCode::from(code.to_le_bytes()[0]));
        }
        ["assert_contains", file, text] => {
            let found = fs::read(file).with_context(|| format!("can't read {file}"))?;
            let found = String::from_utf8_lossy(&found);
            if !found.contains(text) {
                bail!("expected {file:?} to contain {text:?}, but was {found:?}");
            }
        }
        _ => bail!(
            "usage: argosay [assert_contains FILE TEXT | cat [FILE...] | echo [TEXT] [FILE] | sleep DURATION | exit [CODE]]"
        ),
    }
    Ok(ExitCode::SUCCESS)
}

fn print(bytes: &[u8]) -> anyhow::Result<()> {
    io::stdout().write_all(bytes).context("can't print")
}

/// A duration as Go writes it: numbers with units, such as `1m30s` or `1.5h`.
fn go_duration(text: &str) -> anyhow::Result<Duration> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let number: f64 = number.parse().ok().with_context(|| format!("invalid duration {text:?}"))?;
        seconds += number
            * match unit {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => bail!("invalid duration {text:?}"),
            };
        rest = next;
    }
    if text.is_empty() {
        bail!("invalid duration {text:?}");
    }
    Duration::try_from_secs_f64(seconds).with_context(|| format!("invalid duration {text:?}"))
}

fn cowsay(words: Vec<OsString>) -> ExitCode {
    let text = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    match print(cow(&text).as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn cow(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is always a last line");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= COLUMNS {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let mut out = format!(" {}\n", "_".repeat(width + 2));
    for line in &lines {
        out.push_str(&format!("< {line:width$} >\n"));
    }
    out.push_str(&format!(" {}\n", "-".repeat(width + 2)));
    out.push_str("    \\\n     \\  ^__^\n        (oo)____\n        (__)    )\\\n           ||--||\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        let check = |text, expected| assert_eq!(go_duration(text).ok(), expected, "{text}");
        check("0", Some(Duration::ZERO));
        check("100ms", Some(Duration::from_millis(100)));
        check("1m30s", Some(Duration::from_secs(90)));
        check("1.5h", Some(Duration::from_secs(5400)));
        check("", None);
        check("5", None);
        check("s", None);
        check("garbage", None);
        check("999999999999999999999h", None);
    }

    #[test]
    fn a_cow_breaks_long_lines() {
        assert!(cow("hello").starts_with(" _______\n< hello >\n -------\n"));
        assert_eq!(cow(&"moo ".repeat(30)).lines().filter(|line| line.starts_with('<')).count(), 3);
    }

    #[test]
    fn programs_go_by_the_last_part_of_their_path() {
        assert!(named(OsStr::new("/usr/local/bin/argosay")).is_some());
        assert!(named(OsStr::new("cowsay")).is_some());
        assert!(named(OsStr::new("landfall")).is_none());
    }
}
