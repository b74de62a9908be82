//! Building: what is found out before any tool runs, and a new Rust module end to end. Those of the other languages are
//! built by `.ci/policies`, which may install their tools.

use std::{env, fs, path::Path};

use landfall::author::{
    build::{self, BuildError, Language, Options, TriedWith, sources},
    new,
};

use crate::cli::binary;

/// The committed components whose toolchain isn't Rust's.
const OTHERS: &[(&str, Language)] = &[("office-hours", Language::JavaScript), ("name-rules", Language::Python)];

fn said(error: &BuildError) -> String {
    format!("{error}; hint: {}", error.hint().unwrap_or_default())
}

#[test]
fn components_of_other_languages_are_of_this_tree() {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    for (name, language) in OTHERS {
        let folder = policies.join(name);
        let component = fs::read(folder.join(name).with_extension("wasm")).unwrap();
        let digest = sources::digest(&folder, *language).unwrap();
        assert_eq!(
            sources::of_component(&component),
            Some(digest.as_str()),
            "{name} has changed: build it again with `landfall policy build policies/{name}`"
        );
    }
}

#[test]
fn what_is_missing_is_named_with_the_command_that_installs_it() {
    let folder = tempfile::tempdir().unwrap();
    let build = |name: &str| build::build(&folder.path().join(name), &Options::default(), |_| {}).unwrap_err();
    fs::create_dir(folder.path().join("empty")).unwrap();
    let error = said(&build("empty"));
    assert!(
        error.contains("neither Cargo.toml nor package.json nor policy.py") && error.contains("policy new"),
        "{error}"
    );

    new::create(&folder.path().join("script"), Language::JavaScript).unwrap();
    let error = build("script");
    assert!(matches!(error, BuildError::Missing { .. }), "{error}");
    // Node itself may be missing as well.
    let error = said(&error);
    assert!(error.contains("npm install") || error.contains("nodejs.org"), "{error}");

    let old = folder.path().join("script/node_modules/componentize-qjs");
    fs::create_dir_all(&old).unwrap();
    fs::write(old.join("package.json"), r#"{"version": "0.1.9"}"#).unwrap();
    let error = said(&build("script"));
    assert!(
        error.contains("componentize-qjs 0.1.9 is too old: 0.4 is needed") || error.contains("nodejs.org"),
        "{error}"
    );
}

#[test]
fn a_digest_is_of_sources_only() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("script");
    new::create(&folder, Language::JavaScript).unwrap();
    let digest = || sources::digest(&folder, Language::JavaScript).unwrap();
    let first = digest();
    fs::create_dir(folder.join("node_modules")).unwrap();
    fs::write(folder.join("node_modules/a.js"), "1").unwrap();
    fs::write(folder.join("README.md"), "1").unwrap();
    fs::write(folder.join("script.wasm"), "1").unwrap();
    assert_eq!(digest(), first);
    fs::write(folder.join("more.js"), "1").unwrap();
    assert_ne!(digest(), first);
}

#[test]
fn a_new_rust_module_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("stranger");
    new::create(&folder, Language::Rust).unwrap();
    match build::toolchain(&folder, Language::Rust) {
        Ok(()) => {}
        Err(error) if env::var_os("CI").is_none() => {
            eprintln!("skipped: {}", said(&error));
            return;
        }
        Err(error) => panic!("{}", said(&error)),
    }
    // The versions that this repository builds with: nothing has to be looked up.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    // What it is built with is compiled once, not at each run of the tests.
    fs::create_dir(folder.join(".cargo")).unwrap();
    let target = concat!(env!("CARGO_TARGET_TMPDIR"), "/policies");
    fs::write(folder.join(".cargo/config.toml"), format!("[build]\ntarget-dir = {target:?}\n")).unwrap();
    let built = build::build(&folder, &Options::default(), |_| {}).unwrap();
    // It refuses `{}`, so it is tried with what its cases give it.
    assert_eq!(built.tried_with, Some(TriedWith { case: "a cluster that is listed".to_owned(), refused: None }));
    assert_eq!((built.name.as_str(), built.language), ("stranger", Language::Rust));
    assert!(built.refuses_empty_settings.unwrap().contains("clusters"));
    let component = fs::read(&built.file).unwrap();
    assert_eq!(sources::of_component(&component), Some(built.sources_digest.as_str()));
    let text = String::from_utf8_lossy(&component);
    assert!(!text.contains(folder.to_str().unwrap()) && !text.contains("/.cargo/"), "paths of this machine are in it");
    what_a_panic_says_is_told(&folder);
}

/// The module that was built in `folder`, but panicking where it should decide, and where it checks its settings.
fn what_a_panic_says_is_told(folder: &Path) {
    let source = folder.join("src/lib.rs");
    let text = fs::read_to_string(&source).unwrap();
    let decides = "fn authorize(&self, request: &Request) -> Decision {\n";
    assert!(text.contains(decides));
    let panics = "        if request.template == \"panic\" {\n            let none: Option<u8> = None;\n            \
                  none.expect(\"nothing is there\");\n        }\n";
    fs::write(&source, text.replace(decides, &format!("{decides}{panics}"))).unwrap();
    build::build(folder, &Options::default(), |_| {}).unwrap();
    fs::write(
        folder.join("cases.yaml"),
        "settings: {clusters: []}\nrequest: {workflow: a/w, target: b/c, template: panic}\ncases:\n- {name: one, expect: deny}\n",
    )
    .unwrap();
    let said = "the module panicked: nothing is there (src/lib.rs:";
    for verb in ["test", "run", "explain"] {
        let case = ["--case", "one"];
        let flags = if verb == "test" { &case[..0] } else { &case[..] };
        let ended = binary::run(&[&["policy", verb, binary::text(folder)], flags].concat());
        assert!(ended.stdout.contains(said), "{verb}: {}{}", ended.stdout, ended.stderr);
        assert!(!ended.stdout.contains("it notes:"), "{}", ended.stdout);
    }
}
