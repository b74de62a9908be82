//! Policy modules as bytes, to be written into a policy folder as `NAME.wasm`.
//!
//! [`DENY_ALL`] denies everything with the code `deny-all`; its crate, `tests/guest`, says what else it can be told by its
//! settings and by the name of the template. The others can't be loaded at all, each for one reason.

/// A component that denies everything: `tests/guest`.
pub const DENY_ALL: &[u8] = include_bytes!("../../guest/guest.wasm");

/// The start of a component.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
/// A core module with nothing in it.
const CORE: &[u8] = b"\0asm\x01\0\0\0";

/// [`DENY_ALL`], but with a nested component that holds a module: no snapshot of such a one can be taken.
pub fn without_snapshot() -> Vec<u8> {
    let inner = [COMPONENT, &section(1, CORE)].concat();
    [DENY_ALL, &section(4, &inner)].concat()
}

/// [`DENY_ALL`] within a component that only hands on what it exports, as tools for JavaScript make them.
pub fn nested() -> Vec<u8> {
    let name = b"landfall:policy/policy@1.0.0";
    let length = [u8::try_from(name.len()).unwrap()];
    let mut inner = vec![4];
    inner.extend(leb128(DENY_ALL.len()));
    inner.extend(DENY_ALL);
    // Instance 0 of component 0 without arguments; instance 1 is its export of that name, and is exported.
    let instances = section(5, &[1, 0, 0, 0]);
    let aliases = section(6, &[&[1, 5, 0, 0][..], &length, name].concat());
    let exports = section(11, &[&[1, 0][..], &length, name, &[5, 1, 0]].concat());
    [COMPONENT, &inner, &instances, &aliases, &exports].concat()
}

/// [`DENY_ALL`], but exporting the interface under another name.
pub fn of_another_interface() -> Vec<u8> {
    replaced("landfall:policy/policy@1.0.0", "landfall:policy/policz@1.0.0")
}

/// [`DENY_ALL`], but one field of the request has another name.
pub fn of_another_record() -> Vec<u8> {
    replaced("service-account", "service-accounz")
}

/// A component that imports two instances.
pub fn with_imports() -> Vec<u8> {
    // One type, an instance without exports; two imports of it.
    let types = [1, 0x42, 0];
    let mut imports = vec![2];
    for name in ["wasi:cli/environment@0.2.0", "wasi:clocks/wall-clock@0.2.0"] {
        imports.push(0);
        imports.push(u8::try_from(name.len()).unwrap());
        imports.extend(name.as_bytes());
        imports.extend([5, 0]);
    }
    [COMPONENT, &section(7, &types), &section(10, &imports)].concat()
}

/// A core module that imports a function.
pub fn core_module() -> Vec<u8> {
    let types = [1, 0x60, 0, 0];
    let imports = b"\x01\x03env\x03now\0\0";
    [CORE, &section(1, &types), &section(2, imports)].concat()
}

/// A component with so many core modules, each instantiated and with a memory of so many pages of 64 KiB.
pub fn with_memories(count: u8, pages: u16) -> Vec<u8> {
    let (low, high) = (u8::try_from(pages & 0x7f).unwrap() | 0x80, u8::try_from(pages >> 7).unwrap());
    let core = [CORE, &section(5, &[1, 0, low, high])].concat();
    let modules: Vec<u8> = (0..count).flat_map(|_| section(1, &core)).collect();
    let instances: Vec<u8> = (0..count).flat_map(|number| [0, number, 0]).collect();
    [COMPONENT, &modules, &section(2, &[&[count], &instances[..]].concat())].concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 128, "a length of one byte");
    [&[id, length], content].concat()
}

fn replaced(old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = DENY_ALL.to_vec();
    let mut found = 0;
    for at in 0..=bytes.len() - old.len() {
        if bytes[at..].starts_with(old.as_bytes()) {
            bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{old:?} is not in the module");
    bytes
}

/// A length as WebAssembly writes it: seven bits a byte, the lowest first.
fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}
