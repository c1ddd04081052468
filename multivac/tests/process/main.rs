//! The real binary: server and worker, killed and cut off, its logs and its commands.

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod crash;
mod outage;

use std::{path::Path, process::Command};

use chassis::testing::Process;
use reqwest::Client;

use crate::support::Place;

/// The binary with a clean environment, in a place and with these variables besides.
fn command(place: &Place, variables: &[(&str, &str)]) -> Command {
    let quiet = [("RUST_LOG", "info,request=off")];
    let variables = [&quiet[..], &place.variables(), variables].concat();
    chassis::testing::command(env!("CARGO_BIN_EXE_multivac"), "multivac", &variables)
}

/// A running server.
fn serve(place: &Place, variables: &[(&str, &str)]) -> Process {
    Process::start(command(place, variables))
}

/// A running worker.
fn work(place: &Place, variables: &[(&str, &str)]) -> Process {
    let mut command = command(place, variables);
    command.arg("work");
    Process::start(command)
}

fn client() -> Client {
    chassis::use_ring();
    Client::builder().timeout(support::PATIENCE).build().unwrap()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
