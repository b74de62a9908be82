//! JavaScript: `componentize-qjs` builds the sources and QuickJS into a component whose WASI is stubbed out.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::author::build::{
    BuildError, WIT,
    tools::{self, Tool, Version},
    unusable,
};

/// Where the module begins, unless `main` in package.json names another file.
const ENTRY: &str = "policy.js";
const PACKAGE: &str = "componentize-qjs";
/// The version that templates ask for; one before [`LEAST`] makes components that a policy host can't run.
const WANTED: &str = "0.4.5";
const LEAST: Version = Version(0, 4);
const NODE: Version = Version(18, 0);

/// The package, as npm installed it in `folder` or above.
pub fn tool(folder: &Path) -> Result<Tool, BuildError> {
    node()?;
    let missing = |what: String, install: String, by_build| BuildError::Missing { what, install, by_build };
    let packages = folder.ancestors().map(|above| above.join("node_modules").join(PACKAGE));
    let Some(package) = packages.into_iter().find(|package| package.join("package.json").is_file()) else {
        let what = format!("the npm package {PACKAGE} is not installed in {}", folder.display());
        return Err(missing(what, tools::line(&install(folder)), true));
    };
    let version = version_of(&package.join("package.json"))?;
    if Version::parse(&version).is_none_or(|version| version < LEAST) {
        let what = format!("{PACKAGE} {version} is too old: {}.{} is needed", LEAST.0, LEAST.1);
        let newer = format!("{PACKAGE}@{WANTED}");
        let words = ["npm", "install", "--save-dev", "--save-exact", &newer, "--prefix", &folder.display().to_string()];
        return Err(missing(what, tools::line(&[words.map(str::to_owned).to_vec()]), false));
    }
    Ok(Tool { program: package.join("bin").join(PACKAGE) })
}

/// The commands that install what can be missing.
pub fn install(folder: &Path) -> Vec<Vec<String>> {
    let folder = folder.display().to_string();
    vec![
        ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--prefix", &folder]
            .map(str::to_owned)
            .to_vec(),
    ]
}

/// The component of the package in `folder`.
pub fn component(tool: &Tool, folder: &Path) -> Result<Vec<u8>, BuildError> {
    let scratch = tempfile::tempdir().map_err(|error| unusable(folder, error))?;
    let (wit, made) = (scratch.path().join("policy.wit"), scratch.path().join("made.wasm"));
    fs::write(&wit, WIT).map_err(|error| unusable(&wit, error))?;
    tools::run(
        Command::new("node")
            .arg(&tool.program)
            .args(["--stub-wasi", "--sync", "--world", "module", "--js", &entry(folder)?])
            .arg("--wit")
            .arg(&wit)
            .arg("--output")
            .arg(&made)
            .current_dir(folder),
    )?;
    fs::read(&made).map_err(|error| unusable(&made, error))
}

/// Node.js is there, and not too old.
pub fn node() -> Result<(), BuildError> {
    let node = tools::in_path("node").and_then(|node| tools::version(&node));
    if node.is_none_or(|version| version < NODE) {
        let what = match node {
            Some(version) => format!("Node.js {}.{} is too old: {} is needed", version.0, version.1, NODE.0),
            None => format!("Node.js is not installed: {} or later is needed", NODE.0),
        };
        return Err(BuildError::Missing { what, install: "see https://nodejs.org".to_owned(), by_build: false });
    }
    Ok(())
}

/// The file that the package in `folder` begins with.
pub fn entry(folder: &Path) -> Result<String, BuildError> {
    let package = package(&folder.join("package.json"))?;
    Ok(package.get("main").and_then(serde_json::Value::as_str).unwrap_or(ENTRY).to_owned())
}

fn version_of(file: &Path) -> Result<String, BuildError> {
    Ok(package(file)?.get("version").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned())
}

fn package(file: &Path) -> Result<serde_json::Value, BuildError> {
    let text = fs::read_to_string(file).map_err(|error| unusable(file, error))?;
    serde_json::from_str(&text)
        .map_err(|error| BuildError::NoComponent { file: PathBuf::from(file), reason: error.to_string() })
}
