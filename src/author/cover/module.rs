//! A core module, rewritten so that what runs of it can be read from a memory that it gets for that alone.
//!
//! Everything is added at the end of its index space, so that nothing else of the module changes: one memory for marks, one
//! function that tells where they are, and the exports of both. Functions are rewritten in `function`.

use std::{collections::HashMap, ops::Range};

use wasm_encoder::{CodeSection, Encode, InstructionSink, MemArg, Module, RawSection};
use wasmparser::{ExternalKind, FunctionBody, KnownCustom, Name, Parser, Payload, Result, TypeRef};

use crate::author::cover::function::{self, Marks, Memory};

/// The exported function that tells where the marks are.
pub const EXPORT_MARKS: &str = "landfall-cover-marks";
/// The exported memory that they are in.
pub const EXPORT_MEMORY: &str = "landfall-cover-memory";

/// The marks begin behind the place in which [`EXPORT_MARKS`] answers: an address and a length.
const BASE: u32 = 8;
/// Bytes of a page of memory.
const PAGE_BYTES: u64 = 64 << 10;

const SECTION_TYPE: u8 = 1;
const SECTION_FUNCTION: u8 = 3;
const SECTION_MEMORY: u8 = 5;
const SECTION_EXPORT: u8 = 7;
const SECTION_CODE: u8 = 10;
/// The sections that come before that of memories, besides custom ones.
const BEFORE_MEMORIES: [u8; 4] = [SECTION_TYPE, 2, SECTION_FUNCTION, 4];

/// A module and its rewriting.
pub struct Rewritten {
    /// The bytes in its place.
    pub bytes: Vec<u8>,
    /// What the marks mean.
    pub map: Map,
}

/// What the marks of a module mean.
#[derive(Clone, Debug)]
pub struct Map {
    /// How many marks there are.
    pub marks: u32,
    /// The module's own functions, in order.
    pub functions: Vec<Function>,
    /// Where the module is in the component's file.
    pub range: Range<usize>,
    /// Where the content of its code section begins in that file: debugging information counts from there.
    pub code_begin: usize,
}

/// One function of a module.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its index in the module.
    pub index: u32,
    /// Its name as the compiler wrote it, if it is still there.
    pub symbol: Option<String>,
    /// The names under which it is exported.
    pub exports: Vec<String>,
    /// What can be seen of it.
    pub marks: Marks,
}

/// A module as it was read.
#[derive(Default)]
struct Sections<'a> {
    /// All sections in order, as their number and where their content is.
    all: Vec<(u8, Range<usize>)>,
    /// How many parameters each type has, if it is one of functions.
    types: Vec<u32>,
    imported_functions: u32,
    /// Imported and own ones.
    memories: u32,
    own_memories: u32,
    /// The type of each own function.
    functions: Vec<u32>,
    exports: HashMap<u32, Vec<&'a str>>,
    export_count: u32,
    bodies: Vec<FunctionBody<'a>>,
    names: HashMap<u32, &'a str>,
    type_groups: u32,
}

/// Rewrites the core module that is at `range` of `file`; `None` if there is nothing in it that could run.
///
/// # Errors
///
/// The module is malformed.
pub fn rewrite(file: &[u8], range: Range<usize>) -> Result<Option<Rewritten>> {
    let sections = Sections::read(file, range.clone())?;
    let Some(code_begin) = sections.content(SECTION_CODE).map(|content| content.start) else { return Ok(None) };
    let needed = [SECTION_TYPE, SECTION_FUNCTION, SECTION_EXPORT];
    if needed.iter().any(|id| sections.content(*id).is_none()) {
        return Ok(None);
    }
    let memory = Memory { index: sections.memories, base: BASE };
    let mut code = CodeSection::new();
    let mut marks = 0;
    let mut functions = Vec::with_capacity(sections.bodies.len());
    for (index, body) in (sections.imported_functions..).zip(&sections.bodies) {
        let mut bytes = Vec::with_capacity(body.range().len() * 2);
        let seen = function::rewrite(file, body, (sections.parameters(index), memory), &mut marks, &mut bytes)?;
        code.raw(&bytes);
        functions.push(sections.function(index, seen));
    }
    code.raw(&accessor(memory, marks));
    let bytes = sections.write(file, &code, marks);
    Ok(Some(Rewritten { bytes, map: Map { marks, functions, range, code_begin } }))
}

impl<'a> Sections<'a> {
    fn read(file: &'a [u8], range: Range<usize>) -> Result<Sections<'a>> {
        let begin = range.start;
        let mut sections = Sections::default();
        let bytes = file.get(range).unwrap_or_default();
        for payload in Parser::new(begin as u64).parse_all(bytes) {
            let payload = payload?;
            if let Some((id, content)) = payload.as_section()
                && !is_of_code(&payload)
            {
                sections.all.push((id, content));
            }
            sections.take(payload)?;
        }
        Ok(sections)
    }

    fn take(&mut self, payload: Payload<'a>) -> Result<()> {
        match payload {
            Payload::TypeSection(section) => {
                self.type_groups = section.count();
                for group in section {
                    for ty in group?.into_types() {
                        let function = match &ty.composite_type.inner {
                            wasmparser::CompositeInnerType::Func(function) => function.params().len(),
                            _ => 0,
                        };
                        self.types.push(u32::try_from(function).unwrap_or(u32::MAX));
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    match import?.ty {
                        TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                            self.imported_functions += 1;
                            self.functions.push(ty);
                        }
                        TypeRef::Memory(_) => self.memories += 1,
                        TypeRef::Table(_) | TypeRef::Global(_) | TypeRef::Tag(_) => {}
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    self.functions.push(ty?);
                }
            }
            Payload::MemorySection(section) => {
                self.own_memories = section.count();
                self.memories += section.count();
            }
            Payload::ExportSection(section) => {
                self.export_count = section.count();
                for export in section {
                    let export = export?;
                    if export.kind == ExternalKind::Func {
                        self.exports.entry(export.index).or_default().push(export.name);
                    }
                }
            }
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(names) = section.as_known() {
                    self.take_names(names);
                }
            }
            // What else there is has no part in how functions are numbered.
            _ => {}
        }
        Ok(())
    }

    /// Names are for show: what can't be read of them is left out.
    fn take_names(&mut self, names: wasmparser::NameSectionReader<'a>) {
        for subsection in names.into_iter().flatten() {
            if let Name::Function(map) = subsection {
                self.names.extend(map.into_iter().flatten().map(|naming| (naming.index, naming.name)));
            }
        }
    }

    fn content(&self, wanted: u8) -> Option<Range<usize>> {
        self.all.iter().find(|(id, _)| *id == wanted).map(|(_, content)| content.clone())
    }

    fn parameters(&self, function: u32) -> u32 {
        let ty = self.functions.get(function as usize);
        ty.and_then(|ty| self.types.get(*ty as usize)).copied().unwrap_or_default()
    }

    fn function(&self, index: u32, marks: Marks) -> Function {
        let exports = self.exports.get(&index).into_iter().flatten();
        Function {
            index,
            symbol: self.names.get(&index).map(|name| (*name).to_owned()),
            exports: exports.map(|name| (*name).to_owned()).collect(),
            marks,
        }
    }

    /// The module with `code` in place of its own and room for `marks`.
    fn write(&self, file: &[u8], code: &CodeSection, marks: u32) -> Vec<u8> {
        let pages = (u64::from(BASE) + u64::from(marks)).div_ceil(PAGE_BYTES);
        let memory = joined(&[&[0], &encoded(pages)]);
        let accessor = self.imported_functions.saturating_add(u32::try_from(self.bodies.len()).unwrap_or(u32::MAX));
        let mut exports = Vec::new();
        EXPORT_MARKS.encode(&mut exports);
        exports.push(0);
        accessor.encode(&mut exports);
        EXPORT_MEMORY.encode(&mut exports);
        exports.push(2);
        self.memories.encode(&mut exports);
        let mut module = Module::new();
        let mut has_memories = self.content(SECTION_MEMORY).is_some();
        for (id, content) in &self.all {
            if !has_memories && *id != 0 && !BEFORE_MEMORIES.contains(id) {
                has_memories = true;
                section(&mut module, SECTION_MEMORY, &joined(&[&encoded(1_u32), &memory]));
            }
            let old = file.get(content.clone()).unwrap_or_default();
            let grown = |count: u32, by: u32, new: &[u8]| {
                let entries = old.get(encoded_length(old)..).unwrap_or_default();
                joined(&[&encoded(count.saturating_add(by)), entries, new])
            };
            match *id {
                // A function without parameters that gives an i32.
                SECTION_TYPE => section(&mut module, *id, &grown(self.type_groups, 1, &[0x60, 0, 1, 0x7f])),
                SECTION_FUNCTION => {
                    let own = u32::try_from(self.bodies.len()).unwrap_or(u32::MAX);
                    let ty = u32::try_from(self.types.len()).unwrap_or(u32::MAX);
                    section(&mut module, *id, &grown(own, 1, &encoded(ty)));
                }
                SECTION_MEMORY => section(&mut module, *id, &grown(self.own_memories, 1, &memory)),
                SECTION_EXPORT => section(&mut module, *id, &grown(self.export_count, 2, &exports)),
                SECTION_CODE => drop(module.section(code)),
                _ => section(&mut module, *id, old),
            }
        }
        module.finish()
    }
}

/// Custom sections that are about places in the code: all of them are wrong after the rewriting, and nothing that runs
/// reads them.
fn is_of_code(payload: &Payload<'_>) -> bool {
    match payload {
        Payload::CustomSection(section) => {
            section.name().starts_with("metadata.code.") || section.name().starts_with(".debug_")
        }
        _ => false,
    }
}

fn section(module: &mut Module, id: u8, data: &[u8]) {
    module.section(&RawSection { id, data });
}

/// A function that writes where the marks are to the beginning of their memory, and gives the address of that.
fn accessor(memory: Memory, marks: u32) -> Vec<u8> {
    let place = |offset| MemArg { offset, align: 2, memory_index: memory.index };
    let mut body = vec![0];
    InstructionSink::new(&mut body)
        .i32_const(0)
        .i32_const(i32::from_ne_bytes(BASE.to_ne_bytes()))
        .i32_store(place(0))
        .i32_const(0)
        .i32_const(i32::from_ne_bytes(marks.to_ne_bytes()))
        .i32_store(place(4))
        .i32_const(0)
        .end();
    body
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn encoded(value: impl Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    bytes
}

/// How many bytes the number takes that `bytes` begin with.
fn encoded_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| byte & 0x80 == 0).map_or(bytes.len(), |last| last + 1)
}
