//! Rust: cargo makes a core module for `wasm32-unknown-unknown`, which has no WASI to import; here it becomes a component.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use wit_component::ComponentEncoder;

use crate::author::build::{
    BuildError,
    tools::{self, Tool, Version},
    unusable,
};

const TARGET: &str = "wasm32-unknown-unknown";
/// The oldest compiler that the SDK and its bindings build with: edition 2024.
const RUSTC: Version = Version(1, 85);
/// How a module is compiled, whatever the crate's manifest says: small, because every decision starts from a copy of its
/// memory. A profile of its own, so that the crate's tests keep theirs.
const PROFILE: &str = "policy";
const PROFILE_SETTINGS: &[&str] =
    &[r#"inherits="release""#, r#"opt-level="s""#, r#"lto="fat""#, "codegen-units=1", r#"panic="abort""#, "strip=true"];

/// The compiler with its target.
pub fn tool() -> Result<Tool, BuildError> {
    let rustc = program("RUSTC", "rustc");
    let missing =
        |what: String, install: &str, by_build| BuildError::Missing { what, install: install.to_owned(), by_build };
    let Some(version) = tools::version(&rustc) else {
        return Err(missing("Rust is not installed: rustc can't be run".to_owned(), "see https://rustup.rs", false));
    };
    if version < RUSTC {
        let what = format!("rustc {}.{} is too old: {}.{} is needed", version.0, version.1, RUSTC.0, RUSTC.1);
        return Err(missing(what, "rustup update stable", false));
    }
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| unusable(&rustc, error))?;
    if !Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        let what = format!("the Rust compiler has no standard library for {TARGET}");
        return Err(missing(what, &tools::line(&install()), true));
    }
    Ok(Tool { program: program("CARGO", "cargo") })
}

/// The commands that install what can be missing.
pub fn install() -> Vec<Vec<String>> {
    vec![["rustup", "target", "add", TARGET].map(str::to_owned).to_vec()]
}

/// How a module is compiled to see what of it runs: each function and branch of its own is still there. The profile is the
/// same, and nothing in it is of what runs on this machine, so that macros and the like are not compiled again.
const COVER_SETTINGS: &[&str] = &[
    r#"inherits="release""#,
    "opt-level=0",
    r#"lto="off""#,
    r#"panic="abort""#,
    r#"debug="line-tables-only""#,
    "strip=false",
];

/// The component of the crate in `folder`, with names and lines.
pub fn component_for_cover(tool: &Tool, folder: &Path) -> Result<Vec<u8>, BuildError> {
    component_of(compile(tool, folder, COVER_SETTINGS, &[])?)
}

/// The component of the crate in `folder`. Cargo's own messages go to stderr as they come.
pub fn component(tool: &Tool, folder: &Path) -> Result<Vec<u8>, BuildError> {
    component_of(compile(tool, folder, PROFILE_SETTINGS, &remapped_paths(folder))?)
}

fn component_of(file: PathBuf) -> Result<Vec<u8>, BuildError> {
    let module = fs::read(&file).map_err(|error| unusable(&file, error))?;
    ComponentEncoder::default()
        .module(&module)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| BuildError::NoComponent { file, reason: format!("{error:#}") })
}

/// The core module that cargo makes of the crate in `folder`.
fn compile(tool: &Tool, folder: &Path, settings: &[&str], flags: &[String]) -> Result<PathBuf, BuildError> {
    let mut command = Command::new(&tool.program);
    command.args(["rustc", "--lib", "--crate-type", "cdylib", "--target", TARGET, "--profile", PROFILE]);
    for setting in settings {
        command.args(["--config", &format!("profile.{PROFILE}.{setting}")]);
    }
    let output = command
        .args(["--message-format", "json-render-diagnostics", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .current_dir(folder)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| unusable(&tool.program, error))?;
    if !output.status.success() {
        let status = output.status.to_string();
        return Err(BuildError::Tool { tool: "cargo".to_owned(), status, output: String::new() });
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut files = messages.split('"').filter(|text| text.ends_with(".wasm") && !text.contains("/deps/"));
    let reason = "cargo made no .wasm file of it";
    let none = || BuildError::NoComponent { file: folder.join("Cargo.toml"), reason: reason.to_owned() };
    files.next_back().map(PathBuf::from).ok_or_else(none)
}

/// Panics carry the path of their source; those of this machine have no place in a module that others load.
fn remapped_paths(folder: &Path) -> Vec<String> {
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    // The last one that matches counts, so the most special stand last.
    let mut folders = vec![(folder.to_owned(), "policy")];
    if let Some(cargo) = env::var_os("CARGO_HOME").map(PathBuf::from).or(home) {
        folders.push((cargo.clone(), "crates"));
        let registries = fs::read_dir(cargo.join("registry/src")).into_iter().flatten().flatten();
        folders.extend(registries.map(|entry| (entry.path(), "crates")));
    }
    folders.iter().map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display())).collect()
}

fn program(variable: &str, name: &str) -> PathBuf {
    env::var_os(variable).map_or_else(|| PathBuf::from(name), PathBuf::from)
}
