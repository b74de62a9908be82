//! The files that a suite depends on: for whoever waits for a change of one.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    author::{
        build::{Language, sources},
        stale, subject,
        suite::{FILE, snapshot},
    },
    policy::{
        decision::MODULE_BUILTIN,
        yaml::{self, Node, Value},
    },
};

/// The suite at `path`, what is beside it that its answers are compared with, the pods that it names, its module, and the
/// sources of that. Of what is wrong in the suite nothing is said here; a file may be named that isn't there yet.
pub fn of(path: &Path) -> BTreeSet<PathBuf> {
    let file = match path.is_dir() {
        true if path == Path::new(".") => PathBuf::from(FILE),
        true => path.join(FILE),
        false => path.to_owned(),
    };
    let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = fs::read_to_string(&file).ok().and_then(|text| yaml::parse(&text).ok());
    let mut files = BTreeSet::from([snapshot::file_of(&file)]);
    let mut module = Some(folder.to_owned());
    if let Some(root) = &root {
        pods(root, folder, &mut files);
        if let Value::Map(fields) = &root.value
            && let Some((_, named)) = fields.iter().find(|(key, _)| key.name == "module")
        {
            module = match &named.value {
                Value::Text(name) if name != MODULE_BUILTIN => Some(folder.join(name)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                    None
                }
            };
        }
    }
    files.insert(file);
    if let Some(module) = module {
        of_module(&module, &mut files);
    }
    files
}

/// The component, and its sources where they are beside it.
fn of_module(module: &Path, files: &mut BTreeSet<PathBuf>) {
    let folder = if module.is_dir() {
        files.extend(subject::component_of(module));
        Some(module.to_owned())
    } else {
        files.insert(module.to_owned());
        stale::of_file(module)
    };
    let sources = folder.and_then(|folder| sources::files(&folder, Language::of(&folder)?).ok());
    files.extend(sources.into_iter().flatten().map(|(_, file)| file));
}

/// All that is named as `podFile`, wherever it stands.
fn pods(node: &Node, folder: &Path, files: &mut BTreeSet<PathBuf>) {
    match &node.value {
        Value::Map(fields) => {
            for (key, node) in fields {
                match &node.value {
                    Value::Text(name) if key.name == "podFile" => drop(files.insert(folder.join(name))),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
                    Value::List(_) | Value::Map(_) => pods(node, folder, files),
                }
            }
        }
        Value::List(items) => items.iter().for_each(|item| pods(item, folder, files)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    #[test]
    fn a_suite_depends_on_its_module_its_sources_and_the_pods_that_it_names() {
        let place = tempfile::tempdir().unwrap();
        let check = |suite: &str, expected: &[&str]| {
            let folder = place.path().join("p");
            fs::create_dir_all(folder.join("more")).unwrap();
            for file in ["package.json", "policy.js", "more/b.js", "p.wasm", "README.md"] {
                fs::write(folder.join(file), "{}").unwrap();
            }
            fs::write(folder.join("cases.yaml"), suite).unwrap();
            let names = |file: &Path| file.strip_prefix(place.path()).unwrap().display().to_string();
            let found: Vec<String> = super::of(&folder).iter().map(|file| names(file)).collect();
            assert_eq!(found, expected, "{suite}");
        };
        let own = ["p/cases.snapshot", "p/cases.yaml", "p/more/b.js", "p/p.wasm", "p/package.json", "p/policy.js"];
        check("cases: []", &own);
        check("module: p.wasm", &own);
        check("no: [yaml", &own);
        check("module: builtin", &own[..2]);
        let pods = "module: ../q.wasm\nrequest: {podFile: pod.yaml}\ncases: [{request: {podFile: ../shared/pod.yaml}}]";
        check(pods, &["p/../q.wasm", "p/../shared/pod.yaml", "p/cases.snapshot", "p/cases.yaml", "p/pod.yaml"]);
    }
}
