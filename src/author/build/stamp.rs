//! The last touches to a component: no path of the machine that built its parts, and the digest of its sources.

use wasm_encoder::{ComponentSection, CustomSection};

use crate::author::build::sources::SECTION;

/// In paths of Rust crates, what stands before the crate's own folder. Interpreters are built with such paths in them.
const CRATES: &[&[u8]] = &[b"/.cargo/registry/src/", b"/.cargo/git/checkouts/"];
/// What takes the place of that, filled up to the same length.
const IN_PLACE: &[u8] = b"crates";
/// A path before `.cargo` is no longer than this: what else would be before it is not looked at.
const HOME_MAX: usize = 200;

/// The finished component.
pub fn stamp(mut component: Vec<u8>, sources_digest: &str) -> Vec<u8> {
    mask_paths(&mut component);
    let section = CustomSection { name: SECTION.into(), data: sources_digest.as_bytes().into() };
    section.append_to_component(&mut component);
    component
}

/// Writes over the folders of the machine on which an interpreter was built, without moving anything.
fn mask_paths(component: &mut [u8]) {
    for marker in CRATES {
        let mut from = 0;
        while let Some(at) = find(component, marker, from) {
            let start = start_of_path(component, at);
            // The folder after the marker is named by the registry: it goes, with the slash that ends it.
            let registry = at + marker.len();
            let end =
                component[registry..].iter().position(|byte| *byte == b'/').map_or(registry, |end| registry + end);
            let place = &mut component[start..end];
            place.fill(b'/');
            if let Some(place) = place.get_mut(..IN_PLACE.len()) {
                place.copy_from_slice(IN_PLACE);
            }
            from = end;
        }
    }
}

/// Where the path begins that has `at` in it: at the slash before the first name of it.
fn start_of_path(bytes: &[u8], at: usize) -> usize {
    let mut start = at;
    for before in (at.saturating_sub(HOME_MAX)..at).rev() {
        match bytes[before] {
            b'/' => start = before,
            byte if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) => {}
            _ => break,
        }
    }
    start
}

fn find(bytes: &[u8], part: &[u8], from: usize) -> Option<usize> {
    bytes[from..].windows(part.len()).position(|window| window == part).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    #[test]
    fn folders_of_the_builder_are_written_over() {
        let check = |from: &str, expected: &str| {
            let mut bytes = from.as_bytes().to_vec();
            super::mask_paths(&mut bytes);
            assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        };
        check(
            "x\0/home/ci/.cargo/registry/src/there-12/a-1.0/src/lib.rs\0",
            "x\0crates////////////////////////////////a-1.0/src/lib.rs\0",
        );
        check("\n/r/.cargo/git/checkouts/a-1/2/b.rs", "\ncrates//////////////////////2/b.rs");
        check("nothing", "nothing");
        check("/.cargo/registry/src/", "crates///////////////");
    }
}
