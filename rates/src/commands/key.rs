//! `rates key`.

use chassis::{Exit, Failure, exit::OrFail, postgres, print};
use chrono::{DateTime, NaiveDate, Utc};
use clap::Subcommand;
use sqlx::{Connection, PgConnection};

use super::table;
use crate::{
    settings::Settings,
    suppliers::{
        Scope, Secret,
        sql::{self, KeySummary},
    },
};

/// What to do with keys.
#[derive(Subcommand)]
pub enum Command {
    /// Create a key for a supplier or a reader and print it; it cannot be shown again
    Create {
        /// Whose key it is, such as acme-lines: lower-case letters, digits, - and _
        #[arg(value_parser = parse_supplier)]
        supplier: String,
        /// What it may do
        #[arg(long, value_enum, default_value_t = Scope::Write)]
        scope: Scope,
        /// When it expires: a day (2031-01-31, at its start, UTC) or a moment (2031-01-31T12:00:00Z); never if not given
        #[arg(long, value_parser = parse_expiry)]
        expires: Option<DateTime<Utc>>,
    },
    /// Create a key in place of another, with the same scope, and print it; the old one stays valid for some days
    Rotate {
        /// The number of the old key: the digits in rates_NUMBER_...
        id: i64,
        /// How many days the old key stays valid; 0 revokes it at once
        #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u16).range(..=365))]
        overlap: u16,
        /// When the new key expires: a day or a moment, as in `rates key create`; never if not given
        #[arg(long, value_parser = parse_expiry)]
        expires: Option<DateTime<Utc>>,
    },
    /// List all keys, without their secrets
    List,
    /// Revoke a key by its number, at once and on every instance
    Revoke {
        /// The number: the digits in rates_NUMBER_...
        id: i64,
    },
}

pub(super) async fn key(settings: &Settings, command: &Command) -> Result<Exit, Failure> {
    let mut connection = postgres::connect(&settings.database).await?;
    match command {
        Command::Create { supplier, scope, expires } => {
            create(&mut connection, supplier, *scope, *expires).await
        }
        Command::Rotate { id, overlap, expires } => rotate(&mut connection, *id, *overlap, *expires).await,
        Command::List => Ok(print(&table(&sql::list(&mut connection).await?, Utc::now()))),
        Command::Revoke { id } => {
            if sql::revoke(&mut connection, *id).await? {
                return Ok(Exit::Success);
            }
            Err(Failure::new(Exit::Data, format!("there is no key {id}; `rates key list` shows all")))
        }
    }
}

async fn create(
    connection: &mut PgConnection,
    supplier: &str,
    scope: Scope,
    expires: Option<DateTime<Utc>>,
) -> Result<Exit, Failure> {
    let secret = random_secret()?;
    let mut transaction = connection.begin().await?;
    let id = sql::create(&mut transaction, supplier, scope, &secret.hash(), expires).await?;
    transaction.commit().await?;
    Ok(print(&format!("{}\n", secret.key(id))))
}

async fn rotate(
    connection: &mut PgConnection,
    id: i64,
    overlap_days: u16,
    expires: Option<DateTime<Utc>>,
) -> Result<Exit, Failure> {
    let secret = random_secret()?;
    let overlap_seconds = f64::from(overlap_days) * 86_400.0;
    match sql::rotate(connection, id, overlap_seconds, &secret.hash(), expires).await? {
        Some(new) => Ok(print(&format!("{}\n", secret.key(new)))),
        None => Err(Failure::new(Exit::Data, format!("key {id} is not valid; `rates key list` shows all"))),
    }
}

fn random_secret() -> Result<Secret, Failure> {
    Secret::random().or_fail(Exit::Unavailable, || "the operating system gives no random numbers")
}

/// The keys as a table for people.
fn table(keys: &[KeySummary], now: DateTime<Utc>) -> String {
    let time = |time: Option<DateTime<Utc>>| {
        time.map_or_else(|| "-".to_owned(), |time| time.format("%Y-%m-%dT%H:%MZ").to_string())
    };
    let mut rows =
        vec![["NUMBER", "SUPPLIER", "SCOPE", "CREATED", "EXPIRES", "LAST USED", "STATE"].map(str::to_owned)];
    rows.extend(keys.iter().map(|key| {
        let state = match (key.revoked_at, key.expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(expiry)) if expiry <= now => "expired",
            _ => "valid",
        };
        [
            key.id.to_string(),
            key.supplier.clone(),
            key.scope.name().to_owned(),
            time(Some(key.created_at)),
            time(key.expires_at),
            time(key.last_used_at),
            state.to_owned(),
        ]
    }));
    table::format(&rows)
}

/// The rule of the constraint `suppliers_name_format`.
fn parse_supplier(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_valid = text.len() <= 64
        && text.starts_with(is_plain)
        && text.chars().all(|c| is_plain(c) || matches!(c, '-' | '_'));
    if is_valid {
        return Ok(text.to_owned());
    }
    let rule = "a supplier is 1 to 64 lower-case letters, digits, - and _, and begins with a letter or digit";
    let words: Vec<String> = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let example = words.join("-");
    if example.is_empty() || example.len() > 64 {
        return Err(rule.to_owned());
    }
    Err(format!("{rule}; for example {example}"))
}

fn parse_expiry(text: &str) -> Result<DateTime<Utc>, String> {
    let day = || text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0);
    let expiry = text
        .parse::<DateTime<Utc>>()
        .ok()
        .or_else(|| day().map(|start| start.and_utc()))
        .ok_or("it must be a day like 2031-01-31 or a moment like 2031-01-31T12:00:00Z")?;
    if expiry <= Utc::now() {
        return Err("it is in the past; the key would never be valid".to_owned());
    }
    Ok(expiry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_supplier_is_told_the_rule_and_an_example() {
        assert_eq!(parse_supplier("acme-lines_2").as_deref(), Ok("acme-lines_2"));
        assert!(parse_supplier("Acme Lines").unwrap_err().ends_with("for example acme-lines"));
        for wrong in ["", "-acme", "ACME", "acme.", "é", &"a".repeat(65)] {
            assert!(parse_supplier(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_expiry_is_a_day_or_a_moment_in_the_future() {
        assert_eq!(parse_expiry("9999-01-31").unwrap().to_rfc3339(), "9999-01-31T00:00:00+00:00");
        assert!(parse_expiry("9999-01-31T12:00:00+01:00").is_ok());
        assert!(parse_expiry("2020-01-31").unwrap_err().contains("past"));
        assert!(parse_expiry("soon").unwrap_err().contains("2031-01-31"));
    }
}
