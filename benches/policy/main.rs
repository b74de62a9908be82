//! What policy costs. `cargo bench --bench policy` measures all; `-- decisions`, `-- reload` or `-- memory` one part of it.

mod decisions;
mod memory;
mod reload;
mod thousand;
mod times;

type Part = (&'static str, fn());

const PARTS: &[Part] = &[("decisions", decisions::run), ("reload", reload::run), ("memory", memory::run)];

fn main() {
    // Cargo adds flags of its own.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for (name, run) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            run();
            println!();
        }
    }
}
