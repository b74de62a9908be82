//! `landfall policy new`: a policy folder to begin with.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::{
    author::{build::Language, new},
    cli::{
        hint,
        output::{self, Format},
        words,
    },
};

/// Flags of `landfall policy new`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall policy new only-signed-images\n  landfall policy new cost-centre --lang python\n\nExit status: 0 if there is a new folder, 1 if not."
)]
pub struct Arguments {
    /// The module's name, or a path that ends in it: the folder to be made
    #[arg(value_name = "NAME")]
    folder: PathBuf,
    /// What it is written in
    #[arg(long, value_enum, default_value_t, value_name = "LANGUAGE")]
    lang: Lang,
    /// How to print what was made
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Lang {
    /// Quickest: some microseconds a decision, about 0.1 MB
    #[default]
    Rust,
    /// A third of a millisecond a decision, 1.6 MB
    #[value(alias = "javascript")]
    Js,
    /// One or two milliseconds a decision, 18 MB
    #[value(alias = "py")]
    Python,
}

/// Makes the folder and prints what to do next.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = &arguments.folder;
    let language = match arguments.lang {
        Lang::Rust => Language::Rust,
        Lang::Js => Language::JavaScript,
        Lang::Python => Language::Python,
    };
    let files = new::create(folder, language).map_err(|error| match error.hint() {
        Some(advice) => hint::error(&error, advice),
        None => anyhow::Error::new(error),
    })?;
    match arguments.output {
        Format::Text => output::text_to_stdout(&text(folder, language, &files)),
        Format::Json => output::json(&json!({ "folder": folder, "language": language, "files": files })),
    }
}

fn text(folder: &Path, language: Language, files: &[&str]) -> String {
    let mut text = format!("a policy module in {language}: {}\n", folder.display());
    let folder = words::quoted(folder);
    for file in files {
        text += &format!("  {file}\n");
    }
    // What the languages' own tools install has to be asked for once.
    let install = match language {
        Language::Rust => "",
        Language::JavaScript | Language::Python => " --install",
    };
    text += &format!(
        "\nnext:\n  landfall policy build {folder}{install}\n  landfall policy test {folder}\n  landfall policy test {folder} --watch\n"
    );
    text
}
