//! `landfall policy run` and `explain` with the chain that a ConfigMap and a folder of modules make, and what modules note.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::cli::binary::{file, run, text};

/// The roles let namespace `argo` go to cluster `other`; the module lets it use images of one registry.
const CONFIGURATION: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: workflow-controller-configmap, namespace: argo}
data:
  namespaceRoles: |
    - namespace: argo
      rules: [{clusterNames: [other], namespaces: [argo]}]
  policies: |
    modules:
      - file: images.wasm
        settings:
          rules:
            - {targets: ['*/*'], images: ['ghcr.io/acme/**']}
";

/// A folder with the configuration, the modules' folder, and two pods.
struct Place {
    _folder: TempDir,
    configuration: PathBuf,
    policies: PathBuf,
    ours: PathBuf,
    theirs: PathBuf,
}

impl Place {
    fn new() -> Place {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let [configuration, policies, ours, theirs] = ["config.yaml", "policies", "ours.yaml", "theirs.yaml"].map(path);
        fs::write(&configuration, CONFIGURATION).unwrap();
        fs::create_dir(&policies).unwrap();
        fs::copy("policies/images/images.wasm", policies.join("images.wasm")).unwrap();
        let pod = |image: &str| format!("spec: {{containers: [{{name: main, image: '{image}'}}]}}\n");
        fs::write(&ours, pod("ghcr.io/acme/tool:1")).unwrap();
        fs::write(&theirs, pod("evil.example.com/miner:1")).unwrap();
        Place { _folder: folder, configuration, policies, ours, theirs }
    }

    fn ask(&self, verb: &str, target: &str, pod: &Path) -> crate::cli::binary::Ended {
        let chain = ["--config", text(&self.configuration), "--policies", text(&self.policies)];
        let request = ["--workflow", "argo/w", "--target", target, "--pod", text(pod), "-o", "json"];
        run(&[["policy", verb].as_slice(), &chain, &request].concat())
    }
}

#[test]
fn the_chain_of_a_configuration_is_asked_as_the_controller_would() {
    let place = Place::new();
    let check = |target: &str, pod: &Path, code: i32, module: &str, asked: &[&str]| {
        let ended = place.ask("run", target, pod);
        assert_eq!(ended.code, Some(code), "{}{}", ended.stdout, ended.stderr);
        let decided = &ended.json()["decisions"][0];
        let names: Vec<_> =
            decided["modules"].as_array().unwrap().iter().map(|module| module["name"].as_str().unwrap()).collect();
        assert_eq!((decided["module"].as_str(), names.as_slice()), (Some(module), asked), "{decided:#}");
    };
    check("other/argo", &place.ours, 0, "builtin+images", &["builtin", "images"]);
    check("other/argo", &place.theirs, 1, "images", &["builtin", "images"]);
    // Those after the one that denies are not asked.
    check("default/argo", &place.ours, 1, "builtin", &["builtin"]);
    let ended =
        run(&["policy", "run", "--config", text(&place.configuration), "--workflow", "argo/w", "--target", "a/b"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.ends_with("hint: name it: --policies FOLDER\n"), "{}", ended.stderr);
}

#[test]
fn an_explanation_says_where_in_the_configuration_and_what_modules_note() {
    let place = Place::new();
    let explained = place.ask("explain", "other/argo", &place.ours).json();
    let [builtin, images] = [&explained["modules"][0], &explained["modules"][1]];
    assert_eq!((&builtin["notes"], &builtin["decided"]), (&serde_json::Value::Null, &true.into()), "{explained:#}");
    let places: Vec<_> = images["elements"].as_array().unwrap().iter().map(|element| &element["place"]).collect();
    assert_eq!(places, ["policies line 5"], "{explained:#}");
    assert_eq!(
        images["notes"],
        serde_json::json!([
            "1 of 1 rules are for target other/argo",
            r#"container "main": "ghcr.io/acme/tool:1" is ghcr.io/acme/tool:1"#,
        ])
    );
}

#[test]
fn namespace_mode_comes_before_the_modules() {
    let place = Place::new();
    let chain = ["--config", text(&place.configuration), "--policies", text(&place.policies)];
    let ask = |verb: &str, target: &str, managed: &str, format: &[&str]| {
        let request = ["--workflow", "argo/w", "--target", target, "--pod", text(&place.ours)];
        run(&[["policy", verb].as_slice(), &chain, &request, &["--managed-namespace", managed], format].concat())
    };
    let ended = ask("run", "other/argo", "argo", &["-o", "json"]);
    assert_eq!((ended.code, ended.json()["decisions"][0]["module"].as_str()), (Some(0), Some("builtin+images")));
    // The modules would allow it, and are not asked.
    let ended = ask("run", "other/argo", "team", &["-o", "json"]);
    let decided = &ended.json()["decisions"][0];
    assert_eq!(
        (ended.code, &decided["module"], &decided["modules"]),
        (Some(1), &"core".into(), &serde_json::json!([]))
    );
    assert_eq!(decided["verdict"]["deny"]["code"], "namespace-mode", "{decided:#}");
    let ended = ask("explain", "other/argo", "team", &[]);
    for part in [
        "\n\nthe controller runs in namespace mode for \"team\": pods may not be in namespace \"argo\", whatever the cluster\n",
        "\ncode             namespace-mode\nmodule           core\ngeneration       1\n",
        "\nthe core decides this before any module is asked; below is what they would say\n",
        "module images says allow",
    ] {
        assert!(ended.stdout.contains(part), "no {part:?} in\n{}", ended.stdout);
    }
    // One module alone, and a workflow.
    let ended = run(&[
        "policy",
        "run",
        "builtin",
        "--workflow",
        "argo/w",
        "--target",
        "default/argo",
        "--managed-namespace",
        "team",
    ]);
    assert!(ended.stdout.contains("core (namespace-mode) the controller runs in"), "{}", ended.stdout);
    let example = "manifests/examples/multi-cluster.yaml";
    assert_eq!(run(&["policy", "run", example]).code, Some(0));
    let ended = run(&["policy", "run", example, "--managed-namespace", "team"]);
    assert_eq!((ended.code, ended.stdout.matches("core (namespace-mode)").count()), (Some(1), 2), "{}", ended.stdout);
}

#[test]
fn where_nothing_is_listed_no_folder_is_needed() {
    let (_folder, configuration) = file(
        "config.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: workflow-controller-configmap}\ndata: {policies: 'modules: []'}\n",
    );
    let ended =
        run(&["policy", "run", "--config", text(&configuration), "--workflow", "argo/w", "--target", "default/argo"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    assert!(ended.stdout.contains("allowed"), "{}", ended.stdout);
}
