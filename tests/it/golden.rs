//! Text that is compared with a file, which UPDATE_GOLDEN=1 rewrites.

use std::{env, fs, path::Path};

/// Compares `found` with the file, whose path is from the root of the repository.
#[track_caller]
pub fn check(file: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{file} is not as the code has it; rewrite with UPDATE_GOLDEN=1");
}
