//! Modules in JavaScript and Python: their WebAssembly is an interpreter, whose branches say nothing of the policy. So the
//! sources are run on this machine by Node.js or Python, asked the same questions, and watched by what these have for it.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;
use serde_json::json;

use crate::author::{
    build::{self, Language},
    cover::{Code, CoverError, MissedFunction, MissedLines, Place, Share},
    question::{Expected, Question},
    suite::Suite,
};

const JAVASCRIPT: &str = include_str!("run.mjs");
const PYTHON: &str = include_str!("run.py");

/// What a runner tells.
#[derive(Deserialize)]
struct Told {
    runtime: String,
    functions: Vec<Ran>,
    blocks: Vec<Ran>,
    lines: Vec<Ran>,
    answers: Vec<String>,
    refused: Vec<bool>,
}

/// A function, a block or a line.
#[derive(Deserialize)]
struct Ran {
    file: String,
    line: u32,
    #[serde(default)]
    name: String,
    ran: bool,
}

/// Runs the suite on the sources in `folder`.
///
/// # Errors
///
/// There is nothing that runs them, or it doesn't end as it should.
pub fn code(folder: &Path, language: Language, suite: &Suite) -> Result<Code, CoverError> {
    let folder = folder.canonicalize().map_err(|error| unusable(folder, error))?;
    let (program, runner) = match language {
        Language::JavaScript => (PathBuf::from("node"), ("run.mjs", JAVASCRIPT)),
        Language::Python => (build::interpreter(&folder), ("run.py", PYTHON)),
        Language::Rust => return Err(CoverError::Runner("a module in Rust is no script".to_owned())),
    };
    let entry = build::entry(&folder, language).map_err(|error| CoverError::Build(Box::new(error)))?;
    let mut groups: Vec<serde_json::Value> = Vec::new();
    let mut places: Vec<&Question> = Vec::new();
    for questions in suite.questions.chunk_by(|one, other| one.settings == other.settings) {
        let requests: Vec<_> = questions.iter().map(asked).collect();
        groups.push(json!({ "settings": *questions[0].settings, "requests": requests }));
        places.extend(questions);
    }
    let refusals: Vec<_> = suite.refusals.iter().map(|refusal| &*refusal.settings).collect();
    let input = json!({ "folder": folder, "entry": entry, "refusals": refusals, "groups": groups });
    let told: Told = serde_json::from_slice(&run(&program, runner, &input.to_string())?)
        .map_err(|error| CoverError::Runner(format!("{}: {error}", program.display())))?;
    Ok(judge(&told, suite, &places))
}

/// A question as the runner reads it, with the pod as the text that a module is given.
fn asked(question: &Question) -> serde_json::Value {
    let mut request = serde_json::to_value(&question.request).unwrap_or_default();
    if let (Some(fields), Some(pod)) = (request.as_object_mut(), &question.request.pod) {
        fields.insert("pod".to_owned(), pod.as_str().into());
    }
    request
}

fn run(program: &Path, (name, runner): (&str, &str), input: &str) -> Result<Vec<u8>, CoverError> {
    let scratch = tempfile::tempdir().map_err(|error| unusable(Path::new(name), error))?;
    let file = scratch.path().join(name);
    std::fs::write(&file, runner).map_err(|error| unusable(&file, error))?;
    let mut command = Command::new(program);
    // Nothing is left in the folder of the sources.
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(&file);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| unusable(program, error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A runner that ends before it has read all of it says why.
        drop(stdin.write_all(input.as_bytes()));
    }
    let output = child.wait_with_output().map_err(|error| unusable(program, error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(CoverError::Runner(format!("{} ended with {}:\n{}", program.display(), output.status, said.trim_end())))
}

fn unusable(path: &Path, error: io::Error) -> CoverError {
    CoverError::Runner(format!("{}: {error}", path.display()))
}

fn judge(told: &Told, suite: &Suite, questions: &[&Question]) -> Code {
    let mut code = Code::empty(&[]);
    code.how = format!("the sources, run by {} in place of the component", told.runtime);
    (code.named, code.lines) = (true, true);
    code.source_lines = share(&told.lines);
    code.functions = share(&told.functions);
    code.branches = share(&told.blocks);
    for function in told.functions.iter().filter(|function| !function.ran) {
        code.missed.push(MissedFunction {
            name: function.name.clone(),
            place: Some(Place { file: function.file.clone(), line: function.line }),
            ran: false,
            branches: Share::default(),
            missed: Vec::new(),
        });
    }
    code.missed_lines = ranges(told);
    for (question, answer) in questions.iter().zip(&told.answers) {
        let expected = match question.expected {
            Expected::Allow => "allow",
            Expected::Deny { .. } => "deny",
        };
        if answer == expected {
            code.answered += 1;
        } else {
            code.failed.push(question.name.clone());
        }
    }
    let taken = suite.refusals.iter().zip(&told.refused).filter(|(_, refused)| !**refused);
    code.failed.extend(taken.map(|(refusal, _)| refusal.name.clone()));
    code
}

fn share(all: &[Ran]) -> Share {
    Share { hit: all.iter().filter(|one| one.ran).count(), total: all.len() }
}

/// Lines that never ran, those next to each other as one; and lines that ran but for a block in them.
fn ranges(told: &Told) -> Vec<MissedLines> {
    let mut missed: BTreeMap<(&str, u32), bool> = BTreeMap::new();
    for block in told.blocks.iter().filter(|block| !block.ran) {
        missed.insert((&block.file, block.line), true);
    }
    for line in told.lines.iter().filter(|line| !line.ran) {
        missed.insert((&line.file, line.line), false);
    }
    let counted: BTreeMap<(&str, u32), bool> =
        told.lines.iter().map(|line| ((line.file.as_str(), line.line), line.ran)).collect();
    let mut ranges: Vec<MissedLines> = Vec::new();
    for ((file, line), partly) in missed {
        let joins = ranges.last().is_some_and(|last: &MissedLines| {
            // Between two missed lines there may be some that don't count.
            let ran_between = counted.range((file, last.to)..(file, line)).any(|(_, ran)| *ran);
            last.file == file && !partly && !last.partly && !ran_between
        });
        match ranges.last_mut() {
            Some(last) if joins => last.to = line,
            _ => ranges.push(MissedLines { file: file.to_owned(), from: line, to: line, partly }),
        }
    }
    ranges
}
