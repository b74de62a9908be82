//! A component, rewritten so that the marks of the core modules in it can be read from outside.
//!
//! A core module's marks are lifted to a function of the component that gives a list of bytes; what lies in a nested
//! component is handed on by the outer one. All that is appended: nothing of the component gets another index.

use std::{collections::HashMap, ops::Range};

use wasm_encoder::{
    Alias, CanonicalFunctionSection, CanonicalOption, Component, ComponentAliasSection, ComponentExportKind,
    ComponentExportSection, ComponentTypeSection, ComponentValType, ExportKind, PrimitiveValType, RawSection,
};
use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, ExternalKind, Instance, Parser, Payload, Result,
};

use crate::author::cover::module::{self, EXPORT_MARKS, EXPORT_MEMORY, Map};

/// A component that tells what of it ran.
pub struct Rewritten {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The core modules that have marks.
    pub maps: Vec<Map>,
    /// The functions that the component exports in addition, each of the marks of one instance of one module.
    pub counters: Vec<Counter>,
}

/// An exported function that gives the marks of a module: `func() -> list<u8>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The function's name.
    pub export: String,
    /// The place of the module in [`Rewritten::maps`].
    pub map: usize,
}

/// Rewrites the component in `file`.
///
/// # Errors
///
/// The component is malformed.
pub fn rewrite(file: &[u8]) -> Result<Rewritten> {
    let mut rewriter = Rewriter { file, maps: Vec::new(), counters: 0 };
    let (bytes, counters) = rewriter.component(0..file.len())?;
    Ok(Rewritten { bytes, maps: rewriter.maps, counters })
}

struct Rewriter<'a> {
    file: &'a [u8],
    maps: Vec<Map>,
    counters: usize,
}

/// How many there are of each thing that has an index, so far.
#[derive(Clone, Debug, Default)]
struct Indices {
    core_functions: u32,
    core_memories: u32,
    core_modules: u32,
    core_instances: u32,
    functions: u32,
    types: u32,
    components: u32,
    instances: u32,
}

/// What of one component has marks.
#[derive(Default)]
struct Marked {
    /// Core modules by index, with their maps.
    modules: HashMap<u32, usize>,
    /// Instances of them.
    core_instances: Vec<(u32, usize)>,
    /// Nested components by index.
    components: HashMap<u32, Vec<Counter>>,
    /// Instances of them.
    instances: Vec<(u32, Vec<Counter>)>,
}

impl Rewriter<'_> {
    fn component(&mut self, range: Range<usize>) -> Result<(Vec<u8>, Vec<Counter>)> {
        let mut component = Component::new();
        let mut indices = Indices::default();
        let mut marked = Marked::default();
        // The payloads of what lies within are passed over: they are read when their component is.
        let mut depth = 0_usize;
        let bytes = self.file.get(range.clone()).unwrap_or_default();
        for payload in Parser::new(range.start as u64).parse_all(bytes) {
            let payload = payload?;
            let raw = payload.as_section();
            match payload {
                Payload::Version { .. } => {
                    depth += 1;
                    continue;
                }
                Payload::End(_) => {
                    depth = depth.saturating_sub(1);
                    continue;
                }
                _ if depth != 1 => continue,
                Payload::ModuleSection { unchecked_range, .. } => {
                    let bytes = match module::rewrite(self.file, unchecked_range.clone())? {
                        Some(rewritten) => {
                            marked.modules.insert(indices.core_modules, self.maps.len());
                            self.maps.push(rewritten.map);
                            rewritten.bytes
                        }
                        None => self.file.get(unchecked_range).unwrap_or_default().to_vec(),
                    };
                    indices.core_modules += 1;
                    component.section(&RawSection { id: 1, data: &bytes });
                    continue;
                }
                Payload::ComponentSection { unchecked_range, .. } => {
                    let (bytes, counters) = self.component(unchecked_range)?;
                    marked.components.insert(indices.components, counters);
                    indices.components += 1;
                    component.section(&RawSection { id: 4, data: &bytes });
                    continue;
                }
                payload => marked.note_instances(&payload, &mut indices)?,
            }
            if let Some((id, content)) = raw {
                component.section(&RawSection { id, data: self.file.get(content).unwrap_or_default() });
            }
        }
        let counters = self.lift(&mut component, &indices, &marked);
        Ok((component.finish(), counters))
    }

    /// Appends what makes the marks of this component's instances readable.
    fn lift(&mut self, component: &mut Component, indices: &Indices, marked: &Marked) -> Vec<Counter> {
        let mut types = ComponentTypeSection::new();
        let mut aliases = ComponentAliasSection::new();
        let mut lifts = CanonicalFunctionSection::new();
        let mut exports = ComponentExportSection::new();
        let mut counters = Vec::new();
        let (list, function) = (indices.types, indices.types + 1);
        types.defined_type().list(ComponentValType::Primitive(PrimitiveValType::U8));
        types.function().params::<[(&str, ComponentValType); 0], _>([]).result(Some(ComponentValType::Type(list)));
        // The functions of nested instances come first, then those that are lifted here.
        let mut next = indices.functions;
        for (instance, nested) in &marked.instances {
            for counter in nested {
                aliases.alias(Alias::InstanceExport {
                    instance: *instance,
                    kind: ComponentExportKind::Func,
                    name: &counter.export,
                });
                counters.push((next, counter.map));
                next += 1;
            }
        }
        for ((instance, map), place) in marked.core_instances.iter().zip(0..) {
            let of = |kind, name| Alias::CoreInstanceExport { instance: *instance, kind, name };
            aliases.alias(of(ExportKind::Func, EXPORT_MARKS)).alias(of(ExportKind::Memory, EXPORT_MEMORY));
            let memory = CanonicalOption::Memory(indices.core_memories + place);
            lifts.lift(indices.core_functions + place, function, [memory]);
            counters.push((next, *map));
            next += 1;
        }
        if counters.is_empty() {
            return Vec::new();
        }
        let mut named = Vec::new();
        for (function, map) in counters {
            self.counters += 1;
            let export = format!("landfall-cover-n{}", self.counters);
            exports.export(export.as_str(), ComponentExportKind::Func, function, None);
            named.push(Counter { export, map });
        }
        component.section(&types).section(&aliases).section(&lifts).section(&exports);
        named
    }
}

impl Marked {
    /// Counts what `payload`, a section of the component itself, defines, and notes the instances of what has marks.
    fn note_instances(&mut self, payload: &Payload<'_>, indices: &mut Indices) -> Result<()> {
        match payload {
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance?
                        && let Some(map) = self.modules.get(&module_index)
                    {
                        self.core_instances.push((indices.core_instances, *map));
                    }
                    indices.core_instances += 1;
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance?
                        && let Some(counters) = self.components.get(&component_index)
                    {
                        self.instances.push((indices.instances, counters.clone()));
                    }
                    indices.instances += 1;
                }
            }
            payload => indices.count(payload)?,
        }
        Ok(())
    }
}

impl Indices {
    fn count(&mut self, payload: &Payload<'_>) -> Result<()> {
        match payload {
            Payload::ComponentTypeSection(section) => self.types += section.count(),
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    self.add(match import?.ty {
                        ComponentTypeRef::Module(_) => ComponentExternalKind::Module,
                        ComponentTypeRef::Func(_) => ComponentExternalKind::Func,
                        ComponentTypeRef::Value(_) => ComponentExternalKind::Value,
                        ComponentTypeRef::Type(_) => ComponentExternalKind::Type,
                        ComponentTypeRef::Instance(_) => ComponentExternalKind::Instance,
                        ComponentTypeRef::Component(_) => ComponentExternalKind::Component,
                    });
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    self.add(export?.kind);
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    match alias? {
                        ComponentAlias::InstanceExport { kind, .. } => self.add(kind),
                        ComponentAlias::CoreInstanceExport { kind, .. } => match kind {
                            ExternalKind::Func | ExternalKind::FuncExact => self.core_functions += 1,
                            ExternalKind::Memory => self.core_memories += 1,
                            ExternalKind::Table | ExternalKind::Global | ExternalKind::Tag => {}
                        },
                        ComponentAlias::Outer { kind, .. } => match kind {
                            ComponentOuterAliasKind::CoreModule => self.core_modules += 1,
                            ComponentOuterAliasKind::CoreType => {}
                            ComponentOuterAliasKind::Type => self.types += 1,
                            ComponentOuterAliasKind::Component => self.components += 1,
                        },
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section.clone() {
                    match function? {
                        CanonicalFunction::Lift { .. } => self.functions += 1,
                        // All others make core functions of something.
                        _ => self.core_functions += 1,
                    }
                }
            }
            // Other sections define nothing that is referred to here.
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, kind: ComponentExternalKind) {
        match kind {
            ComponentExternalKind::Module => self.core_modules += 1,
            ComponentExternalKind::Func => self.functions += 1,
            ComponentExternalKind::Type => self.types += 1,
            ComponentExternalKind::Instance => self.instances += 1,
            ComponentExternalKind::Component => self.components += 1,
            ComponentExternalKind::Value => {}
        }
    }
}
