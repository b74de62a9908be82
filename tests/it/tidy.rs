//! Rules about the source itself, so that `cargo test` is the only gate.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Each module and the modules it may import, in reading order. Add an edge here only in a change that argues for it.
const LAYERS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("expr", &[]),
    ("pods", &["api", "expr"]),
    ("engine", &["api", "expr", "pods"]),
    ("policy", &["api"]),
    // Tools for policy authors: they look at modules from outside, as nothing that runs in a cluster does.
    ("author", &["api", "policy"]),
    ("clusters", &["api"]),
    ("executor", &["api", "expr"]),
    ("local", &["api"]),
    ("controller", &["api", "engine", "policy", "clusters"]),
    ("cli", &["api", "expr", "pods", "engine", "policy", "author", "clusters", "executor", "local", "controller"]),
];

/// What `main.rs` may name of the crate: the sandbox of a local pod starts there, before any thread exists.
const MAIN_NAMES: &[&str] = &["cli", "local"];

/// What computes and never touches the outside world: whole modules, and single files of others.
const PURE: &[&str] = &[
    "api",
    "expr",
    "pods",
    "engine",
    "policy/config",
    "policy/consent",
    "policy/roles",
    "policy/request",
    "policy/decision",
    "policy/digest",
    "clusters/rest_config",
    "clusters/renewal",
    "clusters/settings",
    // What a target needs and what may be stored of a kubeconfig are shown before anything is done, so they are values.
    "clusters/grants",
    "clusters/kubeconfig",
];

/// What pure code must not name.
const IMPURE: &[&str] = &[
    "async fn",
    ".await",
    "tokio::",
    "kube::runtime",
    "kube::Client",
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant",
    "rand::",
    "uuid::",
    "::now(",
];

/// Outside crates that only some modules may name.
const CONFINED: &[(&str, &[&str])] = &[
    ("wasmtime::", &["policy"]),
    ("wasmtime_wizer::", &["policy"]),
    ("wasmparser::", &["policy", "author"]),
    ("wasm_encoder::", &["author"]),
    ("wit_component::", &["author"]),
    ("proptest::", &["author"]),
    ("quick_junit::", &["cli"]),
    ("prometheus_client::", &["controller"]),
    // `author` watches what an author works on; what is in force is for `policy` alone to watch.
    ("notify::", &["policy", "author"]),
    ("rayon::", &["policy"]),
    ("clap::", &["cli"]),
    ("indicatif::", &["cli"]),
    ("axum::", &["local", "controller"]),
    ("hyper::", &["local", "controller"]),
    ("hyper_util::", &["local", "controller"]),
    ("nix::", &["local", "policy"]),
    ("kube::Client", &["clusters", "controller", "executor", "local", "cli"]),
];

/// A longer file has two subjects.
const LINES_MAX: usize = 500;
/// `main.rs` parses, runs and returns the exit code.
const MAIN_LINES_MAX: usize = 30;

#[test]
fn imports_flow_one_way() {
    let mut broken = Vec::new();
    for Source { module, path, code, .. } in sources() {
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            broken.push(format!("{path}: `{module}` has no row in LAYERS"));
            continue;
        };
        for target in imports(&code, "crate::") {
            if target != module && !allowed.contains(&target.as_str()) {
                broken.push(format!("{path}: `{module}` may not import `{target}`"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn layers_have_no_cycle() {
    let order: BTreeMap<&str, usize> = LAYERS.iter().enumerate().map(|(at, (name, _))| (*name, at)).collect();
    for (at, (name, targets)) in LAYERS.iter().enumerate() {
        for target in *targets {
            assert!(order[target] < at, "`{name}` imports `{target}`, which LAYERS lists after it");
        }
    }
}

#[test]
fn paths_are_named_from_the_crate() {
    // `super::` could climb past the module without naming it.
    let broken: Vec<_> = sources()
        .into_iter()
        .filter(|source| contains_word(&source.product, "super::"))
        .map(|source| format!("{}: name the path from `crate::`, not `super::`", source.path))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn pure_modules_do_no_io() {
    let mut broken = Vec::new();
    for Source { path, product, .. } in sources() {
        let Some(pure) = PURE.iter().find(|pure| is_part(&path, pure)) else { continue };
        for word in IMPURE {
            if contains_word(&product, word) {
                broken.push(format!("{path}: `{pure}` is pure and may not name `{word}`"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn dependencies_stay_where_they_belong() {
    let mut broken = Vec::new();
    for Source { module, path, code, .. } in sources() {
        for (word, homes) in CONFINED {
            if contains_word(&code, word) && !homes.contains(&module.as_str()) {
                broken.push(format!("{path}: only {homes:?} may name `{word}`"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn lints_stay_on() {
    let mut broken = Vec::new();
    for Source { path, code, .. } in sources() {
        for word in ["#[allow(", "#![allow(", "unsafe {", "unsafe fn"] {
            if code.contains(word) {
                broken.push(format!("{path}: `{word}` is not for us: change the code"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut broken = Vec::new();
    for folder in ["src", "tests", "policies", "benches", "fuzz"] {
        for path in rust_files(&root().join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().count();
            let shown = path.strip_prefix(root()).unwrap().display();
            if LINES_MAX < lines {
                broken.push(format!("{shown}: {lines} lines, over {LINES_MAX}"));
            }
            if !text.starts_with("//!") {
                broken.push(format!("{shown}: does not open with `//!`"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn main_only_starts_the_command_line() {
    let text = fs::read_to_string(root().join("src/main.rs")).unwrap();
    assert!(text.lines().count() <= MAIN_LINES_MAX, "src/main.rs is over {MAIN_LINES_MAX} lines");
    for target in imports(&without_comments(&text), "landfall::") {
        assert!(MAIN_NAMES.contains(&target.as_str()), "src/main.rs may not name `{target}`");
    }
}

/// `.ci/run` runs the line that this finds, so the two can't differ.
#[test]
fn the_readme_has_one_test_command() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let commands: Vec<_> = readme.lines().filter(|line| line.starts_with("cargo test")).collect();
    assert_eq!(commands.len(), 1, "lines of README.md that start with `cargo test`: {commands:?}");
    let script = fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(script.contains("grep -x 'cargo test.*' README.md"), ".ci/run reads its test command from README.md");
}

/// The modules that `code` names after `root`, both `crate::a::B` and `crate::{a::B, c}`.
fn imports(code: &str, root: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in code.split(root).skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            names.push(identifier(rest));
            continue;
        };
        let mut depth = 0;
        let mut item_starts = true;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => item_starts = true,
                _ if item_starts && !c.is_whitespace() => {
                    names.push(identifier(&group[at..]));
                    item_starts = false;
                }
                _ => (),
            }
        }
    }
    names
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Whether `word` stands in `code`, and not as the end of a longer name.
fn contains_word(code: &str, word: &str) -> bool {
    let starts_name = word.starts_with(|c: char| c.is_alphabetic());
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !(starts_name && before.is_some_and(|c| c.is_alphanumeric() || c == '_'))
    })
}

/// Whether `path` is the file or the folder that `part` names, both below `src`.
fn is_part(path: &str, part: &str) -> bool {
    path.strip_prefix("src/")
        .and_then(|path| path.strip_prefix(part))
        .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

#[test]
fn imports_reads_both_forms() {
    assert_eq!(imports("use crate::api::Workflow;", "crate::"), ["api"]);
    assert_eq!(imports("use crate::{api::{Node, Phase}, expr, pods::build};", "crate::"), ["api", "expr", "pods"]);
}

#[test]
fn words_are_whole() {
    assert!(contains_word("use notify::Watcher;", "notify::"));
    assert!(!contains_word("use inotify::Watcher;", "notify::"));
    assert!(contains_word("Timestamp::now()", "::now("));
}

#[test]
fn parts_are_files_and_folders() {
    assert!(is_part("src/api/mod.rs", "api"));
    assert!(is_part("src/policy/roles.rs", "policy/roles"));
    assert!(!is_part("src/policy/roles_text.rs", "policy/roles"));
}

#[test]
fn product_code_ends_where_tests_begin() {
    assert_eq!(without_tests("fn a() {}\n#[cfg(test)]\nmod tests {\n    use super::a;\n}"), "fn a() {}\n");
    assert_eq!(without_tests("#[cfg(test)]\nmod tests;\nfn a() {}"), "#[cfg(test)]\nmod tests;\nfn a() {}");
}

/// A file under a module of `src`.
struct Source {
    module: String,
    /// From the repository's root, with `/`.
    path: String,
    /// The text without comments.
    code: String,
    /// `code` without tests: those may read goldens and climb to what they test.
    product: String,
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut sources = Vec::new();
    for file in rust_files(&src) {
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
        let Some((module, _)) = path.strip_prefix("src/").and_then(|path| path.split_once('/')) else { continue };
        let code = without_comments(&fs::read_to_string(&file).unwrap());
        let only_tests = path.ends_with("/tests.rs") || path.contains("/tests/");
        let product = if only_tests { String::new() } else { without_tests(&code).to_owned() };
        sources.push(Source { module: module.to_owned(), path, code, product });
    }
    sources
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// An inline test module stands last in its file.
fn without_tests(code: &str) -> &str {
    code.find("#[cfg(test)]\nmod tests {").map_or(code, |at| &code[..at])
}

/// Every Rust file below `folder`, build output aside.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().unwrap() != "target" {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
