//! Settings that a module refuses: the file and the line that it complains of are named, wherever the settings come from.

use std::fs;

use crate::cli::binary::{landfall, text};

const REFUSED: &str = "refuses its settings: rules[1].images: invalid type: string \"**\", expected a sequence";

/// Runs in a folder with wrong settings in a file, in two suites, and in a configuration.
fn check(arguments: &str, code: i32, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let root = env!("CARGO_MANIFEST_DIR");
    let images = format!("{root}/policies/images/images.wasm");
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    write(
        "bad.yaml",
        "# Rules.\nrules:\n  - {targets: ['@home/*'], images: ['**']}\n  - targets: ['@remote/*']\n    images: '**'\n",
    );
    let cases = "cases:\n  - name: one\n    request: {workflow: a/b, target: c/d}\n    expect: deny\n";
    let settings = "settings:\n  rules:\n    - {targets: ['@home/*'], images: ['**']}\n    - {targets: ['@remote/*'], images: '**'}\n";
    write("suite/cases.yaml", &format!("module: ../images.wasm\n{settings}{cases}"));
    write("pinned.yaml", "{}");
    write("request.yaml", "workflow: a/b\ntarget: c/d\n");
    let policies = "modules:\n  - file: images.wasm\n    settings:\n      rules:\n        - {targets: ['@home/*'], images: ['**']}\n        - {targets: ['@remote/*'], images: '**'}\n";
    let policies = policies.replace('\n', "\n    ");
    write(
        "config.yaml",
        &format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: workflow-controller-configmap, namespace: argo}}\ndata:\n  policies: |\n    {policies}\n"
        ),
    );
    fs::create_dir(folder.path().join("modules")).unwrap();
    fs::copy(&images, folder.path().join("modules/images.wasm")).unwrap();
    fs::copy(&images, folder.path().join("images.wasm")).unwrap();
    let words: Vec<&str> = ["policy"].into_iter().chain(arguments.split(' ')).collect();
    let output = landfall(&words).current_dir(text(folder.path())).output().unwrap();
    let shown = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments}\n{shown}");
    let expected = expected.replace("REFUSED", REFUSED);
    assert!(shown.contains(&expected), "{arguments}: not {expected:?} in\n{shown}");
}

#[test]
fn those_in_a_file() {
    let expected = "error: bad.yaml:5: images.wasm REFUSED\n";
    check("check images.wasm --settings bad.yaml", 1, expected);
    check("run images.wasm --settings bad.yaml --workflow a/b --target c/d", 1, expected);
    check("explain images.wasm --settings bad.yaml --workflow a/b --target c/d", 1, expected);
    check("fuzz images.wasm --settings bad.yaml --runs 1", 1, expected);
    check("bench images.wasm --settings bad.yaml --request request.yaml", 1, expected);
    let expected = "error: new: bad.yaml:5: images.wasm REFUSED\n";
    check("diff builtin images.wasm --old-settings pinned.yaml --new-settings bad.yaml", 1, expected);
    let both = "error: neither of the two loads\n  old: bad.yaml:5: images.wasm REFUSED\n  new: bad.yaml:5: images.wasm REFUSED\n";
    check("diff images.wasm images.wasm --settings bad.yaml", 1, both);
}

#[test]
fn those_in_a_suite() {
    check("test suite", 1, "= note: the settings stand at suite/cases.yaml:5\n");
    check("explain suite --case one", 1, "error: suite/cases.yaml:5: suite/../images.wasm REFUSED\n");
    check("fuzz images.wasm --suite suite --runs 1", 1, "error: suite/cases.yaml:5: images.wasm REFUSED\n");
}

#[test]
fn those_in_a_configuration() {
    let expected = "error: config.yaml:1: policies line 6: policy module \"images\" (modules/images.wasm): REFUSED\n";
    check("run --config config.yaml --policies modules --workflow a/b --target c/d", 1, expected);
}
