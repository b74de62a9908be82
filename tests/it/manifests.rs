//! What stands in `manifests/crds` is what the types say.

use std::{env, fs, path::Path};

use landfall::api::crd;

/// Lists the others for kustomize.
const KUSTOMIZATION: &str = "kustomization.yaml";

#[test]
fn crds_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/crds");
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in crd::files() {
            fs::write(folder.join(name), text).unwrap();
        }
    }
    let mut stale = Vec::new();
    let mut known = Vec::new();
    for (name, text) in crd::files() {
        if fs::read_to_string(folder.join(&name)).ok() != Some(text) {
            stale.push(name.clone());
        }
        known.push(name);
    }
    let listed = known.iter().map(|name| format!("  - {name}\n")).collect::<String>();
    let kustomization = fs::read_to_string(folder.join(KUSTOMIZATION)).unwrap();
    assert!(kustomization.ends_with(&format!("resources:\n{listed}")), "{KUSTOMIZATION} does not list {known:?}");
    known.push(KUSTOMIZATION.to_owned());
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !known.contains(&name) {
            stale.push(name);
        }
    }
    assert!(stale.is_empty(), "not as the code has it: {stale:?}; rewrite with UPDATE_GOLDEN=1");
}

/// `kubectl apply` keeps the object in an annotation, which may hold this many bytes.
const APPLY_MAX: usize = 256 << 10;

#[test]
fn crds_are_structural_and_fit_into_an_annotation() {
    for document in crd::documents() {
        let name = document["metadata"]["name"].as_str().unwrap().to_owned();
        let size = document.to_string().len();
        assert!(size < APPLY_MAX, "{name}: {size} bytes");
        check_structural(&document["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &name);
    }
}

/// Each part says its type, or that it is open; nothing refers elsewhere.
fn check_structural(schema: &serde_json::Value, path: &str) {
    let fields = schema.as_object().unwrap_or_else(|| panic!("{path}: not an object"));
    let open = ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"];
    assert!(
        fields.get("type").is_some_and(|it| it.is_string()) || open.iter().any(|it| fields.contains_key(*it)),
        "{path}: no type"
    );
    for (name, value) in fields {
        match name.as_str() {
            "properties" => {
                for (name, schema) in value.as_object().unwrap() {
                    check_structural(schema, &format!("{path}.{name}"));
                }
            }
            "items" | "additionalProperties" => check_structural(value, &format!("{path}[]")),
            "type" | "format" | "description" => (),
            _ if open.contains(&name.as_str()) => (),
            other => panic!("{path}: {other}"),
        }
    }
}
