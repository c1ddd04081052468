//! `messages`: the server and its tools in one binary. See `messages --help`.

fn main() -> std::process::ExitCode {
    chassis::main::<messages::Messages>()
}
