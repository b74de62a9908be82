//! The set of modules that a controller would have in force: from a folder and a configuration, as files.

use std::{collections::BTreeMap, fs, path::Path, thread};

use anyhow::{Context, anyhow, bail};
use serde_json::Value as Json;

use crate::policy::{
    config::{Config, KEY_NAMESPACE_ROLES, KEY_POLICIES},
    folder::{Files, Folder, Reading},
    host::Host,
    store::{Chain, Store},
    yaml,
};

/// Loads the set. `config` is the file of the ConfigMap, or of its data alone; without one everything has its default.
///
/// # Errors
///
/// A file can't be read, or the set is refused.
pub fn load(host: &Host, config: Option<&Path>, folder: Option<&Path>) -> anyhow::Result<Chain> {
    let config = match config {
        Some(file) => read_config(file).with_context(|| file.display().to_string())?,
        None => Config::default(),
    };
    let files = match folder {
        Some(folder) => read_folder(folder)?,
        None => Files::default(),
    };
    Ok(Chain::new(0, Store::default().load(host, &config, &files)?))
}

/// Reads a file of YAML or JSON.
///
/// # Errors
///
/// It can't be read, or is neither.
pub fn read_yaml(file: &Path) -> anyhow::Result<Json> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    match yaml::parse(&text) {
        Ok(node) => Ok(node.to_json()),
        Err(yaml::Malformed { line, message }) => {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            Err(anyhow!("{}{line}: {message}", file.display()))
        }
    }
}

fn read_config(file: &Path) -> anyhow::Result<Config> {
    let json = read_yaml(file)?;
    let data = if json.get("kind").is_some() { json.get("data") } else { Some(&json) };
    let mut texts = BTreeMap::new();
    for key in [KEY_NAMESPACE_ROLES, KEY_POLICIES] {
        match data.and_then(|data| data.get(key)) {
            None => {}
            Some(Json::String(text)) => drop(texts.insert(key, text.clone())),
            // JSON is YAML: what stands there without a `|` means the same.
            Some(other) => drop(texts.insert(key, other.to_string())),
        }
    }
    if texts.is_empty() {
        bail!("neither {KEY_NAMESPACE_ROLES:?} nor {KEY_POLICIES:?} is in it: not the ConfigMap of a controller");
    }
    let text = |key: &str| texts.get(key).map(String::as_str);
    Ok(Config::parse(text(KEY_NAMESPACE_ROLES), text(KEY_POLICIES))?.0)
}

fn read_folder(path: &Path) -> anyhow::Result<Files> {
    let mut folder = Folder::default();
    loop {
        match folder.read(path)? {
            Reading::Complete(files) => return Ok(files),
            Reading::Unsettled(wait) => thread::sleep(wait),
        }
    }
}
