//! The program: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = landfall::local::runtime::entry(std::env::args_os()) {
        return code;
    }
    landfall::cli::main()
}
