//! Modules that no honest compiler makes: a thousand, each from a number. They are small, so that all of them take seconds.
//!
//! Most are the shell of an honest component (its types and the functions that it exports) around a core module that does
//! something else; some are bytes of honest components with a part missing or changed; and some are so made that compiling
//! them would take minutes or all memory.

use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ExportKind, ExportSection, Function, FunctionSection, Instruction, MemArg,
    MemorySection, MemoryType, Module, RefType, StartSection, TableSection, TableType, TypeSection, ValType,
};

/// An honest component whose first section is its core module.
const HONEST: &[u8] = include_bytes!("../../guest/guest.wasm");
/// The bytes before the first section.
const HEADER: usize = 8;
/// Where the calls leave their answers, at zero in the beginning: no needs, and allow.
const ANSWER: i32 = 1024;
/// Names in the interface; with one letter changed it is another interface.
const NAMES: &[&str] =
    &["landfall:policy", "service-account", "configure", "authorize", "attributes", "template", "creates"];

/// SplitMix64: the same modules on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).expect("a length")).expect("below a length")
    }
}

/// What a core module does in the places where it can do harm.
struct Core {
    pages: u64,
    table: u64,
    /// What lies in memory at [`ANSWER`].
    answer: Vec<u8>,
    /// Where else something is to lie.
    elsewhere: Option<i32>,
    start: Vec<Instruction<'static>>,
    configure: Vec<Instruction<'static>>,
    authorize: Vec<Instruction<'static>>,
    allocate: Vec<Instruction<'static>>,
}

/// The module of this number, and what is wrong with it.
pub fn module(number: u64) -> (&'static str, Vec<u8>) {
    let mut random = Random(number);
    let random = &mut random;
    match number % 28 {
        0..=3 => ("truncated", truncated(random)),
        4..=7 => ("bit-flipped", flipped(random)),
        8 => ("of another interface", of_another_interface(random)),
        9 => ("memory from the start", component(&Core { pages: 257 + random.next() % 65_000, ..denying() })),
        10 => ("memory in a call", growing(random)),
        11 => ("endless", endless(random)),
        12 => ("recursive", calling(random, &[Instruction::I32Const(0), Instruction::Call(4)])),
        13 => ("long answer", long_answer(random)),
        14 => ("answer that is none", component(&Core { answer: vec![2 + (random.next() % 254) as u8], ..denying() })),
        15 => ("answer from nowhere", answer_from_nowhere(random)),
        16 => ("wild allocation", wild_allocation(random)),
        17 => ("trapping", calling(random, &[Instruction::Unreachable])),
        18 => ("table", component(&Core { table: 100_001 + random.next() % 10_000_000, ..denying() })),
        19 => (
            "data outside of memory",
            component(&Core { elsewhere: Some(-1 - random.below(60_000) as i32), ..denying() }),
        ),
        20 => ("quoting the pod", quoting(random.below(10) as u32, random.below(10) as u32)),
        21 => ("long function", bomb(0, 0, &vec![NOP; (512 << 10) + random.below(1 << 20)])),
        22 => ("branches and variables", bomb(4000, 0, &[0x41, 0, 0x04, 0x40, 0x0b].repeat(2100 + random.below(1000)))),
        23 => ("loops in loops", bomb(2000, 0, &nested_loops(70 + random.below(100)))),
        24 => ("calls with many values", bomb(0, 100, &calls(100, 5100 + random.below(1000)))),
        25 => ("a crowd of functions", crowd(50_001 + random.below(1000))),
        26 => ("components within each other", nested(32 + random.below(1000), 0)),
        _ => ("instances by the million", nested(16 + random.below(14), 2)),
    }
}

/// Does nothing.
const NOP: u8 = 0x01;

/// A component with a function of so many variables and with this code, and another one of so many parameters and results.
pub fn bomb(variables: u32, values: usize, code: &[u8]) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function(vec![ValType::I32; values], vec![ValType::I32; values]);
    let mut functions = FunctionSection::new();
    functions.function(0).function(1);
    let mut first = Function::new((variables > 0).then_some((variables, ValType::I32)));
    first.raw(code.iter().copied()).instruction(&Instruction::End);
    let mut second = Function::new([]);
    second.instruction(&Instruction::Unreachable).instruction(&Instruction::End);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(CodeSection::new().function(&first).function(&second));
    within(&module.finish())
}

/// A component with so many functions that do nothing.
pub fn crowd(count: usize) -> Vec<u8> {
    let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], []);
    for _ in 0..count {
        functions.function(0);
        code.function(Function::new([]).instruction(&Instruction::End));
    }
    within(Module::new().section(&types).section(&functions).section(&code).as_slice())
}

/// Components within each other, so deep; each is instantiated so often by the one around it, and the innermost has an
/// instance of a module.
pub fn nested(depth: usize, instances: u8) -> Vec<u8> {
    let mut component = [within(&Module::new().finish()), section(2, &[1, 0, 0, 0])].concat();
    for _ in 0..depth {
        let instance = [0, 0, 0].repeat(instances.into());
        component =
            [&HONEST[..HEADER], &section(4, &component), &section(5, &[&[instances], &instance[..]].concat())].concat();
    }
    component
}

/// A component that has only this core module.
pub fn within(core: &[u8]) -> Vec<u8> {
    [&HONEST[..HEADER], &section(1, core)].concat()
}

/// Loops within each other, so deep.
pub fn nested_loops(depth: usize) -> Vec<u8> {
    [[0x03, 0x40].repeat(depth), [0x0b].repeat(depth)].concat()
}

/// So many calls of the second function of a [`bomb`] with so many values.
pub fn calls(values: usize, count: usize) -> Vec<u8> {
    [[0x41, 0].repeat(values), [0x10, 1].repeat(count), [0x1a].repeat(values)].concat()
}

/// A module that is given the pod, and denies with all of it for a reason and, for a code, so much of it.
pub fn quoting(from: u32, length: u32) -> Vec<u8> {
    let at = |offset| MemArg { offset, align: 2, memory_index: 0 };
    let pod = [Instruction::LocalGet(0), Instruction::I32Load(at(72))];
    let put = |offset, value: &[Instruction<'static>]| {
        [&[Instruction::I32Const(ANSWER)], value, &[Instruction::I32Store(at(offset))]].concat()
    };
    let part = [&pod[..], &[Instruction::I32Const(from as i32), Instruction::I32Add]].concat();
    let authorize = [
        put(4, &pod),
        put(8, &[Instruction::LocalGet(0), Instruction::I32Load(at(76))]),
        put(12, &part),
        put(16, &[Instruction::I32Const(length as i32)]),
        vec![Instruction::I32Const(ANSWER)],
    ];
    // Each piece of memory follows the one before; how much was given stands at 512.
    let allocate = vec![
        Instruction::I32Const(0),
        Instruction::I32Load(at(512)),
        Instruction::LocalSet(0),
        Instruction::I32Const(0),
        Instruction::LocalGet(0),
        Instruction::LocalGet(3),
        Instruction::I32Add,
        Instruction::I32Const(7),
        Instruction::I32Add,
        Instruction::I32Const(-8),
        Instruction::I32And,
        Instruction::I32Store(at(512)),
        Instruction::LocalGet(0),
        Instruction::I32Const(8192),
        Instruction::I32Add,
    ];
    // `configure` answers that it needs the pod: the flag of that name, after a zero.
    component(&Core { authorize: authorize.concat(), allocate, elsewhere: Some(ANSWER - 60), ..denying() })
}

/// A component that loads, and denies everything.
pub fn honest() -> Vec<u8> {
    component(&denying())
}

fn truncated(random: &mut Random) -> Vec<u8> {
    let honest = if random.below(4) == 0 { HONEST.to_vec() } else { honest() };
    let length = random.below(honest.len());
    honest[..length].to_vec()
}

fn flipped(random: &mut Random) -> Vec<u8> {
    let mut bytes = honest();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
    }
    bytes
}

fn of_another_interface(random: &mut Random) -> Vec<u8> {
    let mut bytes = honest();
    let old = NAMES[random.below(NAMES.len())].as_bytes();
    let mut new = old.to_vec();
    // A letter for another: still a name.
    new[random.below(4)] = b'a' + u8::try_from(random.below(26)).expect("a letter");
    if new == old {
        new[0] = b'z';
    }
    for at in 0..=bytes.len() - old.len() {
        if bytes[at..].starts_with(old) {
            bytes[at..at + old.len()].copy_from_slice(&new);
        }
    }
    bytes
}

/// More and more, until there is no more.
fn growing(random: &mut Random) -> Vec<u8> {
    let pages = 1 + random.below(300) as i32;
    calling(
        random,
        &[
            Instruction::Loop(wasm_encoder::BlockType::Empty),
            Instruction::I32Const(pages),
            Instruction::MemoryGrow(0),
            Instruction::I32Const(0),
            Instruction::I32GeS,
            Instruction::BrIf(0),
            Instruction::End,
            Instruction::Unreachable,
        ],
    )
}

fn endless(random: &mut Random) -> Vec<u8> {
    calling(
        random,
        &[
            Instruction::Loop(wasm_encoder::BlockType::Empty),
            Instruction::Br(0),
            Instruction::End,
            Instruction::Unreachable,
        ],
    )
}

/// A module that does `harm` when it starts, when it is configured, or when it is asked.
fn calling(random: &mut Random, harm: &[Instruction<'static>]) -> Vec<u8> {
    // The start gives nothing back.
    let start = |harm: &[Instruction<'static>]| match harm.last() {
        Some(Instruction::Unreachable) => harm.to_vec(),
        Some(_) | None => [harm, &[Instruction::Drop]].concat(),
    };
    component(&match random.below(3) {
        0 => Core { start: start(harm), ..denying() },
        1 => Core { configure: harm.to_vec(), ..denying() },
        _ => Core { authorize: harm.to_vec(), ..denying() },
    })
}

/// A denial with a reason longer than the limit, and maybe longer than the memory.
fn long_answer(random: &mut Random) -> Vec<u8> {
    let length = (64 << 10) + 1 + random.next() as u32 % (1 << (17 + random.below(14)));
    let answer = [1_u32, 0, length, 0, 0].map(u32::to_le_bytes).concat();
    component(&Core { pages: 200, answer, ..denying() })
}

fn answer_from_nowhere(random: &mut Random) -> Vec<u8> {
    let nowhere = vec![Instruction::I32Const(-1 - random.below(1 << 30) as i32)];
    component(&match random.below(2) {
        0 => Core { configure: nowhere, ..denying() },
        _ => Core { authorize: nowhere, ..denying() },
    })
}

fn wild_allocation(random: &mut Random) -> Vec<u8> {
    component(&Core { allocate: vec![Instruction::I32Const(-1 - random.below(1 << 30) as i32)], ..denying() })
}

fn denying() -> Core {
    let answer = vec![Instruction::I32Const(ANSWER)];
    Core {
        pages: 2,
        table: 0,
        answer: [1_u32, 0, 0, 0, 0].map(u32::to_le_bytes).concat(),
        elsewhere: None,
        start: Vec::new(),
        // Before the answer are zeros: no needs.
        configure: vec![Instruction::I32Const(ANSWER - 64)],
        authorize: answer,
        allocate: vec![Instruction::I32Const(4096)],
    }
}

fn component(core: &Core) -> Vec<u8> {
    let (length, at) = leb(HEADER + 1);
    [&within(&core_module(core)), &HONEST[at + length..]].concat()
}

/// A section as it stands in a file: its number, its length and what is in it.
pub fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![id];
    let mut left = content.len();
    while left >= 128 {
        bytes.push(u8::try_from(left % 128).expect("seven bits") | 128);
        left /= 128;
    }
    bytes.push(u8::try_from(left).expect("seven bits"));
    [&bytes, content].concat()
}

/// The number that stands at `at`, and where what follows it begins.
fn leb(mut at: usize) -> (usize, usize) {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let byte = HONEST[at];
        at += 1;
        value |= usize::from(byte & 127) << shift;
        shift += 7;
        if byte < 128 {
            return (value, at);
        }
    }
}

fn core_module(core: &Core) -> Vec<u8> {
    let mut types = TypeSection::new();
    let i32s = |count: usize| vec![ValType::I32; count];
    for (params, results) in [(2, 1), (1, 1), (1, 0), (4, 1), (0, 0)] {
        types.ty().function(i32s(params), i32s(results));
    }
    let mut functions = FunctionSection::new();
    for kind in [0, 1, 2, 3, 1, 4] {
        functions.function(kind);
    }
    let mut tables = TableSection::new();
    let table =
        TableType { element_type: RefType::FUNCREF, minimum: core.table, maximum: None, table64: false, shared: false };
    tables.table(table);
    let mut memories = MemorySection::new();
    let memory =
        MemoryType { minimum: core.pages, maximum: None, memory64: false, shared: false, page_size_log2: None };
    memories.memory(memory);
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    let interface = "landfall:policy/policy@1.0.0";
    for (name, function) in [("configure", 0), ("authorize", 1)] {
        exports.export(&format!("{interface}#{name}"), ExportKind::Func, function);
        exports.export(&format!("cabi_post_{interface}#{name}"), ExportKind::Func, 2);
    }
    exports.export("cabi_realloc", ExportKind::Func, 3);
    let deeper = [Instruction::LocalGet(0), Instruction::Call(4), Instruction::I32Const(1), Instruction::I32Add];
    let mut code = CodeSection::new();
    for body in [&core.configure[..], &core.authorize, &[], &core.allocate, &deeper, &core.start] {
        let mut function = Function::new([]);
        for instruction in body {
            function.instruction(instruction);
        }
        function.instruction(&Instruction::End);
        code.function(&function);
    }
    let mut data = DataSection::new();
    data.active(0, &ConstExpr::i32_const(ANSWER), core.answer.iter().copied());
    if let Some(elsewhere) = core.elsewhere {
        data.active(0, &ConstExpr::i32_const(elsewhere), [1; 16]);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&tables).section(&memories).section(&exports);
    module.section(&StartSection { function_index: 5 }).section(&code).section(&data);
    module.finish()
}
