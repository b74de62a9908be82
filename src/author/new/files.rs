//! The files of the templates, by language.

use crate::author::build::Language;

/// What a new folder holds: paths in it, and texts.
pub type Files = &'static [(&'static str, &'static str)];

/// The files for a module in `language`.
pub fn of(language: Language) -> Files {
    match language {
        Language::Rust => RUST,
        Language::JavaScript => JAVASCRIPT,
        Language::Python => PYTHON,
    }
}

const RUST: Files = &[
    (".gitignore", include_str!("../../../policies/templates/rust/gitignore")),
    ("Cargo.toml", include_str!("../../../policies/templates/rust/Cargo.toml.template")),
    ("README.md", include_str!("../../../policies/templates/rust/README.md")),
    ("cases.yaml", include_str!("../../../policies/templates/cases.yaml")),
    ("settings.yaml", include_str!("../../../policies/templates/settings.yaml")),
    ("sdk/Cargo.toml", include_str!("../../../policies/sdk/Cargo.toml")),
    ("sdk/src/component.rs", include_str!("../../../policies/sdk/src/component.rs")),
    ("sdk/src/decision.rs", include_str!("../../../policies/sdk/src/decision.rs")),
    ("sdk/src/last_words.rs", include_str!("../../../policies/sdk/src/last_words.rs")),
    ("sdk/src/lib.rs", include_str!("../../../policies/sdk/src/lib.rs")),
    ("sdk/src/pod.rs", include_str!("../../../policies/sdk/src/pod.rs")),
    ("sdk/src/policy.rs", include_str!("../../../policies/sdk/src/policy.rs")),
    ("sdk/src/request.rs", include_str!("../../../policies/sdk/src/request.rs")),
    ("sdk/src/target.rs", include_str!("../../../policies/sdk/src/target.rs")),
    ("sdk/src/trace.rs", include_str!("../../../policies/sdk/src/trace.rs")),
    ("sdk/wit/policy.wit", include_str!("../../../policies/sdk/wit/policy.wit")),
    ("src/lib.rs", include_str!("../../../policies/templates/rust/src/lib.rs")),
];

const JAVASCRIPT: Files = &[
    (".gitignore", include_str!("../../../policies/templates/js/gitignore")),
    ("README.md", include_str!("../../../policies/templates/js/README.md")),
    ("cases.yaml", include_str!("../../../policies/templates/cases.yaml")),
    ("settings.yaml", include_str!("../../../policies/templates/settings.yaml")),
    ("landfall_policy.js", include_str!("../../../policies/templates/js/landfall_policy.js")),
    ("package.json", include_str!("../../../policies/templates/js/package.json")),
    ("policy.js", include_str!("../../../policies/templates/js/policy.js")),
];

const PYTHON: Files = &[
    (".gitignore", include_str!("../../../policies/templates/python/gitignore")),
    ("README.md", include_str!("../../../policies/templates/python/README.md")),
    ("cases.yaml", include_str!("../../../policies/templates/cases.yaml")),
    ("settings.yaml", include_str!("../../../policies/templates/settings.yaml")),
    ("landfall_policy.py", include_str!("../../../policies/templates/python/landfall_policy.py")),
    ("policy.py", include_str!("../../../policies/templates/python/policy.py")),
    ("requirements.txt", include_str!("../../../policies/templates/python/requirements.txt")),
];
