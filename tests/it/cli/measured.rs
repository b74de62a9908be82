//! `landfall policy cover` and `landfall policy bench`: what they show, and when they fail.

use std::fs;

use crate::{
    cli::binary::{file, run},
    golden,
};

const SUITE: &str = "tests/cli/cover/cases.yaml";

/// The text with every number that depends on how a module was compiled, or on the machine, as `#`.
fn without_figures(text: &str, is_figure: impl Fn(&str) -> bool) -> String {
    let mut shown = String::new();
    for line in text.lines() {
        if !is_figure(line) {
            shown += line;
        } else {
            let masked = line.replace(|c: char| c.is_ascii_digit(), "#");
            let is_unit = |word: &str| ["µs", "ms", "s", "bytes", "KiB", "MiB"].contains(&word.trim_end_matches(','));
            let words = masked.split(' ').filter(|word| !word.is_empty() && !is_unit(word));
            shown += &words
                .map(|word| if word.contains('#') && !word.starts_with(char::is_alphabetic) { "#" } else { word })
                .collect::<Vec<_>>()
                .join(" ");
        }
        shown.push('\n');
    }
    shown
}

#[test]
fn coverage_shows_code_and_the_settings_that_no_case_depends_on() {
    let ended = run(&["policy", "cover", SUITE]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let is_code = |line: &str| line.starts_with("code ") || line.starts_with("       ");
    golden::check("tests/cli/policy-cover.txt", &without_figures(&ended.stdout, is_code));
}

#[test]
fn coverage_below_the_minimum_fails() {
    let check = |flags: &[&str], expected: i32| {
        let ended = run(&[&["policy", "cover", SUITE], flags].concat());
        assert_eq!(ended.code, Some(expected), "{flags:?}: {}{}", ended.stdout, ended.stderr);
    };
    check(&["--all", "--min", "0.1%", "--min-rules", "50"], 0);
    check(&["--min-rules", "100"], 1);
    check(&["--all", "--min", "100"], 1);
    // There are no names in it, so nobody knows which code is its own.
    let ended = run(&["policy", "cover", SUITE, "--min", "0"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("--min asks for what can't be measured: the build left no names"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("hint: name the policy folder, where its sources are"), "{}", ended.stderr);
    let json = run(&["policy", "cover", SUITE, "--min-rules", "100", "-o", "json"]);
    assert_eq!(json.code, Some(1));
    let json = json.json();
    assert_eq!(json["enough"], false);
    assert_eq!(json["rules"]["unused"][0]["path"], "roles[0].rules[1].clusterNames[1]");
    assert_eq!(json["rules"]["unused"][0]["line"], 8);
}

#[test]
fn a_module_alone_has_no_coverage() {
    let check = |arguments: &[&str], expected: &str| {
        let ended = run(&[&["policy", "cover"], arguments].concat());
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), expected));
    };
    let alone = "error: builtin: there is no suite beside a module alone\n\nhint: name one with --suite cases.yaml, or name the policy folder\n";
    check(&["builtin"], alone);
    let missing = "error: nowhere: no such file or folder\n\nhint: name a .wasm file, a policy folder, or `builtin`\n";
    check(&["nowhere"], missing);
    assert_eq!(run(&["policy", "cover", "tests/guest/guest.wasm", "--suite", SUITE]).code, Some(0));
}

#[test]
fn a_bench_is_compared_with_what_it_saved() {
    let (folder, settings) = file("settings.yaml", "roles: []");
    let saved = folder.path().join("bench.json");
    let saved = saved.to_str().unwrap();
    let bench = |flags: &[&str]| run(&[&["policy", "bench", SUITE, "--seconds", "0"], flags].concat());
    let first = bench(&["--save", saved]);
    assert_eq!((first.code, first.stderr.as_str()), (Some(0), ""));
    // Fuel and memory are the same each time, to the last instruction.
    let same = bench(&["--compare", saved]);
    assert_eq!(same.code, Some(0), "{}{}", same.stdout, same.stderr);
    let is_figure = |line: &str| !line.is_empty() && !line.starts_with("builtin");
    golden::check("tests/cli/policy-bench.txt", &without_figures(&same.stdout, is_figure));
    let cheaper: serde_json::Value = serde_json::from_str(&fs::read_to_string(saved).unwrap()).unwrap();
    let mut cheaper = cheaper;
    let fuel = cheaper["exact"]["decisionFuel"]["home"].as_u64().unwrap();
    cheaper["exact"]["decisionFuel"]["home"] = (fuel * 10 / 11).into();
    fs::write(saved, cheaper.to_string()).unwrap();
    let more = bench(&["--compare", saved, "--max-regress", "5%"]);
    assert_eq!(more.code, Some(1), "{}", more.stdout);
    assert!(more.stdout.contains("fuel of \"home\""), "{}", more.stdout);
    assert_eq!(bench(&["--compare", saved, "--max-regress", "11%"]).code, Some(0));
    let json = bench(&["--compare", saved, "-o", "json"]).json();
    assert_eq!(json["comparison"]["rows"][1]["regressed"], true);
    assert_eq!(bench(&["--settings", settings.to_str().unwrap()]).code, Some(0));
}

#[test]
fn one_request_can_be_benched() {
    let (_folder, request) = file("request.yaml", "{workflow: argo/w, target: other/argo, template: other}");
    let request = request.to_str().unwrap();
    let json = run(&["policy", "bench", "builtin", "--request", request, "--seconds", "0", "-o", "json"]).json();
    assert!(json["exact"]["decisionFuel"]["request.yaml"].as_u64().unwrap() > 0, "{json}");
    assert!(json["exact"]["decisionMemoryBytes"].as_u64().unwrap() > 0, "{json}");
}
