//! The commands of the binary. Each returns how the process ends; its errors say what to do next.

#![expect(clippy::doc_markdown, reason = "doc comments on commands are their help texts")]

mod faults;
mod key;
mod load;
mod migrate;
mod push;
mod rollup;
mod serve;
mod work;

use std::io::Write;

use chassis::{
    Exit, VERSION,
    settings::{self, Loaded},
    telemetry,
};
use clap::{Parser, Subcommand, error::ErrorKind};
use sqlx::{Connection, PgConnection};

use crate::{router, settings::Settings};

/// What does a container cost per day between two places?
///
/// Settings come from rates.toml, rates.$APP_ENV.toml and the environment (PORT, DATABASE_URL, RUST_LOG,
/// RATES__SECTION__KEY); `rates config` shows them all, with where each came from.
///
/// Exit codes: 0 done; 1 a check said no; 64 wrong command line or configuration; 65 unacceptable data; 66 no such
/// input; 69 the database cannot be reached; 75 cut off, try again.
#[derive(Parser)]
#[command(name = "rates", version = VERSION)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Answer requests (the default command)
    ///
    /// Listens on server.port (PORT, 3000) until SIGTERM or Ctrl-C, then lets requests in flight end. Refuses to start
    /// while migrations are pending; starts while the database is away, and answers 503 until it is back.
    Serve,
    /// Bring the database's schema up to date
    ///
    /// Works on an empty database and on one that was loaded from a dump of regions, ports and prices; does nothing
    /// where nothing is pending. Several may run at once. Needs a role that owns the tables. With DB_APP_USER and
    /// DB_APP_PASSWORD it also makes (or updates) the login role for `serve`, with the least it needs.
    Migrate,
    /// Load a dump, or prices alone
    ///
    /// FILE is a plain pg_dump with COPY blocks of regions, ports and prices (everything else in it is skipped), or
    /// prices as `rates push` takes them: CSV with the header orig_code,dest_code,day,price, .json or .ndjson. Any of
    /// them may be gzipped. All rows are stored, or none.
    Load(load::Options),
    /// Prove that the rollup equals the raw prices
    ///
    /// Exit code 0 if every row is right, 1 with the first differences if not; `rates rebuild` corrects them.
    Verify,
    /// Make the rollup equal the raw prices
    ///
    /// Writes only the rows that are wrong. Readers do not wait; writers wait until it is done.
    Rebuild,
    /// Create, list and revoke the keys that writes need
    #[command(subcommand)]
    Key(key::Command),
    /// Send a file of prices to a server
    ///
    /// The key comes from RATES_KEY. If anything goes wrong, run the same command again: nothing is stored twice.
    ///
    /// Exit codes: 0 all prices are stored; 64 key rejected or wrong command line; 65 file rejected; 66 the file cannot
    /// be read; 69 the server cannot be reached; 75 it is busy or the connection broke, try again later.
    Push(push::Options),
    /// Put in the batches that wait (Prefer: respond-async), and do nothing else, until SIGTERM
    Work,
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
    let command = cli.command.unwrap_or(Command::Serve);
    if let Command::Openapi = command {
        return print(&router::openapi_json());
    }
    let loaded = match settings::load::<Settings>(std::env::vars_os().filter_map(|(name, value)| {
        // A variable that is not text cannot be one of ours.
        Some((name.into_string().ok()?, value.into_string().ok()?))
    })) {
        Ok(loaded) => loaded,
        Err(faults) => {
            eprintln!("rates: {faults}");
            return Exit::Usage;
        }
    };
    let settings = &loaded.settings;
    match command {
        Command::Serve => {
            let telemetry = telemetry::start(&settings.telemetry, "rates", std::io::stdout);
            let exit = block_on(serve::serve(&loaded));
            drop(telemetry);
            exit
        }
        Command::Migrate => tool(&loaded, migrate::migrate(settings)),
        Command::Load(options) => tool(&loaded, load::load(settings, &options)),
        Command::Verify => tool(&loaded, rollup::verify(settings)),
        Command::Rebuild => tool(&loaded, rollup::rebuild(settings)),
        Command::Key(command) => tool(&loaded, key::key(settings, &command)),
        Command::Push(options) => tool(&loaded, push::push(settings, &options)),
        Command::Work => tool(&loaded, work::work(settings)),
        Command::Config => print(&config(&loaded)),
        Command::Healthcheck => match chassis::server::healthcheck(&settings.server) {
            Ok(()) => Exit::Success,
            Err(reason) => {
                eprintln!("rates: {reason}");
                Exit::Failure
            }
        },
        Command::Openapi => unreachable!("done above, since it needs no settings"),
    }
}

fn block_on(future: impl Future<Output = Exit>) -> Exit {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => {
            eprintln!("rates: cannot start: {error}");
            Exit::Failure
        }
    }
}

/// A command that does one thing for a person or a script: its log goes to standard error.
fn tool(loaded: &Loaded<Settings>, command: impl Future<Output = Exit>) -> Exit {
    let telemetry = telemetry::start(&loaded.settings.telemetry, "rates", std::io::stderr);
    let exit = block_on(command);
    drop(telemetry);
    exit
}

fn print(text: &str) -> Exit {
    // A closed pipe (`rates config | head`) is the reader's wish.
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

/// A connection of a tool: without the time limits of requests.
async fn connect(settings: &Settings) -> Result<PgConnection, Exit> {
    let options = settings.database.primary().map_err(|(setting, fault)| {
        eprintln!("rates: {setting}: {fault}");
        Exit::Usage
    })?;
    let address =
        format!("{}:{}/{}", options.get_host(), options.get_port(), options.get_database().unwrap_or(""));
    let options = options.application_name("rates tool").options([("jit", "off")]);
    PgConnection::connect_with(&options).await.map_err(|error| {
        eprintln!("rates: cannot connect to the database at {address}: {error}");
        eprintln!("rates: set DATABASE_URL, or DB_HOST DB_PORT DB_NAME DB_USER DB_PASSWORD");
        Exit::Unavailable
    })
}

/// What a failed statement says to the person at the terminal: PostgreSQL's message, detail and place.
fn database_error(what: &str, error: &sqlx::Error) -> Exit {
    if let sqlx::Error::Database(database) = error
        && let Some(postgres) = database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
    {
        eprintln!("rates: {what}: {}", postgres.message());
        for (title, text) in
            [("detail", postgres.detail()), ("hint", postgres.hint()), ("where", postgres.r#where())]
        {
            if let Some(text) = text {
                eprintln!("rates:   {title}: {text}");
            }
        }
        return if chassis::postgres::is_outage(error) { Exit::Unavailable } else { Exit::Data };
    }
    eprintln!("rates: {what}: {error}");
    if chassis::postgres::is_outage(error) { Exit::Unavailable } else { Exit::Failure }
}
