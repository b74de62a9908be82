//! Programs of other people that builds need: finding them, their versions, running them, installing them.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::author::build::{BuildError, Language, javascript, python, rust, unusable};

/// What of a tool's output is shown: its last lines say what is wrong.
const OUTPUT_LINES_MAX: usize = 40;

/// The program that builds.
pub struct Tool {
    /// Where it is.
    pub program: PathBuf,
}

/// Installs what a build in `folder` needs, by the commands that are named when it is missing. They talk to the terminal.
pub fn install(folder: &Path, language: Language) -> Result<(), BuildError> {
    let commands: Vec<Vec<String>> = match language {
        Language::Rust => rust::install(),
        Language::JavaScript => javascript::install(folder),
        Language::Python => python::install(folder),
    };
    for command in commands {
        let Some((program, arguments)) = command.split_first() else { continue };
        // Standard output is for what the build made.
        let status = Command::new(program).args(arguments).stdout(io::stderr()).status();
        let status = status.map_err(|error| unusable(Path::new(program), error))?;
        if !status.success() {
            let tool = command.join(" ");
            return Err(BuildError::Tool { tool, status: status.to_string(), output: String::new() });
        }
    }
    Ok(())
}

/// Commands as one line for a shell.
pub fn line(commands: &[Vec<String>]) -> String {
    let words = |command: &Vec<String>| command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    commands.iter().map(words).collect::<Vec<_>>().join(" && ")
}

/// Runs `command` and takes what it prints for its own: it is shown only if it fails.
pub fn run(command: &mut Command) -> Result<(), BuildError> {
    let program = PathBuf::from(command.get_program());
    let output = command.stdin(Stdio::null()).output().map_err(|error| unusable(&program, error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let left_out = lines.len().saturating_sub(OUTPUT_LINES_MAX);
    let mut shown = if left_out > 0 { format!("… {left_out} lines before these\n") } else { String::new() };
    shown += &lines[left_out..].join("\n");
    let tool = program.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Err(BuildError::Tool { tool, status: output.status.to_string(), output: shown })
}

/// The version that a program prints: the first word in its output that begins with a digit, or `v` and one.
pub fn version(program: &Path) -> Option<Version> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().find_map(|word| Version::parse(word.strip_prefix('v').unwrap_or(word)))
}

/// Major and minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64, pub u64);

impl Version {
    /// The first two numbers of `1.2.3`.
    pub fn parse(text: &str) -> Option<Version> {
        let mut numbers = text.split(['.', '-', '+']);
        Some(Version(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

/// A program in `PATH`.
pub fn in_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=@:+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::run;

    #[test]
    fn the_last_lines_of_a_tool_that_fails_are_shown() {
        let error = run(Command::new("sh").args(["-c", "seq 1 50; echo; echo wrong >&2; exit 3"])).unwrap_err();
        let said = error.to_string();
        assert!(said.starts_with("sh ended with exit status: 3:\n… 11 lines before these\n12\n13\n"), "{said}");
        assert!(said.ends_with("\n50\nwrong"), "{said}");
        assert!(run(&mut Command::new("true")).is_ok());
    }
}
