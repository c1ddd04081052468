//! `transfer`: sender and receiver in one binary. See `transfer --help`.

fn main() -> std::process::ExitCode {
    chassis::main::<transfer::Transfer>()
}
