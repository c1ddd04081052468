//! The command line: the commands of every service, and those of the service itself.

use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};

use crate::{
    Exit, Failure, Service, VERSION, configuration::Configuration, exit::OrFail, openapi, process, server,
    settings,
};

/// The `main` of a service: reads the command line and does what it says.
#[must_use]
pub fn main<S: Service>() -> ExitCode {
    let arguments = command::<S>().try_get_matches();
    let exit = match arguments.and_then(|matches| CommandLine::<S::Command>::from_arg_matches(&matches)) {
        Ok(line) => run::<S>(line.command.unwrap_or(Command::Serve)).unwrap_or_else(|failure| {
            eprintln!("{}: {failure}", S::NAME);
            failure.exit
        }),
        Err(error) => {
            let _ = error.print();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Success,
                _ => Exit::Usage,
            }
        }
    };
    exit.into()
}

#[derive(Parser)]
struct CommandLine<C: Subcommand> {
    #[command(subcommand)]
    command: Option<Command<C>>,
}

#[derive(Subcommand)]
enum Command<C: Subcommand> {
    /// Answer requests (the default command)
    ///
    /// Runs until SIGTERM or Ctrl-C, then lets requests in flight end; a second one cuts them off. Starts while what
    /// it depends on is unreachable, and answers 503 until it is back.
    Serve,
    #[command(flatten)]
    Own(C),
    /// Show every setting and where its value came from; secrets are hidden
    Config {
        /// Print a Markdown table of all settings with their defaults and meanings instead
        #[arg(long)]
        markdown: bool,
    },
    /// Print the OpenAPI description
    Openapi,
    /// Ask the process on this machine whether it is alive, for containers without curl
    Healthcheck {
        /// The process runs `work`, and has only the metrics port
        #[arg(long)]
        work: bool,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write a manual page for each command into a folder
    Man {
        /// The folder
        folder: PathBuf,
    },
}

fn command<S: Service>() -> clap::Command {
    let (name, upper) = (S::NAME, S::NAME.to_uppercase());
    let short = S::ABOUT.split_once("\n\n").map_or(S::ABOUT, |(first, _)| first);
    CommandLine::<S::Command>::command().name(name).version(VERSION).about(short).long_about(format!(
        "{}\n\nSettings come from {name}.toml and {name}.$APP_ENV.toml (in ${upper}_CONFIG_DIR, or else the working \
         directory or /etc/{name}) and from the environment (PORT, RUST_LOG, {upper}__SECTION__KEY, …); `{name} config` \
         shows them all, and where each came from.\n\nExit codes: 0 done; 1 a check said no, or the process failed; 64 \
         wrong command line or configuration; 65 unacceptable data; 66 no such input; 69 something it depends on is \
         unreachable; 75 cut off, try again.",
        S::ABOUT,
    ))
}

fn run<S: Service>(command: Command<S::Command>) -> Result<Exit, Failure> {
    let configuration = Configuration::<S>::of_process();
    match command {
        Command::Serve => block_on(process::serve(&configuration))?,
        Command::Own(own) => block_on(S::run(own, &configuration))?,
        Command::Config { markdown: true } => Ok(print(&settings::markdown::<S::Settings>())),
        Command::Config { markdown: false } => Ok(print(&configuration.read()?.to_text())),
        Command::Openapi => Ok(print(&openapi::to_json(&process::describe::<S>()))),
        Command::Healthcheck { work } => {
            server::healthcheck(&configuration.read()?.shell.server, work)?;
            Ok(Exit::Success)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut self::command::<S>(), S::NAME, &mut script);
            Ok(print(&String::from_utf8_lossy(&script)))
        }
        Command::Man { folder } => {
            clap_mangen::generate_to(self::command::<S>(), &folder)
                .or_fail(Exit::Failure, || format!("cannot write to {}", folder.display()))?;
            Ok(Exit::Success)
        }
    }
}

/// Writes to standard output. A closed pipe (`rates config | head`) is no error.
#[must_use = "it is how the command ends"]
pub fn print(text: &str) -> Exit {
    let _ = std::io::stdout().write_all(text.as_bytes());
    Exit::Success
}

fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.or_fail(Exit::Failure, || "cannot start")?;
    let output = runtime.block_on(future);
    // Dropping it would wait for blocking work, however long that takes.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(output)
}
