//! `messages`: the server and its tools in one binary. See `messages --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    messages::commands::run().into()
}
