//! `rates load`.

use std::path::PathBuf;

use chassis::Exit;
use clap::Args;

use super::{connect, database_error, faults};
use crate::{
    load::{LoadError, Loaded, Mode, load_file},
    settings::Settings,
};

/// What to load and how.
#[derive(Args)]
pub(super) struct Options {
    /// The file, or - for standard input
    file: PathBuf,
    /// Add to the prices that the database holds
    #[arg(long, conflicts_with_all = ["replace", "if_empty"])]
    append: bool,
    /// Replace the prices that the database holds (and, with a dump, the places) in one step: until the load ends well,
    /// the old ones stay
    #[arg(long, conflicts_with = "if_empty")]
    replace: bool,
    /// Do nothing, and succeed, if the database already holds prices
    #[arg(long)]
    if_empty: bool,
}

pub(super) async fn load(settings: &Settings, options: &Options) -> Exit {
    let mut connection = match connect(settings).await {
        Ok(connection) => connection,
        Err(exit) => return exit,
    };
    let mode = match options {
        Options { append: true, .. } => Mode::Append,
        Options { replace: true, .. } => Mode::Replace,
        _ => Mode::IntoEmpty,
    };
    match load_file(&mut connection, &options.file, mode).await {
        Ok(Loaded { regions, ports, prices, seconds }) => {
            tracing::info!(regions, ports, prices, seconds, "loaded");
            Exit::Success
        }
        Err(LoadError::NotEmpty) if options.if_empty => {
            tracing::info!("the database already holds prices; nothing to do");
            Exit::Success
        }
        Err(LoadError::Database(error)) => database_error("nothing was loaded", &error),
        Err(LoadError::Input(error)) => {
            eprintln!("rates: cannot read {}: {error}", options.file.display());
            Exit::NoInput
        }
        Err(error) => {
            eprintln!("rates: nothing was loaded: {error}");
            if let LoadError::Faults(content) = error {
                faults::print(&content.faults);
            }
            Exit::Data
        }
    }
}
