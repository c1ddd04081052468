//! The commands of `rates`, in addition to those of every service.

#![expect(clippy::doc_markdown, reason = "doc comments on commands are their help texts")]

mod batches;
mod faults;
mod hook;
mod key;
mod load;
mod push;
mod retire;
mod rollup;
mod table;

use chassis::{Configuration, Exit, Failure, Service, postgres};
use clap::Subcommand;

use crate::{database::MIGRATOR, settings::Settings};

/// See `rates --help`.
#[derive(Subcommand)]
pub enum Command {
    /// Bring the database's schema up to date
    ///
    /// Works on an empty database and on one that was loaded from a dump of regions, ports and prices; does nothing
    /// where nothing is pending. Several may run at once. Needs a role that owns the tables. With DB_APP_USER and
    /// DB_APP_PASSWORD it also makes (or updates) the login role for `serve`, with the minimum privileges.
    Migrate,
    /// Load a dump, or prices alone
    ///
    /// FILE is a plain pg_dump with COPY blocks of regions, ports and prices (everything else in it is skipped), or
    /// prices as `rates push` takes them: .csv or .xlsx with a header row, .json or .ndjson. Any of them may be gzipped. All rows are stored, or none.
    Load(load::Options),
    /// Check that the rollup equals the raw prices
    ///
    /// Exit code 0 if every row is right, 1 with the first differences if not; `rates rebuild` corrects them.
    Verify,
    /// Make the rollup equal the raw prices
    ///
    /// Writes only the rows that are wrong. Readers do not wait; writers wait until it is done.
    Rebuild,
    /// Delete old prices
    ///
    /// In transactions of about 20,000 prices: readers do not wait, and other writers wait for one of them. The answers of
    /// older days are empty afterwards.
    /// There is no way back but a backup.
    Retire(retire::Options),
    /// Create, rotate, list and revoke the keys of suppliers and readers
    #[command(subcommand)]
    Key(key::Command),
    /// List, show and withdraw the batches of all suppliers
    #[command(subcommand)]
    Batches(batches::Command),
    /// Add, list, test and remove webhooks: messages about batches and changes of the data
    #[command(subcommand)]
    Hook(hook::Command),
    /// Send a file of prices to a server
    ///
    /// The key comes from RATES_KEY. If anything goes wrong, run the same command again: nothing is stored twice.
    ///
    /// Exit codes: 0 all prices are stored; 64 key rejected or wrong command line; 65 file rejected; 66 the file cannot
    /// be read; 69 the server cannot be reached; 75 it is busy or the connection broke, try again later.
    Push(push::Options),
    /// Store the batches that are queued (Prefer: respond-async) and deliver the messages of hooks, and do nothing else
    Work,
}

/// Runs a command.
pub async fn run<S: Service<Settings = Settings>>(
    command: Command,
    configuration: &Configuration<S>,
) -> Result<Exit, Failure> {
    if let Command::Work = command {
        return chassis::work(configuration).await;
    }
    let settings = configuration.load()?.service;
    match command {
        Command::Migrate => {
            postgres::migrate(&settings.database, &MIGRATOR, include_str!("../app_role.sql")).await
        }
        Command::Load(options) => load::load(&settings, &options).await,
        Command::Verify => rollup::verify(&settings).await,
        Command::Rebuild => rollup::rebuild(&settings).await,
        Command::Retire(options) => retire::retire(&settings, &options).await,
        Command::Key(command) => key::key(&settings, &command).await,
        Command::Batches(command) => batches::batches(&settings, &command).await,
        Command::Hook(command) => hook::hook(&settings, &command).await,
        Command::Push(options) => push::push(&settings, &options).await,
        Command::Work => unreachable!("done above: it reads the settings itself"),
    }
}
