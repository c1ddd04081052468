//! `rates load`.

use std::path::PathBuf;

use chassis::{Exit, Failure, postgres};
use clap::Args;

use super::faults;
use crate::{
    load::{LoadError, Loaded, Mode, load_file},
    settings::Settings,
};

/// What to load and how.
#[derive(Args)]
pub struct Options {
    /// The file, or - for standard input
    file: PathBuf,
    /// Add to the prices that the database holds
    #[arg(long, conflicts_with_all = ["replace", "if_empty"])]
    append: bool,
    /// Replace the prices that the database holds (and, with a dump, the places) in one step: the old ones stay until
    /// the load succeeds
    #[arg(long, conflicts_with = "if_empty")]
    replace: bool,
    /// Do nothing, and succeed, if the database already holds prices
    #[arg(long)]
    if_empty: bool,
}

pub(super) async fn load(settings: &Settings, options: &Options) -> Result<Exit, Failure> {
    let mut connection = postgres::connect(&settings.database).await?;
    let mode = match options {
        Options { append: true, .. } => Mode::Append,
        Options { replace: true, .. } => Mode::Replace,
        _ => Mode::IntoEmpty,
    };
    match load_file(&mut connection, &options.file, mode, settings.batches.rules()).await {
        Ok(Loaded { regions, ports, prices, seconds }) => {
            tracing::info!(regions, ports, prices, seconds, "loaded");
            Ok(Exit::Success)
        }
        Err(LoadError::NotEmpty) if options.if_empty => {
            tracing::info!("the database already holds prices; nothing to do");
            Ok(Exit::Success)
        }
        Err(LoadError::Input(error)) => {
            let file = options.file.display();
            Err(Failure::new(Exit::NoInput, format!("cannot read {file}: {error}")))
        }
        Err(LoadError::Database(error)) => Err(Failure::from(error).context("nothing was loaded")),
        Err(error) => {
            let faults = match &error {
                LoadError::Faults(content) => faults::lines(&content.faults),
                _ => String::new(),
            };
            Err(Failure::new(Exit::Data, format!("nothing was loaded: {error}{faults}")))
        }
    }
}
