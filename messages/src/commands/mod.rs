//! The commands of the binary. Each returns how the process ends; its errors say what to do next.

#![expect(clippy::doc_markdown, reason = "doc comments on commands are their help texts")]

mod probe;
mod serve;

use std::io::Write;

use chassis::{
    Exit, VERSION,
    settings::{self, Loaded},
};
use clap::{Parser, Subcommand, error::ErrorKind};

use crate::{router, settings::Settings};

/// Store a message, get it back by its SHA-256
///
/// Settings come from messages.toml, messages.$APP_ENV.toml and the environment (PORT, MESSAGES_REDIS_HOST, RUST_LOG,
/// MESSAGES__SECTION__KEY); `messages config` shows them all, with where each came from.
///
/// Exit codes: 0 done; 1 a check said no; 64 wrong command line or configuration; 69 the store or the server cannot be
/// reached; 75 cut off, try again.
#[derive(Parser)]
#[command(name = "messages", version = VERSION)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Answer requests (the default command)
    ///
    /// Listens on server.port (PORT, 5000) by HTTPS until SIGTERM or Ctrl-C, then lets requests in flight end. Makes a
    /// self-signed certificate where there is none. Starts while the store is away, and answers 503 until it is back.
    Serve,
    /// Store, read and delete a probe on a server, for watchdogs
    ///
    /// Exit codes: 0 all is well; 1 a wrong answer; 69 no answer.
    Check(probe::Server),
    /// Delete messages, to reset a test run
    ///
    /// What is not there is as good as deleted.
    Clean(probe::CleanOptions),
    /// Show every setting and where its value came from, secrets hidden
    Config,
    /// Print the OpenAPI description
    Openapi,
    /// Ask the server on this machine whether it is alive, for containers without curl
    Healthcheck,
}

/// Reads the command line and does what it says.
#[must_use]
pub fn run() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Success,
                _ => Exit::Usage,
            };
        }
    };
    match cli.command.unwrap_or(Command::Serve) {
        // These ask a server for what it is; the settings of this machine are not theirs.
        Command::Check(server) => block_on(probe::check(&server)),
        Command::Clean(options) => block_on(probe::clean(&options)),
        Command::Openapi => print(&router::openapi_json()),
        Command::Serve => with_settings(serve::serve),
        Command::Config => with_settings(|loaded| print(&config(loaded))),
        Command::Healthcheck => with_settings(|loaded| {
            chassis::server::healthcheck(&loaded.settings.server).map_or_else(
                |reason| {
                    eprintln!("messages: {reason}");
                    Exit::Failure
                },
                |()| Exit::Success,
            )
        }),
    }
}

fn with_settings(command: impl FnOnce(&Loaded<Settings>) -> Exit) -> Exit {
    // A variable that is not text cannot be one of ours.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    match settings::load::<Settings>(environment) {
        Ok(loaded) => command(&loaded),
        Err(faults) => {
            eprintln!("messages: {faults}");
            Exit::Usage
        }
    }
}

fn block_on(future: impl Future<Output = Exit>) -> Exit {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => {
            eprintln!("messages: cannot start: {error}");
            Exit::Failure
        }
    }
}

fn print(text: &str) -> Exit {
    // A closed pipe (`messages config | head`) is the reader's wish.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Exit::Success
}

fn config(loaded: &Loaded<Settings>) -> String {
    let width = loaded.origins.keys().map(String::len).max().unwrap_or(0);
    let lines = loaded
        .origins
        .iter()
        .map(|(name, origin)| format!("{name:width$} = {:?}  # {}", origin.value, origin.from));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}
