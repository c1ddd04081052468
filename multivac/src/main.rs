//! `multivac`: the server, the worker and their tools in one binary. See `multivac --help`.

fn main() -> std::process::ExitCode {
    chassis::main::<multivac::Multivac>()
}
