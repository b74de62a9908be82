//! What people call a place in a module: the function's name and the line of the source, as far as the build left them in;
//! and whether it is code of the policy or of a library that was linked into it.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use addr2line::{
    Context,
    gimli::{Dwarf, EndianSlice, LittleEndian},
};
use serde::Serialize;
use wasmparser::{Parser, Payload};

use crate::author::cover::module::{Function, Map};

/// Crates that come with the language or read settings and requests: their branches are not the policy's.
const LIBRARIES: &[&str] = &[
    "__rustc",
    "alloc",
    "compiler_builtins",
    "core",
    "dlmalloc",
    "hashbrown",
    "itoa",
    "landfall_policy_sdk",
    "memchr",
    "panic_abort",
    "panic_unwind",
    "ryu",
    "serde",
    "serde_core",
    "serde_json",
    "std",
    "wit_bindgen",
    "wit_bindgen_rt",
    "zmij",
];
/// What stands in names of functions that tools have written: derived readers of settings, and bindings.
const GENERATED: &[&str] = &["::_::<impl serde", "_export_", "exports::landfall::policy", "__cabi", "cabi_realloc"];
/// What stands in the path of a source that is a library's.
const LIBRARY_PATHS: &[&str] =
    &["/rustc/", "/.cargo/", "/library/core/", "/library/alloc/", "/library/std/", "/sdk/src/"];

/// A line of a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The file, relative to the policy folder where it is in it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// The sources that one module was built from, as its debugging information names them.
pub struct Lines<'a> {
    context: Context<EndianSlice<'a, LittleEndian>>,
    code_begin: usize,
}

impl<'a> Lines<'a> {
    /// Reads the debugging information of the module of `map` in `file`; `None` if it has none, as in a release build.
    pub fn read(file: &'a [u8], map: &Map) -> Option<Lines<'a>> {
        let bytes = file.get(map.range.clone())?;
        let mut sections: Vec<(&str, &[u8])> = Vec::new();
        for payload in Parser::new(0).parse_all(bytes) {
            if let Ok(Payload::CustomSection(section)) = payload
                && section.name().starts_with(".debug_")
            {
                sections.push((section.name(), section.data()));
            }
        }
        if !sections.iter().any(|(name, _)| *name == ".debug_line") {
            return None;
        }
        let load = |id: addr2line::gimli::SectionId| {
            let section = sections.iter().find(|(name, _)| *name == id.name());
            Ok::<_, ()>(EndianSlice::new(section.map_or(&[][..], |(_, data)| data), LittleEndian))
        };
        let context = Context::from_dwarf(Dwarf::load(load).ok()?).ok()?;
        Some(Lines { context, code_begin: map.code_begin })
    }

    /// The line of what is at `offset` of the file, and whether it is the policy's own. Files within `folder` are named
    /// from there.
    pub fn place(&self, offset: usize, folder: Option<&Path>) -> Option<(Place, bool)> {
        let address = offset.checked_sub(self.code_begin)? as u64;
        let location = self.context.find_location(address).ok()??;
        let (file, line) = (location.file?, location.line.filter(|line| *line > 0)?);
        let library = LIBRARY_PATHS.iter().any(|part| file.contains(part)) || file.starts_with("crates/");
        let inside = folder.and_then(|folder| Path::new(file).strip_prefix(folder).ok());
        let own = match (folder, inside) {
            // A crate within the folder, as the SDK is in that of a new module, is another one.
            (Some(folder), Some(inside)) => {
                let folders = inside.ancestors().skip(1).filter(|inner| !inner.as_os_str().is_empty());
                !folders.into_iter().any(|inner| folder.join(inner).join("Cargo.toml").is_file())
            }
            (_, None) | (None, _) => !library && !Path::new(file).is_absolute(),
        };
        let file = inside.map_or_else(|| file.to_owned(), |inside| inside.display().to_string());
        Some((Place { file, line }, own))
    }
}

/// The texts of sources, read once.
#[derive(Default)]
pub struct Texts(HashMap<PathBuf, Vec<String>>);

impl Texts {
    /// Whether people wrote code in that line: it is no attribute, from which functions are derived, no call of the SDK's
    /// macro, and not only a bracket, at which the compiler drops values. A line that can't be read is taken for code.
    pub fn is_code(&mut self, folder: Option<&Path>, place: &Place) -> bool {
        let path = folder.unwrap_or(Path::new("")).join(&place.file);
        let lines = self.0.entry(path).or_insert_with_key(|path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        });
        let Some(line) = lines.get((place.line as usize).saturating_sub(1)) else { return true };
        let line = line.trim();
        let is_macro = line.starts_with("#[") || line.contains("_sdk::export!(") || line.starts_with("export!(");
        !is_macro && line.contains(|c: char| c.is_alphanumeric() || c == '?')
    }
}

/// The function's name for people; functions without one are named by their number.
pub fn name(function: &Function) -> String {
    match (&function.symbol, function.exports.first()) {
        (Some(symbol), _) => format!("{:#}", rustc_demangle::demangle(symbol)),
        (None, Some(export)) => export.clone(),
        (None, None) => format!("function {}", function.index),
    }
}

/// Whether the function is the policy's own, by its name; without one nobody knows, and it is taken for that.
pub fn is_own(function: &Function) -> bool {
    let Some(symbol) = &function.symbol else { return true };
    let Ok(demangled) = rustc_demangle::try_demangle(symbol) else {
        // What isn't mangled comes from elsewhere: allocation, copying of memory, exports.
        return false;
    };
    let name = format!("{demangled:#}");
    let library = LIBRARIES.contains(&crate_of(&name));
    !library && !is_generated(&name)
}

/// Whether a tool has written the function of this name.
pub fn is_generated(name: &str) -> bool {
    GENERATED.iter().any(|part| name.contains(part))
}

/// The crate that a name begins with: `a` of `a::b::c`, of `<a::B as core::fmt::Display>::fmt` and of `<&a::B as …`.
fn crate_of(name: &str) -> &str {
    let begin = name.trim_start_matches(['<', '&', '*', '[', '(']);
    let begin = begin.strip_prefix("mut ").or_else(|| begin.strip_prefix("const ")).unwrap_or(begin);
    begin.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::crate_of;

    #[test]
    fn names_begin_with_their_crate() {
        let check = |name: &str, expected: &str| assert_eq!(crate_of(name), expected);
        check("images::glob::matches", "images");
        check("<images::Settings as core::fmt::Debug>::fmt", "images");
        check("<&mut images::Settings as core::fmt::Debug>::fmt", "images");
        check("core::ptr::drop_in_place<images::Settings>", "core");
        check("<[images::Rule] as alloc::slice::Join>::join", "images");
        check("", "");
    }
}
