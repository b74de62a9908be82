//! New policy folders: what is in them, and what is refused.

use std::{fs, path::Path};

use landfall::author::{
    build::Language,
    new::{NewError, create},
};

#[test]
fn a_new_folder_is_of_its_language_and_bears_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for (name, language) in
        [("in-rust", Language::Rust), ("in-js", Language::JavaScript), ("in-python", Language::Python)]
    {
        let path = folder.path().join("below").join(name);
        let files = create(&path, language).unwrap();
        assert_eq!(Language::of(&path), Some(language));
        for file in files {
            let text = fs::read_to_string(path.join(file)).unwrap();
            assert!(!text.contains("my-policy"), "{name}/{file}");
        }
        assert!(fs::read_to_string(path.join("README.md")).unwrap().contains(&format!("{name}.wasm")));
    }
}

#[test]
fn nothing_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    create(&taken, Language::JavaScript).unwrap();
    assert!(matches!(create(&taken, Language::Python), Err(NewError::NotEmpty { .. })));
    assert!(matches!(create(&folder.path().join("No Name"), Language::Python), Err(NewError::Name { .. })));
    assert!(!folder.path().join("No Name").exists());
}

#[test]
fn the_modules_of_this_repository_use_the_files_that_new_ones_are_given() {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    for (template, module) in [
        ("templates/js/landfall_policy.js", "office-hours/landfall_policy.js"),
        ("templates/python/landfall_policy.py", "name-rules/landfall_policy.py"),
        ("templates/python/requirements.txt", "name-rules/requirements.txt"),
    ] {
        let text = |file: &str| fs::read_to_string(policies.join(file)).unwrap();
        assert_eq!(text(template), text(module), "{module} is to be a copy of {template}");
    }
}
