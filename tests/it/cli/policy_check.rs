//! `landfall policy check`: its screen, and what it says of a component that is older than its sources.

use std::fs;

use crate::{
    cli::binary::{run, text},
    golden,
};

/// The section at the end of a component that holds the digest of its sources: two bytes, then its name, which is one byte
/// longer with its length, and 64 digits.
const SECTION_BYTES: usize = 2 + 1 + "landfall:sources".len() + 64;

/// Without figures and digests, which differ from run to run and from build to build.
fn without_figures(shown: &str) -> String {
    let mut text = String::new();
    for line in shown.lines() {
        let mut words: Vec<&str> = Vec::new();
        for word in line.split(' ') {
            let is_unit = ["ns", "µs", "ms", "s", "bytes", "KiB", "MiB"].contains(&word.trim_end_matches(','));
            match words.last_mut() {
                Some(last) if is_unit && last.parse::<f64>().is_ok() => {
                    *last = if word.ends_with(',') { "N," } else { "N" };
                }
                _ if word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit()) => words.push("DIGEST"),
                _ => words.push(word),
            }
        }
        text += &words.join(" ");
        text.push('\n');
    }
    text
}

#[test]
fn a_module_is_shown_with_its_shares_of_the_limits() {
    let ended = run(&["policy", "check", "policies/pod-security"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    golden::check("tests/cli/policy-check.txt", &without_figures(&ended.stdout));
    let report = run(&["policy", "check", "builtin", "-o", "json"]).json();
    assert_eq!((&report["name"], &report["sources"]), (&"builtin".into(), &serde_json::Value::Null));
}

#[test]
fn a_component_that_is_older_than_its_sources_is_noticed() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("pod-security");
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::copy("policies/pod-security/pod-security.wasm", folder.join("pod-security.wasm")).unwrap();
    fs::write(folder.join("Cargo.toml"), "[package]\n").unwrap();
    fs::write(folder.join("src/lib.rs"), "//! Another.\n").unwrap();
    let check = |component: &[u8], json: &str, shown: &str| {
        fs::write(folder.join("pod-security.wasm"), component).unwrap();
        let ended = run(&["policy", "check", text(&folder), "-o", "json"]);
        // The controller would take it all the same.
        assert_eq!((ended.code, ended.json()["sources"].as_str()), (Some(0), Some(json)));
        let ended = run(&["policy", "check", text(&folder)]);
        let line = format!("sources     {}", shown.replace("FOLDER", text(&folder)));
        assert!(ended.stdout.lines().any(|found| found == line), "{line}\n{}", ended.stdout);
    };
    let component = fs::read("policies/pod-security/pod-security.wasm").unwrap();
    check(&component, "changed", "changed since it was built: landfall policy build FOLDER");
    check(
        &component[..component.len() - SECTION_BYTES],
        "unknown",
        "it doesn't say which it was built from: landfall policy build FOLDER makes one that does",
    );
}
