//! `rates`: the server and its tools in one binary. See `rates --help`.

use std::process::ExitCode;

/// The allocator of glibc slows down as memory fragments: after ten seconds of different questions, an answer from memory
/// took a fifth longer than with this one.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    chassis::main::<rates::Rates>()
}
