//! Python: `componentize-py` builds the sources and CPython into a component whose WASI is stubbed out.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::author::build::{
    BuildError, WIT,
    tools::{self, Tool, Version},
    unusable,
};

/// The module in which componentize-py looks for the class `Policy`.
pub const MODULE: &str = "policy";
const PROGRAM: &str = "componentize-py";
/// The bindings of older versions have other names.
const LEAST: Version = Version(0, 25);
const ENVIRONMENT: &str = ".venv";
/// The oldest Python whose code tells all of its lines.
const PYTHON: Version = Version(3, 10);

/// The program: of the virtual environment in `folder`, of the active one, or in `PATH`.
pub fn tool(folder: &Path) -> Result<Tool, BuildError> {
    let in_environment =
        |environment: PathBuf| Some(environment.join("bin").join(PROGRAM)).filter(|file| file.is_file());
    let program = in_environment(folder.join(ENVIRONMENT))
        .or_else(|| env::var_os("VIRTUAL_ENV").and_then(|active| in_environment(active.into())))
        .or_else(|| tools::in_path(PROGRAM));
    let missing = |what: String| BuildError::Missing { what, install: tools::line(&install(folder)), by_build: true };
    let Some(program) = program else {
        return Err(missing(format!("the Python package {PROGRAM} is not installed for {}", folder.display())));
    };
    match tools::version(&program) {
        Some(version) if version >= LEAST => Ok(Tool { program }),
        Some(version) => {
            let what = format!("{PROGRAM} {}.{} is too old: {}.{} is needed", version.0, version.1, LEAST.0, LEAST.1);
            Err(missing(what))
        }
        None => Err(missing(format!("{} can't be run", program.display()))),
    }
}

/// Python itself: of the virtual environment in `folder`, of the active one, or in `PATH`.
pub fn interpreter(folder: &Path) -> PathBuf {
    let environments = [Some(folder.join(ENVIRONMENT)), env::var_os("VIRTUAL_ENV").map(PathBuf::from)];
    let found = environments.into_iter().flatten().map(|environment| environment.join("bin/python"));
    found.into_iter().find(|file| file.is_file()).unwrap_or_else(|| PathBuf::from("python3"))
}

/// Python can be run.
pub fn interpreter_found(program: &Path) -> Result<(), BuildError> {
    let install = "see https://www.python.org".to_owned();
    match tools::version(program) {
        Some(version) if version >= PYTHON => Ok(()),
        Some(version) => {
            let what = format!("Python {}.{} is too old: {}.{} is needed", version.0, version.1, PYTHON.0, PYTHON.1);
            Err(BuildError::Missing { what, install, by_build: false })
        }
        None => Err(BuildError::Missing { what: "Python is not installed".to_owned(), install, by_build: false }),
    }
}

/// The commands that install what can be missing, into a virtual environment in `folder`.
pub fn install(folder: &Path) -> Vec<Vec<String>> {
    let environment = folder.join(ENVIRONMENT).display().to_string();
    let pip = format!("{environment}/bin/pip");
    let requirements = folder.join("requirements.txt").display().to_string();
    vec![
        ["python3", "-m", "venv", &environment].map(str::to_owned).to_vec(),
        [&pip, "install", "--quiet", "--upgrade", "-r", &requirements].map(str::to_owned).to_vec(),
    ]
}

/// The component of the sources in `folder`.
pub fn component(tool: &Tool, folder: &Path) -> Result<Vec<u8>, BuildError> {
    let scratch = tempfile::tempdir().map_err(|error| unusable(folder, error))?;
    let (wit, made) = (scratch.path().join("wit"), scratch.path().join("made.wasm"));
    // A copy, because everything below the folder of the sources is looked through for libraries, its environment too.
    let sources = scratch.path().join("sources");
    fs::create_dir(&wit).map_err(|error| unusable(&wit, error))?;
    fs::write(wit.join("policy.wit"), WIT).map_err(|error| unusable(&wit, error))?;
    copy_modules(folder, &sources).map_err(|error| unusable(folder, error))?;
    let mut command = Command::new(&tool.program);
    // Packages that the sources import come from where the tool is.
    match tool.program.ancestors().nth(2).filter(|folder| folder.join("pyvenv.cfg").is_file()) {
        Some(environment) => command.env("VIRTUAL_ENV", environment),
        None => command.env_remove("VIRTUAL_ENV"),
    };
    tools::run(
        command
            .args(["--quiet", "--world", "module", "--wit-path"])
            .arg(&wit)
            .args(["componentize", "--stub-wasi", "--python-path"])
            .arg(&sources)
            .arg("--output")
            .arg(&made)
            .arg(MODULE),
    )?;
    fs::read(&made).map_err(|error| unusable(&made, error))
}

fn copy_modules(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if name.to_string_lossy().starts_with('.') || name == "__pycache__" || name == "venv" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_modules(&path, &to.join(name))?;
        } else if path.extension().is_some_and(|extension| extension == "py") {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}
