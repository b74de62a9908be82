//! What a module's file is, before anything of it is compiled: a component, does it import anything, and is it compiled in
//! reasonable time?

use wasmparser::{ComponentTypeRef, Encoding, Parser, Payload};

use crate::policy::effort::{self, Excess};

/// A message names so many imports and counts the rest: WASI has some dozens.
const IMPORTS_SHOWN_MAX: usize = 8;

/// Why a file can't be a policy module at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It doesn't begin as WebAssembly does.
    #[error("not a WebAssembly component: the file begins with {start:?}")]
    NotWebAssembly {
        /// The first bytes, as text as far as they are.
        start: String,
    },
    /// A module as compilers make it, not yet a component.
    #[error("a core module, not a component{}", list(.imports, "; it imports "))]
    CoreModule {
        /// What it imports.
        imports: Vec<String>,
    },
    /// A component that needs something from its host.
    #[error("the component has imports, and there is nothing to import{}", list(.imports, ": "))]
    Imports {
        /// Their names.
        imports: Vec<String>,
    },
    /// The file is cut off or damaged.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Compiling it would hold up everything that comes after it.
    #[error("compiling it would take too long: {0}")]
    Laborious(Excess),
}

/// Checks that `bytes` are a component without imports that is compiled in reasonable time. Whether it exports the interface
/// is seen when it is compiled.
pub fn inspect(bytes: &[u8]) -> Result<(), Unfit> {
    let Some((b"\0asm", _)) = bytes.split_at_checked(4) else {
        let start = bytes.iter().take(8).copied().collect::<Vec<u8>>();
        return Err(Unfit::NotWebAssembly { start: String::from_utf8_lossy(&start).into_owned() });
    };
    let malformed = |error: wasmparser::BinaryReaderError| Unfit::Malformed(error.to_string());
    let mut depth = 0_usize;
    let mut imports = Vec::new();
    let mut core = false;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::Version { encoding, .. } => {
                core |= depth == 0 && encoding == Encoding::Module;
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ImportSection(section) if depth == 1 => {
                for import in section.into_imports() {
                    let import = import.map_err(malformed)?;
                    imports.push(format!("{}#{}", import.module, import.name));
                }
            }
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    let import = import.map_err(malformed)?;
                    // A type is a name for something, and needs nothing from the host.
                    if !matches!(import.ty, ComponentTypeRef::Type(_)) {
                        imports.push(import.name.name.to_owned());
                    }
                }
            }
            // A file that ends within one reads as if the section ended there, to all but those who take its bytes.
            Payload::ModuleSection { unchecked_range: range, .. }
            | Payload::ComponentSection { unchecked_range: range, .. }
                if range.end > bytes.len() =>
            {
                return Err(Unfit::Malformed("the file ends within a section".to_owned()));
            }
            // All other sections say nothing about imports; compiling validates them.
            _ => {}
        }
    }
    match (core, imports.is_empty()) {
        (true, _) => Err(Unfit::CoreModule { imports }),
        (false, false) => Err(Unfit::Imports { imports }),
        (false, true) => match effort::excess(bytes).map_err(malformed)? {
            Some(excess) => Err(Unfit::Laborious(excess)),
            None => Ok(()),
        },
    }
}

impl Unfit {
    /// What to change in the build, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Unfit::NotWebAssembly { .. } | Unfit::Malformed(_) => {
                Some("only binary components are read; text (.wat) and precompiled modules (.cwasm) are not")
            }
            Unfit::CoreModule { .. } => Some(
                "make a component of it with `landfall policy build`, or `wasm-tools component new`; for Rust, build for \
                 wasm32-unknown-unknown",
            ),
            Unfit::Imports { imports } if imports.iter().any(|name| name.starts_with("wasi:")) => Some(
                "build it without WASI, as `landfall policy build` does: Rust for wasm32-unknown-unknown; JavaScript with \
                 `componentize-qjs --stub-wasi --sync`; Python with `componentize-py componentize --stub-wasi`",
            ),
            Unfit::Laborious(excess) => Some(excess.measure.hint()),
            Unfit::Imports { .. } => Some("the world `module` of landfall:policy has exports only: remove the imports"),
        }
    }
}

fn list(names: &[String], before: &str) -> String {
    if names.is_empty() {
        return String::new();
    }
    let shown = names.iter().take(IMPORTS_SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(IMPORTS_SHOWN_MAX) {
        0 => format!("{before}{shown}"),
        more => format!("{before}{shown} and {more} more"),
    }
}
