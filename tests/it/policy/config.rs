//! Mistakes in the configuration: each refuses it and is named with line, place, and the name that was meant.

use k8s_openapi::api::core::v1::ConfigMap;
use landfall::policy::{
    config::{ChainConfig, Config, ModuleConfig, ModulesConfig},
    decision::Mode,
    limits::Limits,
};

fn refused(namespace_roles: Option<&str>, policies: Option<&str>) -> String {
    Config::parse(namespace_roles, policies).unwrap_err().to_string()
}

#[test]
fn mistakes_in_roles() {
    let check = |text: &str, expected: &str| assert_eq!(refused(Some(text), None), expected, "{text}");
    check(
        "- namespce: argo\n  rules: []\n",
        "namespaceRoles line 1: [0].namespce: unknown field, did you mean \"namespace\"?; \
         namespaceRoles line 1: [0]: missing field \"namespace\" (\"\" means every namespace)",
    );
    check(
        "- namespace: argo\n  rules:\n    - clusterName: [default]\n      namespaces: [argo]\n",
        "namespaceRoles line 3: [0].rules[0].clusterName: unknown field, did you mean \"clusterNames\"?",
    );
    check(
        "- namespace: argo\n  rules:\n    - clusterNames: default\n      namespaces: [argo, 7, true]\n",
        "namespaceRoles line 3: [0].rules[0].clusterNames: expected a list, found text; \
         namespaceRoles line 4: [0].rules[0].namespaces[1]: expected text, found a number; \
         namespaceRoles line 4: [0].rules[0].namespaces[2]: expected text, found a boolean",
    );
    check("argo", "namespaceRoles line 1: expected a list, found text");
    check("- argo", "namespaceRoles line 1: [0]: expected a map with \"namespace\" and \"rules\", found text");
    check(
        "namespaces:\n- namespace: argo\n",
        "namespaceRoles line 2: namespaces[0].namespace: unknown field, did you mean \"name\"?; \
         namespaceRoles line 2: namespaces[0]: missing field \"name\" (\"\" means every namespace)",
    );
    check("roles: []", "namespaceRoles line 1: roles: unknown field, known here: \"namespaces\"");
    for malformed in ["- namespace: [", "- {namespace: a, namespace: b}", "- namespace: *", "a: b\n---\nc: d\n"] {
        let error = refused(Some(malformed), None);
        assert!(error.starts_with("namespaceRoles line "), "{malformed:?}: {error}");
    }
}

#[test]
fn a_star_is_warned_of() {
    let text = "- namespace: '*'\n  rules:\n    - clusterNames: ['*']\n      namespaces: ['']\n";
    let (_, warnings) = Config::parse(Some(text), None).unwrap();
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "namespaceRoles line 1: [0].namespace: \"*\" is an ordinary name and matches nothing else; \"\" means any",
            "namespaceRoles line 3: [0].rules[0].clusterNames[0]: \"*\" is an ordinary name and matches nothing else; \
             \"\" means any",
        ]
    );
}

#[test]
fn the_chain() {
    let check = |text: &str, builtin: bool, modules: ModulesConfig| {
        let expected = ChainConfig { builtin, modules, ..ChainConfig::default() };
        assert_eq!(Config::parse(None, Some(text)).unwrap().0.chain, expected, "{text}");
    };
    check("", true, ModulesConfig::WholeFolder);
    check("builtin: false", false, ModulesConfig::WholeFolder);
    check("modules: []", true, ModulesConfig::Listed(vec![]));
    let settings = serde_json::json!({"allow": ["a", 1.5]});
    let images = ModuleConfig { settings, ..ModuleConfig::of_file("images.wasm", Limits::default()) };
    let other = ModuleConfig::of_file("other.wasm", Limits::default());
    check(
        "builtin: true\nmodules:\n- file: images.wasm\n  settings: {allow: [a, 1.5]}\n- file: other.wasm\n",
        true,
        ModulesConfig::Listed(vec![images, other]),
    );
}

#[test]
fn mistakes_in_the_chain() {
    let check = |text: &str, expected: &str| assert_eq!(refused(None, Some(text)), expected, "{text}");
    check("builtin: nope", "policies line 1: builtin: expected true or false, found text");
    check("module: []", "policies line 1: module: unknown field, did you mean \"modules\"?");
    check("builtin: false\nmodules: []", "policies line 2: modules: no module is left in the chain");
    check("modules: [{}]", "policies line 1: modules[0]: missing field \"file\"");
    check(
        "modules:\n- file: ../x.wasm\n",
        "policies line 2: modules[0].file: \"../x.wasm\" is not the name of a .wasm file in the policy folder",
    );
    check("modules:\n- file: a.wasm\n- file: a.wasm\n", "policies line 3: modules[1]: \"a.wasm\" is listed twice");
    check(
        "modules:\n- file: a.wasm\n  sha265: x\n",
        "policies line 3: modules[0].sha265: unknown field, did you mean \"sha256\"?",
    );
    check(
        "modules:\n- file: a.wasm\n  mode: shadows\n",
        "policies line 3: modules[0].mode: expected \"enforce\" or \"shadow\", found \"shadows\", did you mean \"shadow\"?",
    );
    check("modules:\n- {file: a.wasm, mode: }\n", "policies line 2: modules[0].mode: expected text, found nothing");
    check(
        "builtin: false\nmodules:\n- {file: a.wasm, mode: shadow}\n",
        "policies line 3: modules: no module is left that decides: all are shadows, and the built-in one is left out",
    );
    check("allowedDigest: []", "policies line 1: allowedDigest: unknown field, did you mean \"allowedDigests\"?");
    check("allowedDigests: {}", "policies line 1: allowedDigests: expected a list, found a map");
    check(
        "limits: 10",
        "policies line 1: limits: expected a map with \"decisionMilliseconds\" and \"configureMilliseconds\" \
         and \"memoryMebibytes\" and \"resultKibibytes\", found a number",
    );
}

#[test]
fn numbers_that_would_not_be_what_they_look_like() {
    let check = |settings: &str, expected: &str| {
        let text = format!("modules:\n- file: a.wasm\n  settings:\n    limit: {settings}\n");
        assert_eq!(refused(None, Some(&text)), format!("policies line 4: {expected}"), "{settings}");
    };
    check("010", "010 begins with a zero: write the number without, or in quotes if it is text");
    check(
        "[1, 99999999999999999999]",
        "99999999999999999999 has more than 64 bits, and would lose digits: write it in quotes",
    );
    check(".inf", ".inf is no number that JSON has: write it in quotes if it is text");
    assert_eq!(
        refused(None, Some("limits: {decisionMilliseconds: 010}")),
        "policies line 1: 010 begins with a zero: write the number without, or in quotes if it is text"
    );
}

#[test]
fn mistakes_in_digests() {
    let check = |text: &str, expected: &str| assert_eq!(refused(None, Some(text)), expected, "{text}");
    let none = "is not a SHA-256 digest: 64 hex digits, with or without \"sha256:\" before them";
    check("allowedDigests: [abc]", &format!("policies line 1: allowedDigests[0]: \"abc\" {none}"));
    let ones = "1".repeat(64);
    check(
        &format!("allowedDigests:\n- {ones}\n"),
        &format!("policies line 2: {ones} has more than 64 bits, and would lose digits: write it in quotes"),
    );
    Config::parse(None, Some(&format!("allowedDigests:\n- sha256:{ones}\n- '{ones}'\n"))).unwrap();
    check(
        &format!("allowedDigests: ['sha512:{ones}']"),
        &format!("policies line 1: allowedDigests[0]: \"sha512:{ones}\" {none}"),
    );
    let twos = "2".repeat(64);
    check(
        &format!("modules:\n- file: a.wasm\n  sha256: sha256:{twos}\nallowedDigests: [sha256:{ones}]\n"),
        "policies line 3: modules[0].sha256: not among allowedDigests: no file could be right",
    );
}

/// The example is the reference: it has every key, and says what the defaults are.
#[test]
fn the_example_is_right() {
    let example = include_str!("../../../manifests/examples/policies.yaml");
    let example: ConfigMap = serde_saphyr::from_str(example).unwrap();
    let (config, warnings) = Config::parse(None, Some(&example.data.unwrap()["policies"])).unwrap();
    assert_eq!(warnings, []);
    let ChainConfig { builtin, modules, allowed_digests, limits } = config.chain;
    assert_eq!((builtin, limits, allowed_digests.unwrap().len()), (true, Limits::default(), 2));
    let ModulesConfig::Listed(modules) = modules else { panic!("{modules:?}") };
    let modes: Vec<_> = modules.iter().map(|module| (module.file.as_str(), module.mode)).collect();
    assert_eq!(modes, [("images.wasm", Mode::Enforce), ("next.wasm", Mode::Shadow)]);
    assert_eq!(modules[1].limits.decision_time.as_millis(), 50);
}
