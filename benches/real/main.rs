//! How long workflows take on real API servers, and what they cost the controller: etcd, kube-apiserver, the controller as
//! installed and a stand-in for the kubelets, whose pods take 50 ms to start and 100 ms to run, share the machine.
//! `cargo bench --bench real` measures all; `-- speed`, `-- elsewhere`, `-- freeze` or `-- memory` one part of it. It fails if
//! a bar is missed.
//!
//! The same was measured of Argo Workflows v4.1.2, with `--qps 2000 --burst 4000 --workflow-workers 64` and
//! `DEFAULT_REQUEUE_TIME=500ms`, on two cores: one pod 0.54 s; 2,200 workflows a minute and 8 to 11 ms of CPU each; a chain of
//! 100 pods 56.5 s; a fan-out of 1,000 pods 17.1 s and 5.5 s of CPU; 160 MB.

#[path = "../shared/bars.rs"]
mod bars;
mod elsewhere;
mod freeze;
mod memory;
mod place;
#[path = "../shared/process.rs"]
mod process;
#[path = "../../tests/it/real/mod.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "it is of the tests, which need more of a cluster")]
mod real;
mod speed;

use std::process::ExitCode;

use crate::bars::Bars;

const PARTS: &[&str] = &["speed", "elsewhere", "freeze", "memory"];

fn main() -> anyhow::Result<ExitCode> {
    // Cargo adds flags of its own.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for word in &wanted {
        anyhow::ensure!(PARTS.contains(&word.as_str()), "no part is called {word:?}; there are {}", PARTS.join(", "));
    }
    let mut bars = Bars::default();
    for part in PARTS {
        if !wanted.is_empty() && wanted.iter().all(|word| word != part) {
            continue;
        }
        // Clusters end with the runtime that they were started in.
        let runtime = tokio::runtime::Runtime::new()?;
        match *part {
            "speed" => runtime.block_on(speed::run(&mut bars))?,
            "elsewhere" => runtime.block_on(elsewhere::run(&mut bars))?,
            "freeze" => runtime.block_on(freeze::run(&mut bars))?,
            "memory" => runtime.block_on(memory::run(&mut bars))?,
            part => unreachable!("{part} is one of the parts"),
        }
        bars.tell();
    }
    Ok(bars.conclude())
}
