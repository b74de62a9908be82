//! How much work it is to compile a component, told from its bytes before any of it is done.
//!
//! Cranelift's time and memory do not go by the size of a file alone: both grow faster than a function's length, with its
//! branches times its variables, and with what its calls hand over; and a few hundred bytes can say that a component is to
//! be instantiated a million times. Compiling can't be interrupted, and every later reload waits for it. So each of these
//! has a limit here, above what the largest honest modules have: the interpreters of Python, in `policies/name-rules`, and of
//! JavaScript in StarlingMonkey, which `componentize-js` makes.
//!
//! Times in the reasons below are of one processor and a debug build.

use std::{fmt, ops::Range};

use wasmparser::{
    BinaryReaderError, BlockType, ComponentInstance, CompositeInnerType, Encoding, FunctionBody, KnownCustom, Name,
    Operator, Parser, Payload, TypeRef,
};

/// Bytes of one function's body. Twice the length takes almost four times as long: 400 KB take 5 seconds. The longest
/// honest one, the loop of the Python interpreter, has 427 KB.
const BODY_BYTES_MAX: u64 = 512 << 10;
/// From here on a body counts as large.
const LARGE_BODY_BYTES: u64 = 100 << 10;
/// Bytes of all large bodies. Two of the longest take 20 seconds; Python has 610 KB, StarlingMonkey 446 KB.
const LARGE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of all bodies. At the worst rate of those that aren't large this takes 80 seconds; Python has 6.5 MB, StarlingMonkey
/// 10.6 MB.
const CODE_BYTES_MAX: u64 = 16 << 20;
/// Functions. Each takes 30 µs and 6 KB, however short it is; Python has 13,480, StarlingMonkey 19,852.
const FUNCTIONS_MAX: u64 = 50_000;
/// What meets in the branches of one function. 8 million take two seconds and 200 MB; Python has 0.7 million, StarlingMonkey
/// 3.4 million.
const MEETINGS_MAX: u64 = 8_000_000;
/// The same of all functions. This takes 15 to 30 seconds; Python has 10 million, StarlingMonkey 19 million.
const ALL_MEETINGS_MAX: u64 = 64_000_000;
/// What all calls hand over. A million takes 5 to 10 seconds; Python has 0.24 million, StarlingMonkey 0.36 million.
const ARGUMENTS_MAX: u64 = 1_000_000;
/// Instances of components and core modules. Each takes 2 µs and 400 bytes, before it is seen that there are too many for
/// the pool. An instance of a component counts as one of the largest before it, so this is more than there really are: 3,082
/// of what tools for JavaScript make.
const INSTANCES_MAX: u64 = 100_000;
/// Components within components: the same tools nest three deep, and a thousand take 60 MB.
const DEPTH_MAX: usize = 32;
/// A loop within a loop counts as so many branches: all variables of what is in it go round with each.
const INNER_LOOP: u64 = 64;
/// A message shows so much of a function's name; those of C++ and Rust can fill a page.
const NAME_CHARACTERS_MAX: usize = 100;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Bytes of one body.
    Body,
    /// Bytes of all large bodies.
    LargeBodies,
    /// Bytes of all bodies.
    Code,
    /// Functions.
    Functions,
    /// In one function, branches times variables.
    Meetings,
    /// The same of all functions.
    AllMeetings,
    /// Parameters and results of all calls.
    Arguments,
    /// Instances.
    Instances,
    /// Components within components.
    Depth,
}

/// A component is more work than it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Of what there is too much.
    pub measure: Measure,
    /// How much.
    pub amount: u64,
    /// The function at fault; or that which has most of it, where all together have too much.
    pub function: Option<Function>,
}

/// A function of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The core module that it is in, from 0 in the order of the file.
    pub module: usize,
    /// Its index in that.
    pub index: u32,
    /// What the name section calls it.
    pub name: Option<String>,
}

impl Measure {
    fn limit(self) -> u64 {
        match self {
            Measure::Body => BODY_BYTES_MAX,
            Measure::LargeBodies => LARGE_BYTES_MAX,
            Measure::Code => CODE_BYTES_MAX,
            Measure::Functions => FUNCTIONS_MAX,
            Measure::Meetings => MEETINGS_MAX,
            Measure::AllMeetings => ALL_MEETINGS_MAX,
            Measure::Arguments => ARGUMENTS_MAX,
            Measure::Instances => INSTANCES_MAX,
            Measure::Depth => DEPTH_MAX as u64,
        }
    }

    /// What to change.
    pub fn hint(self) -> &'static str {
        match self {
            Measure::Body | Measure::LargeBodies | Measure::Meetings | Measure::AllMeetings | Measure::Arguments => {
                "split that function up, keep tables of constants in data and not in code, and build it for size"
            }
            Measure::Code | Measure::Functions => "build it for size, and leave out the libraries that it doesn't need",
            Measure::Instances | Measure::Depth => "make it of fewer components, as `landfall policy build` does",
        }
    }
}

/// The sentence that follows "compiling it would take too long".
impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Excess { measure, amount, function } = self;
        let what = match measure {
            Measure::Body => "bytes in the body of one function",
            Measure::LargeBodies => "bytes in all function bodies that are large",
            Measure::Code => "bytes in all function bodies",
            Measure::Functions => "functions",
            Measure::Meetings => "variables times branches in one function",
            Measure::AllMeetings => "variables times branches in all functions",
            Measure::Arguments => "values handed over by calls",
            Measure::Instances => "instances of components and modules",
            Measure::Depth => "components within each other",
        };
        write!(f, "{amount} {what}, over the limit of {}", measure.limit())?;
        let Some(Function { module, index, name }) = function else { return Ok(()) };
        let at = match measure {
            Measure::Body | Measure::Meetings => "it is",
            Measure::LargeBodies | Measure::Code | Measure::Functions | Measure::AllMeetings | Measure::Arguments => {
                "most are in"
            }
            Measure::Instances | Measure::Depth => "in",
        };
        let name = name.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
        write!(f, "; {at} function {index}{name} of core module {module}")
    }
}

/// Of what there is too much in this component; `None` if compiling it is no more work than that of any other.
///
/// # Errors
/// It can't be read.
pub fn excess(component: &[u8]) -> Result<Option<Excess>, BinaryReaderError> {
    let mut survey = Survey::default();
    for payload in Parser::new(0).parse_all(component) {
        survey.add(payload?)?;
        if survey.found.is_some() {
            break;
        }
    }
    survey.judge();
    Ok(survey.found.map(|Found { measure, amount, place }| {
        let function = place.map(|Place { module, index, bytes }| {
            let name = component.get(bytes).and_then(|module| name_of(module, index));
            Function { module, index, name }
        });
        Excess { measure, amount, function }
    }))
}

/// Everything that was seen so far.
#[derive(Default)]
struct Survey {
    levels: Vec<Level>,
    /// The bytes of the core module that begins next.
    next: Range<usize>,
    modules: usize,
    /// Of the component with most instances that has ended.
    most_instances: u64,
    functions: u64,
    code: Sum,
    large: Sum,
    meetings: Sum,
    arguments: Sum,
    /// That there is too much already.
    found: Option<Found>,
}

/// Components and modules that have begun and not ended.
enum Level {
    /// With the instances that it makes.
    Component(u64),
    Module(Module),
}

/// What has to be known of a core module to read its code.
struct Module {
    number: usize,
    bytes: Range<usize>,
    /// By type: parameters and results.
    types: Vec<(u64, u64)>,
    /// By function: its type.
    functions: Vec<u32>,
    /// The function whose body comes next.
    next: u32,
}

/// A sum, and where most of it is.
#[derive(Default)]
struct Sum {
    total: u64,
    most: u64,
    place: Option<Place>,
}

#[derive(Clone)]
struct Place {
    module: usize,
    index: u32,
    bytes: Range<usize>,
}

struct Found {
    measure: Measure,
    amount: u64,
    place: Option<Place>,
}

/// What is to be done for one function.
#[derive(Default)]
struct Work {
    bytes: u64,
    meetings: u64,
    arguments: u64,
}

/// Where the branches of a function lead.
#[derive(Default)]
struct Flow {
    /// Blocks that are open: whether it is a loop, and what a branch to it hands over.
    open: Vec<(bool, u64)>,
    loops: u64,
    branches: u64,
    handed: u64,
    arguments: u64,
}

impl Survey {
    fn add(&mut self, payload: Payload<'_>) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::Version { encoding: Encoding::Component, .. } => {
                self.levels.push(Level::Component(0));
                if self.levels.len() > DEPTH_MAX {
                    self.find(Measure::Depth, self.levels.len() as u64, None);
                }
            }
            Payload::Version { encoding: Encoding::Module, .. } => {
                self.levels.push(Level::Module(Module::new(self.modules, self.next.clone())));
                self.modules += 1;
            }
            Payload::ModuleSection { unchecked_range, .. } => self.next = unchecked_range,
            Payload::InstanceSection(section) => self.instantiate(u64::from(section.count())),
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    self.instantiate(match instance? {
                        ComponentInstance::Instantiate { .. } => self.most_instances.saturating_add(1),
                        ComponentInstance::FromExports(_) => 1,
                    });
                }
            }
            Payload::CodeSectionEntry(body) => {
                if let Some(Level::Module(module)) = self.levels.last_mut() {
                    let (work, place) = module.look_at(&body)?;
                    self.count(&work, &place);
                }
            }
            Payload::End(_) => match self.levels.pop() {
                Some(Level::Component(instances)) => self.most_instances = self.most_instances.max(instances),
                Some(Level::Module(_)) | None => {}
            },
            payload => {
                if let Some(Level::Module(module)) = self.levels.last_mut() {
                    module.declare(payload)?;
                }
            }
        }
        Ok(())
    }

    fn instantiate(&mut self, count: u64) {
        if let Some(Level::Component(instances)) = self.levels.last_mut() {
            *instances = instances.saturating_add(count);
        }
    }

    fn count(&mut self, work: &Work, place: &Place) {
        let Work { bytes, meetings, arguments } = *work;
        if bytes > BODY_BYTES_MAX {
            return self.find(Measure::Body, bytes, Some(place.clone()));
        }
        if meetings > MEETINGS_MAX {
            return self.find(Measure::Meetings, meetings, Some(place.clone()));
        }
        self.functions += 1;
        self.code.add(bytes, place);
        self.large.add(if bytes > LARGE_BODY_BYTES { bytes } else { 0 }, place);
        self.meetings.add(meetings, place);
        self.arguments.add(arguments, place);
    }

    /// Whether all of it together is too much.
    fn judge(&mut self) {
        let sums = [
            (Measure::Functions, self.functions, None),
            (Measure::Instances, self.most_instances, None),
            (Measure::Code, self.code.total, None),
            (Measure::LargeBodies, self.large.total, self.large.place.take()),
            (Measure::AllMeetings, self.meetings.total, self.meetings.place.take()),
            (Measure::Arguments, self.arguments.total, self.arguments.place.take()),
        ];
        for (measure, amount, place) in sums {
            if amount > measure.limit() {
                self.find(measure, amount, place);
            }
        }
    }

    /// Only the first counts.
    fn find(&mut self, measure: Measure, amount: u64, place: Option<Place>) {
        self.found.get_or_insert(Found { measure, amount, place });
    }
}

impl Sum {
    fn add(&mut self, amount: u64, place: &Place) {
        self.total = self.total.saturating_add(amount);
        if amount > self.most {
            self.most = amount;
            self.place = Some(place.clone());
        }
    }
}

impl Module {
    fn new(number: usize, bytes: Range<usize>) -> Module {
        Module { number, bytes, types: Vec::new(), functions: Vec::new(), next: 0 }
    }

    fn declare(&mut self, payload: Payload<'_>) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    self.types.extend(group?.into_types().map(|item| match item.composite_type.inner {
                        CompositeInnerType::Func(function) => {
                            (function.params().len() as u64, function.results().len() as u64)
                        }
                        // No function is of such a type.
                        _ => (0, 0),
                    }));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if let TypeRef::Func(index) | TypeRef::FuncExact(index) = import?.ty {
                        self.functions.push(index);
                        self.next += 1;
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for index in section {
                    self.functions.push(index?);
                }
            }
            // All else says nothing about code.
            _ => {}
        }
        Ok(())
    }

    /// Of an index that stands for nothing, nothing is known: compiling refuses it.
    fn of_type(&self, index: u32) -> (u64, u64) {
        self.types.get(index as usize).copied().unwrap_or_default()
    }

    fn of_function(&self, index: u32) -> (u64, u64) {
        self.functions.get(index as usize).map_or((0, 0), |index| self.of_type(*index))
    }

    fn look_at(&mut self, body: &FunctionBody<'_>) -> Result<(Work, Place), BinaryReaderError> {
        let index = self.next;
        self.next = self.next.saturating_add(1);
        let place = Place { module: self.number, index, bytes: self.bytes.clone() };
        let bytes = body.range().len() as u64;
        if bytes > BODY_BYTES_MAX {
            // It is too long already: the rest does not matter.
            return Ok((Work { bytes, ..Work::default() }, place));
        }
        let (mut variables, _) = self.of_function(index);
        for local in body.get_locals_reader()? {
            let (count, _) = local?;
            variables = variables.saturating_add(u64::from(count));
        }
        let mut flow = Flow::default();
        for operator in body.get_operators_reader()? {
            flow.follow(&operator?, self);
        }
        let meetings = flow.branches.saturating_mul(variables).saturating_add(flow.handed);
        Ok((Work { bytes, meetings, arguments: flow.arguments }, place))
    }
}

impl Flow {
    fn follow(&mut self, operator: &Operator<'_>, module: &Module) {
        match operator {
            Operator::Block { blockty } | Operator::If { blockty } => self.begin(false, *blockty, module),
            Operator::TryTable { try_table } => self.begin(false, try_table.ty, module),
            Operator::Loop { blockty } => self.begin(true, *blockty, module),
            Operator::Else => self.branches += 1,
            Operator::End => {
                if let Some((true, _)) = self.open.pop() {
                    self.loops -= 1;
                }
            }
            Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => self.branch(*relative_depth),
            Operator::BrTable { targets } => {
                for target in targets.targets().flatten() {
                    self.branch(target);
                }
                self.branch(targets.default());
            }
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                self.call(module.of_function(*function_index));
            }
            Operator::CallIndirect { type_index, .. }
            | Operator::ReturnCallIndirect { type_index, .. }
            | Operator::CallRef { type_index }
            | Operator::ReturnCallRef { type_index } => self.call(module.of_type(*type_index)),
            // All others are work that goes by their length.
            _ => {}
        }
    }

    fn begin(&mut self, is_loop: bool, kind: BlockType, module: &Module) {
        let (parameters, results) = match kind {
            BlockType::Empty => (0, 0),
            BlockType::Type(_) => (0, 1),
            BlockType::FuncType(index) => module.of_type(index),
        };
        self.branches += if is_loop && self.loops > 0 { INNER_LOOP } else { 1 };
        self.loops += u64::from(is_loop);
        self.open.push((is_loop, if is_loop { parameters } else { results }));
        self.handed = self.handed.saturating_add(parameters + results);
    }

    fn branch(&mut self, depth: u32) {
        self.branches += 1;
        let target = self.open.len().checked_sub(1 + depth as usize).and_then(|at| self.open.get(at));
        self.handed = self.handed.saturating_add(target.map_or(0, |(_, handed)| *handed));
    }

    fn call(&mut self, (parameters, results): (u64, u64)) {
        self.arguments = self.arguments.saturating_add(parameters + results);
    }
}

/// What the name section of a core module calls a function.
fn name_of(module: &[u8], index: u32) -> Option<String> {
    for payload in Parser::new(0).parse_all(module) {
        let Payload::CustomSection(section) = payload.ok()? else { continue };
        let KnownCustom::Name(names) = section.as_known() else { continue };
        for name in names {
            let Name::Function(functions) = name.ok()? else { continue };
            let named = functions.into_iter().filter_map(Result::ok).find(|named| named.index == index);
            return named.map(|named| named.name.chars().take(NAME_CHARACTERS_MAX).collect());
        }
    }
    None
}
