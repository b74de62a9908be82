//! What would take too long to compile is refused before any of it is compiled.

use std::{collections::BTreeSet, fs};

use landfall::policy::{
    host::Host,
    inspect::{Unfit, inspect},
    module::{LoadError, Prepared},
};
use wasm_encoder::{CodeSection, Function, FunctionSection, Instruction, Module, NameMap, NameSection, TypeSection};

use crate::{
    cli::binary::{run, text},
    support::hostile::{self, bomb, calls, crowd, nested, nested_loops},
};

const NOP: u8 = 0x01;
/// A branch that leads nowhere.
const BRANCH: [u8; 5] = [0x41, 0, 0x04, 0x40, 0x0b];
/// Of a body, what is not its code: that there are no variables, and that it ends.
const REST: usize = 2;

#[track_caller]
fn check(component: &[u8], expected: Option<&str>) {
    let found = inspect(component).err().map(|unfit| unfit.to_string());
    let expected = expected.map(|expected| format!("compiling it would take too long: {expected}"));
    assert_eq!(found, expected);
}

/// A component with functions of so many bytes, some of which have names.
fn with_bodies(lengths: &[usize], names: &[(u32, &str)]) -> Vec<u8> {
    let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], []);
    for length in lengths {
        functions.function(0);
        let nothing = vec![NOP; length - REST];
        code.function(Function::new([]).raw(nothing).instruction(&Instruction::End));
    }
    let mut map = NameMap::new();
    names.iter().for_each(|(index, name)| map.append(*index, name));
    let mut section = NameSection::new();
    section.functions(&map);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code).section(&section);
    hostile::within(&module.finish())
}

#[test]
fn one_function_may_be_so_long() {
    check(&with_bodies(&[3, 524_288], &[]), None);
    let expected = "524289 bytes in the body of one function, over the limit of 524288; it is function 1";
    check(&with_bodies(&[3, 524_289], &[]), Some(&format!("{expected} of core module 0")));
    let named = with_bodies(&[3, 524_289], &[(0, "small"), (1, "big")]);
    check(&named, Some(&format!("{expected} \"big\" of core module 0")));
    let name = "x".repeat(1000);
    let long = with_bodies(&[3, 524_289], &[(1, &name)]);
    check(&long, Some(&format!("{expected} \"{}\" of core module 0", &name[..100])));
    // The second core module of a component within another.
    let inner = [with_bodies(&[3], &[]), with_bodies(&[524_289], &[(0, "big")])[8..].to_vec()].concat();
    let outer = [&inner[..8], &hostile::section(4, &inner)].concat();
    let expected = "524289 bytes in the body of one function, over the limit of 524288; it is function 0 \"big\"";
    check(&outer, Some(&format!("{expected} of core module 1")));
}

#[test]
fn all_functions_may_be_so_long() {
    check(&with_bodies(&[500_000, 500_000], &[]), None);
    let large = "bytes in all function bodies that are large, over the limit of 1048576; most are in function 2";
    check(&with_bodies(&[102_400, 500_000, 524_288, 102_401], &[]), Some(&format!("1126689 {large} of core module 0")));
    check(&with_bodies(&[102_400; 163], &[]), None);
    check(
        &with_bodies(&[102_400; 164], &[]),
        Some("16793600 bytes in all function bodies, over the limit of 16777216"),
    );
    check(&crowd(50_000), None);
    check(&crowd(50_001), Some("50001 functions, over the limit of 50000"));
}

#[test]
fn branches_variables_and_calls_may_be_so_many() {
    check(&bomb(2000, 0, &BRANCH.repeat(4000)), None);
    let one = "variables times branches in one function, over the limit of 8000000; it is function 0 of core module 0";
    check(&bomb(2000, 0, &BRANCH.repeat(4001)), Some(&format!("8002000 {one}")));
    // Loops that follow each other are branches; each of those within another counts as 64.
    check(&bomb(1000, 0, &nested_loops(1).repeat(8000)), None);
    check(&bomb(2000, 0, &nested_loops(64)), Some(&format!("8066000 {one}")));
    let most = bomb(2000, 0, &BRANCH.repeat(4000))[8..].to_vec();
    let modules = |count| [hostile::nested(0, 0)[..8].to_vec(), most.repeat(count)].concat();
    check(&modules(8), None);
    let all = "72000000 variables times branches in all functions, over the limit of 64000000; most are in function 0";
    check(&modules(9), Some(&format!("{all} of core module 0")));
    check(&bomb(0, 100, &calls(100, 5000)), None);
    let values =
        "1000200 values handed over by calls, over the limit of 1000000; most are in function 0 of core module 0";
    check(&bomb(0, 100, &calls(100, 5001)), Some(values));
}

#[test]
fn components_may_be_nested_so_deep_and_instantiated_so_often() {
    check(&nested(31, 1), None);
    check(&nested(32, 1), Some("33 components within each other, over the limit of 32"));
    check(&nested(5000, 1), Some("33 components within each other, over the limit of 32"));
    check(&nested(15, 2), None);
    check(&nested(16, 2), Some("196606 instances of components and modules, over the limit of 100000"));
    check(
        &nested(31, 100),
        Some(&format!("{} instances of components and modules, over the limit of 100000", u64::MAX)),
    );
}

#[test]
fn nothing_of_it_is_compiled() {
    let host = Host::new().unwrap();
    let mut hints = BTreeSet::new();
    for number in 21..28 {
        let (harm, bytes) = hostile::module(number);
        let refused = Prepared::new(&host, bytes.into()).map(drop).unwrap_err();
        assert!(matches!(refused, LoadError::Unfit(Unfit::Laborious(_))), "{harm}: {refused}");
        hints.insert(refused.hint().unwrap());
    }
    assert_eq!((host.compilations(), hints.len()), (0, 3));
}

#[test]
fn what_there_is_compiles_in_time() {
    let mut modules = 0;
    for folder in fs::read_dir("policies").unwrap() {
        let folder = folder.unwrap().path();
        let component = folder.join(folder.file_name().unwrap()).with_extension("wasm");
        if let Ok(bytes) = fs::read(component) {
            assert_eq!(inspect(&bytes), Ok(()), "{}", folder.display());
            modules += 1;
        }
    }
    assert!(modules >= 5, "{modules}");
}

#[test]
fn check_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bomb.wasm");
    fs::write(&file, with_bodies(&[600_000], &[(0, "tables")])).unwrap();
    let ended = run(&["policy", "check", text(&file)]);
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (
            Some(1),
            format!(
                "error: {}: compiling it would take too long: 600000 bytes in the body of one function, over the limit of \
                 524288; it is function 0 \"tables\" of core module 0\n\nhint: split that function up, keep tables of \
                 constants in data and not in code, and build it for size\n",
                file.display()
            )
            .as_str()
        )
    );
}
