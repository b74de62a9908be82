//! Builds the policy crate of a folder into the component that is committed beside it.
//!
//! ```text
//! cargo run -p policy-build -- policies/builtin      # writes policies/builtin/builtin.wasm
//! ```
//!
//! It needs `rustup target add wasm32-unknown-unknown` and no other program. The bytes depend on the compiler's version:
//! compare behaviour, not bytes.

mod sources;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use wit_component::ComponentEncoder;

const TARGET: &str = "wasm32-unknown-unknown";
/// The profile of the workspace's manifest that is tuned for small modules.
const PROFILE: &str = "policy";

fn main() -> Result<()> {
    let folders: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    if folders.is_empty() {
        bail!("name the folder of a policy crate, such as policies/builtin");
    }
    for folder in &folders {
        let component = build(folder).with_context(|| format!("building {}", folder.display()))?;
        let name = folder.canonicalize()?;
        let name = name.file_name().context("the folder has no name")?;
        let file = folder.join(name).with_extension("wasm");
        fs::write(&file, &component).with_context(|| format!("writing {}", file.display()))?;
        println!("{}: {} bytes", file.display(), component.len());
    }
    Ok(())
}

fn build(folder: &Path) -> Result<Vec<u8>> {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    check_target()?;
    let digest = sources::digest(folder, &wit).context("reading the sources")?;
    let module = compile(folder)?;
    let module = fs::read(&module).with_context(|| format!("reading {}", module.display()))?;
    let mut component = ComponentEncoder::default()
        .module(&module)
        .and_then(|encoder| encoder.validate(true).encode())
        .context("making a component of the module")?;
    component.extend(custom_section(sources::SECTION, digest.as_bytes()));
    Ok(component)
}

fn check_target() -> Result<()> {
    let output = Command::new(program("RUSTC", "rustc"))
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .context("running rustc")?;
    let library = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !Path::new(&library).is_dir() {
        bail!("the compiler has no standard library for {TARGET}; install it with: rustup target add {TARGET}");
    }
    Ok(())
}

/// The core module that cargo makes of the crate in `folder`.
fn compile(folder: &Path) -> Result<PathBuf> {
    let output = Command::new(program("CARGO", "cargo"))
        .args(["rustc", "--lib", "--crate-type", "cdylib", "--target", TARGET, "--profile", PROFILE])
        .args(["--message-format", "json-render-diagnostics", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .env("CARGO_ENCODED_RUSTFLAGS", remapped_paths().join("\x1f"))
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo")?;
    if !output.status.success() {
        bail!("cargo ended with {}", output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut files = messages.split('"').filter(|text| text.ends_with(".wasm") && !text.contains("/deps/"));
    files.next_back().map(PathBuf::from).context("cargo named no .wasm file")
}

/// Panics carry the path of their source; those of this machine have no place in a module that others load.
fn remapped_paths() -> Vec<String> {
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    let Some(cargo) = env::var_os("CARGO_HOME").map(PathBuf::from).or(home) else { return Vec::new() };
    let registries = fs::read_dir(cargo.join("registry/src")).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = registries.map(|entry| entry.path()).collect();
    // The last one that matches counts, so the most special stand last.
    folders.insert(0, cargo);
    folders.iter().map(|folder| format!("--remap-path-prefix={}=crates", folder.display())).collect()
}

fn program(variable: &str, name: &str) -> PathBuf {
    env::var_os(variable).map_or_else(|| PathBuf::from(name), PathBuf::from)
}

fn custom_section(name: &str, data: &[u8]) -> Vec<u8> {
    let mut body = length(name.len());
    body.extend(name.as_bytes());
    body.extend(data);
    let mut section = vec![0];
    section.extend(length(body.len()));
    section.extend(body);
    section
}

/// A length as WebAssembly writes it: seven bits a byte, the lowest first.
fn length(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
