//! What policy costs. `cargo bench --bench policy` measures all; `-- decisions`, `-- reload` or `-- memory` one part of it. It
//! fails if a bar is missed.

#[path = "../shared/bars.rs"]
mod bars;
mod builtin;
mod decisions;
mod memory;
#[path = "../shared/process.rs"]
#[expect(dead_code, reason = "time on processors is not measured here")]
mod process;
mod reload;
mod thousand;
mod times;

use std::process::ExitCode;

use crate::bars::Bars;

type Part = (&'static str, fn(&mut Bars));

const PARTS: &[Part] = &[("decisions", decisions::run), ("reload", reload::run), ("memory", memory::run)];

fn main() -> ExitCode {
    // Cargo adds flags of its own.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut bars = Bars::default();
    for (name, run) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            run(&mut bars);
            bars.tell();
        }
    }
    bars.conclude()
}
