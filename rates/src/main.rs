//! `rates`: the server and its tools in one binary. See `rates --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::main::<rates::Rates>()
}
