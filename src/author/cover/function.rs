//! One function body, rewritten so that it leaves a mark wherever it comes by: at its entry and in each arm of each branch.
//!
//! A mark is one byte of a memory that the module is given for it; nothing of what the function computes changes.

use wasm_encoder::{BlockType, Encode, InstructionSink, MemArg};
use wasmparser::{FunctionBody, Operator, Result};

/// From so many steps on an arm is taken to go on for ever.
const STEPS_MAX: usize = 10_000;
/// `i32` as it stands in a list of locals.
const TYPE_I32: u8 = 0x7f;

/// The marks of one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The mark of its entry.
    pub entry: u32,
    /// It does nothing but trap, as what prepares a panic does.
    pub only_traps: bool,
    /// Where its code begins in the module's file.
    pub offset: usize,
    /// Its branches in the order of the code.
    pub branches: Vec<Branch>,
}

/// A place at which the code goes one way or another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Where it is in the module's file.
    pub offset: usize,
    /// Its arms.
    pub arms: Vec<Arm>,
}

/// One way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    /// Which way.
    pub kind: ArmKind,
    /// It was taken if one of these marks is set.
    pub marks: Vec<u32>,
    /// It leads nowhere but into a trap, as a failed check of bounds does.
    pub only_traps: bool,
}

/// Which way code goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArmKind {
    /// The condition holds.
    True,
    /// The condition doesn't hold.
    False,
    /// One of many cases.
    Case,
}

/// Where marks are kept.
#[derive(Clone, Copy)]
pub struct Memory {
    /// The index of the memory in its module.
    pub index: u32,
    /// The address of mark 0.
    pub base: u32,
}

struct Code<'a> {
    operators: Vec<(Operator<'a>, usize)>,
    /// Of each operator, the one that opened the block that it is in.
    parents: Vec<Option<usize>>,
    /// Of each operator that opens a block, where that ends.
    ends: Vec<usize>,
    /// Of each `if`, whether it has an `else`.
    has_else: Vec<bool>,
}

/// Rewrites `body`, whose function has so many `parameters`, and appends the result, as the code section has it, without
/// its length, to `sink`. `module` is the file that all offsets are in; marks are numbered from `next` on.
///
/// # Errors
///
/// The body is malformed.
pub fn rewrite(
    module: &[u8],
    body: &FunctionBody<'_>,
    (parameters, memory): (u32, Memory),
    next: &mut u32,
    sink: &mut Vec<u8>,
) -> Result<Marks> {
    let code = Code::read(body)?;
    let scratch = parameters.saturating_add(add_local(module, body, sink)?);
    let mut writer = Writer { bytes: sink, memory, scratch, next };
    let begin = code.operators.first().map_or(0, |(_, offset)| *offset);
    let entry = writer.new_mark();
    writer.mark(entry);
    let mut marks = Marks { entry, only_traps: code.only_traps(0), offset: begin, branches: Vec::new() };
    // The marks of the else arms of those `if` that are open.
    let mut other_arms = vec![0; code.operators.len()];
    for (at, (operator, offset)) in code.operators.iter().enumerate() {
        let end = code.operators.get(at + 1).map_or(body.range().end, |(_, offset)| *offset);
        let plain = module.get(*offset..end).unwrap_or_default();
        let branch = match operator {
            Operator::If { .. } => {
                writer.bytes.extend(plain);
                let (then, other) = (writer.new_mark(), writer.new_mark());
                writer.mark(then);
                other_arms[at] = other;
                code.branch(at, [(ArmKind::True, vec![then]), (ArmKind::False, vec![other])])
            }
            Operator::Else => {
                writer.bytes.extend(plain);
                writer.mark(code.parents[at].map_or(0, |opener| other_arms[opener]));
                continue;
            }
            Operator::End => {
                if let Some(opener) = code.opener_without_else(at) {
                    writer.sink().else_();
                    writer.mark(other_arms[opener]);
                }
                writer.bytes.extend(plain);
                continue;
            }
            Operator::BrIf { relative_depth } => {
                let (taken, other) = (writer.new_mark(), writer.new_mark());
                writer.branch_if(*relative_depth, taken, other);
                code.branch(at, [(ArmKind::True, vec![taken]), (ArmKind::False, vec![other])])
            }
            Operator::BrTable { targets } => {
                let first = writer.cases(targets.len());
                writer.bytes.extend(plain);
                code.branch(at, cases(targets, first)?)
            }
            _ => {
                writer.bytes.extend(plain);
                continue;
            }
        };
        marks.branches.push(branch);
    }
    Ok(marks)
}

/// The arms of a table: cases that go to the same place are one.
fn cases(targets: &wasmparser::BrTable<'_>, first: u32) -> Result<Vec<(ArmKind, Vec<u32>)>> {
    let mut depths = targets.targets().collect::<Result<Vec<u32>>>()?;
    depths.push(targets.default());
    let mut arms: Vec<(u32, Vec<u32>)> = Vec::new();
    for (depth, mark) in depths.iter().zip(first..) {
        match arms.iter_mut().find(|(known, _)| known == depth) {
            Some((_, marks)) => marks.push(mark),
            None => arms.push((*depth, vec![mark])),
        }
    }
    Ok(arms.into_iter().map(|(_, marks)| (ArmKind::Case, marks)).collect())
}

impl<'a> Code<'a> {
    fn read(body: &FunctionBody<'a>) -> Result<Code<'a>> {
        let operators = body.get_operators_reader()?.into_iter_with_offsets().collect::<Result<Vec<_>>>()?;
        let mut code = Code {
            parents: vec![None; operators.len()],
            ends: vec![operators.len(); operators.len()],
            has_else: vec![false; operators.len()],
            operators,
        };
        let mut open = Vec::new();
        for at in 0..code.operators.len() {
            code.parents[at] = open.last().copied();
            match code.operators[at].0 {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } | Operator::TryTable { .. } => {
                    open.push(at);
                }
                Operator::Else => {
                    if let Some(opener) = open.last() {
                        code.has_else[*opener] = true;
                    }
                }
                Operator::End => {
                    if let Some(opener) = open.pop() {
                        code.ends[opener] = at;
                    }
                }
                _ => {}
            }
        }
        Ok(code)
    }

    fn branch(&self, at: usize, arms: impl IntoIterator<Item = (ArmKind, Vec<u32>)>) -> Branch {
        let starts = self.arm_starts(at);
        let arms = arms.into_iter().enumerate().map(|(arm, (kind, marks))| {
            let only_traps = starts.get(arm).copied().flatten().is_some_and(|start| self.only_traps(start));
            Arm { kind, marks, only_traps }
        });
        Branch { offset: self.operators[at].1, arms: arms.collect() }
    }

    /// Where each arm of the branch at `at` goes on; `None` is the function's end.
    fn arm_starts(&self, at: usize) -> Vec<Option<usize>> {
        match &self.operators[at].0 {
            Operator::If { .. } => {
                let other = (at..self.ends[at]).find(|inner| {
                    self.parents[*inner] == Some(at) && matches!(self.operators[*inner].0, Operator::Else)
                });
                vec![Some(at + 1), Some(other.unwrap_or(self.ends[at]) + 1)]
            }
            Operator::BrIf { relative_depth } => vec![self.target(at, *relative_depth), Some(at + 1)],
            Operator::BrTable { targets } => {
                let mut depths: Vec<u32> = Vec::new();
                for depth in targets.targets().flatten().chain([targets.default()]) {
                    if !depths.contains(&depth) {
                        depths.push(depth);
                    }
                }
                depths.into_iter().map(|depth| self.target(at, depth)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Where a branch out of so many blocks goes on; `None` is the function's end.
    fn target(&self, at: usize, depth: u32) -> Option<usize> {
        let mut block = self.parents[at]?;
        for _ in 0..depth {
            block = self.parents[block]?;
        }
        match self.operators[block].0 {
            Operator::Loop { .. } => Some(block + 1),
            _ => Some(self.ends[block] + 1),
        }
    }

    /// Whether there is only one way from `at`, and that one traps.
    fn only_traps(&self, mut at: usize) -> bool {
        for _ in 0..STEPS_MAX {
            let Some((operator, _)) = self.operators.get(at) else { return false };
            at = match operator {
                Operator::Unreachable => return true,
                Operator::Br { relative_depth } => match self.target(at, *relative_depth) {
                    Some(next) => next,
                    None => return false,
                },
                // The end of the arm before: on behind the whole.
                Operator::Else => match self.parents[at] {
                    Some(opener) => self.ends[opener] + 1,
                    None => return false,
                },
                Operator::If { .. }
                | Operator::BrIf { .. }
                | Operator::BrTable { .. }
                | Operator::BrOnNull { .. }
                | Operator::BrOnNonNull { .. }
                | Operator::BrOnCast { .. }
                | Operator::BrOnCastFail { .. }
                | Operator::Return
                | Operator::ReturnCall { .. }
                | Operator::ReturnCallIndirect { .. }
                | Operator::ReturnCallRef { .. } => return false,
                _ => at + 1,
            };
        }
        false
    }

    /// The `if` that ends at `at`, if it has no `else`.
    fn opener_without_else(&self, at: usize) -> Option<usize> {
        let opener = self.parents[at]?;
        let is_if = matches!(self.operators[opener].0, Operator::If { .. });
        (is_if && !self.has_else[opener]).then_some(opener)
    }
}

struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    memory: Memory,
    /// The local that conditions are kept in.
    scratch: u32,
    next: &'a mut u32,
}

impl Writer<'_> {
    fn sink(&mut self) -> InstructionSink<'_> {
        InstructionSink::new(self.bytes)
    }

    fn new_mark(&mut self) -> u32 {
        let mark = *self.next;
        *self.next = mark.saturating_add(1);
        mark
    }

    fn place(&self, mark: u32) -> MemArg {
        MemArg { offset: u64::from(self.memory.base) + u64::from(mark), align: 0, memory_index: self.memory.index }
    }

    /// Sets a mark.
    fn mark(&mut self, mark: u32) {
        let place = self.place(mark);
        self.sink().i32_const(0).i32_const(1).i32_store8(place);
    }

    /// A `br_if` that sets one mark if it is taken and another if not.
    fn branch_if(&mut self, depth: u32, taken: u32, other: u32) {
        let scratch = self.scratch;
        self.sink().local_tee(scratch).if_(BlockType::Empty);
        self.mark(taken);
        self.sink().end().local_get(scratch).br_if(depth);
        self.mark(other);
    }

    /// What comes before a `br_table` of `count` cases and a default: sets the mark of the case. Gives the first mark.
    fn cases(&mut self, count: u32) -> u32 {
        let first = *self.next;
        *self.next = first.saturating_add(count).saturating_add(1);
        let (scratch, place) = (self.scratch, self.place(first));
        let last = i32::from_ne_bytes(count.to_ne_bytes());
        self.sink()
            .local_tee(scratch)
            .i32_const(last)
            .local_get(scratch)
            .i32_const(last)
            .i32_lt_u()
            .select()
            .i32_const(1)
            .i32_store8(place)
            .local_get(scratch);
        first
    }
}

/// Copies the declarations of locals and adds one of an `i32`. Gives how many there were.
fn add_local(module: &[u8], body: &FunctionBody<'_>, sink: &mut Vec<u8>) -> Result<u32> {
    let mut reader = body.get_locals_reader()?;
    let begin = reader.original_position();
    let declarations = reader.get_count();
    let mut locals = 0_u32;
    for _ in 0..declarations {
        locals = locals.saturating_add(reader.read()?.0);
    }
    declarations.saturating_add(1).encode(sink);
    sink.extend(module.get(begin..reader.original_position()).unwrap_or_default());
    1_u32.encode(sink);
    sink.push(TYPE_I32);
    Ok(locals)
}
