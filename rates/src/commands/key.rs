//! `rates key`.

use chassis::Exit;
use chrono::{DateTime, NaiveDate, Utc};
use clap::Subcommand;
use sqlx::Connection;

use super::{connect, database_error, print};
use crate::{keys::Secret, settings::Settings, sql};

/// What to do with keys.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a key for a supplier and print it; it cannot be shown again
    Create {
        /// The supplier: lower case letters, digits, - and _
        supplier: String,
        /// The day from which on it is not valid any more, or the moment (2031-01-31T12:00:00Z)
        #[arg(long, value_parser = parse_end)]
        expires: Option<DateTime<Utc>>,
    },
    /// List all keys: number, supplier, made, expires, last used, and whether it is valid
    List,
    /// Revoke a key by its number, on every instance at once
    Revoke {
        /// The number: the digits in rates_NUMBER_...
        id: i64,
    },
}

pub(super) async fn key(settings: &Settings, command: &Command) -> Exit {
    let mut connection = match connect(settings).await {
        Ok(connection) => connection,
        Err(exit) => return exit,
    };
    match command {
        Command::Create { supplier, expires } => {
            let secret = match Secret::random() {
                Ok(secret) => secret,
                Err(error) => {
                    eprintln!("rates: the system gives no randomness: {error}");
                    return Exit::Unavailable;
                }
            };
            let create = async {
                let mut transaction = connection.begin().await?;
                let id = sql::keys::create(&mut transaction, supplier, &secret.hash(), *expires).await?;
                transaction.commit().await?;
                Ok(id)
            };
            match create.await {
                Ok(id) => print(&format!("{}\n", secret.key(id))),
                Err(error) => database_error("no key was made", &error),
            }
        }
        Command::List => match sql::keys::list(&mut connection).await {
            Ok(keys) => {
                let now = Utc::now();
                let time = |time: Option<DateTime<Utc>>| {
                    time.map_or_else(|| "-".to_owned(), |time| time.format("%Y-%m-%dT%H:%MZ").to_string())
                };
                let lines = keys.into_iter().map(|key| {
                    let state = match (key.revoked_at, key.expires_at) {
                        (Some(_), _) => "revoked",
                        (None, Some(end)) if end <= now => "expired",
                        _ => "valid",
                    };
                    format!(
                        "{}\t{}\t{}\t{}\t{}\t{state}\n",
                        key.id,
                        key.supplier,
                        time(Some(key.created_at)),
                        time(key.expires_at),
                        time(key.last_used_at),
                    )
                });
                print(&lines.collect::<String>())
            }
            Err(error) => database_error("cannot list the keys", &error),
        },
        Command::Revoke { id } => match sql::keys::revoke(&mut connection, *id).await {
            Ok(true) => Exit::Success,
            Ok(false) => {
                eprintln!("rates: there is no key {id}; `rates key list` shows all");
                Exit::Data
            }
            Err(error) => database_error("the key was not revoked", &error),
        },
    }
}

fn parse_end(text: &str) -> Result<DateTime<Utc>, String> {
    let day = || text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0);
    text.parse::<DateTime<Utc>>()
        .ok()
        .or_else(|| day().map(|start| start.and_utc()))
        .ok_or_else(|| "neither a day like 2031-01-31 nor a moment like 2031-01-31T12:00:00Z".to_owned())
}
