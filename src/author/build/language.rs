//! The languages that policy modules are built from, and how a folder shows which one it is in.

use std::{fmt, path::Path};

use serde::Serialize;

/// A language with tools that make components without imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// A crate.
    Rust,
    /// A package that QuickJS is built into.
    JavaScript,
    /// A module that CPython is built into.
    Python,
}

impl Language {
    /// The language of the sources in `folder`.
    pub fn of(folder: &Path) -> Option<Language> {
        let has = |file: &str| folder.join(file).is_file();
        if has("Cargo.toml") {
            Some(Language::Rust)
        } else if has("package.json") {
            Some(Language::JavaScript)
        } else if has("policy.py") {
            Some(Language::Python)
        } else {
            None
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Language::Rust => "Rust",
            Language::JavaScript => "JavaScript",
            Language::Python => "Python",
        })
    }
}
