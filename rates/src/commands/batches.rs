//! `rates batches`.

use chassis::{
    Exit, Failure, postgres, print,
    problem::{FieldError, ProblemBody},
};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use sqlx::{Connection, PgConnection};

use super::{faults, table};
use crate::{
    batches::sql::{self, Batch},
    settings::Settings,
};

/// What to do with batches.
#[derive(Subcommand)]
pub enum Command {
    /// List the batches of all suppliers, newest first
    List {
        /// Only those of this supplier
        #[arg(long)]
        supplier: Option<String>,
        /// The most batches to list
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show a batch with its warnings and, if it failed, its faults
    Show {
        /// The number of the batch
        id: i64,
    },
    /// Withdraw a batch: delete exactly its prices
    Withdraw {
        /// The number of the batch
        id: i64,
    },
}

pub(super) async fn batches(settings: &Settings, command: &Command) -> Result<Exit, Failure> {
    let mut connection = postgres::connect(&settings.database).await?;
    match command {
        Command::List { supplier, limit } => {
            let batches = sql::list(&mut connection, supplier.as_deref(), None, i64::from(*limit)).await?;
            Ok(print(&list(&batches)))
        }
        Command::Show { id } => Ok(print(&describe(&find(&mut connection, *id).await?))),
        Command::Withdraw { id } => withdraw(&mut connection, *id).await,
    }
}

async fn withdraw(connection: &mut PgConnection, id: i64) -> Result<Exit, Failure> {
    let mut transaction = connection.begin().await?;
    let withdrawn = sql::withdraw(&mut transaction, id).await?;
    transaction.commit().await?;
    if withdrawn.is_some() {
        return Ok(print(&format!("Batch {id} is withdrawn; its prices are deleted.\n")));
    }
    let state = find(connection, id).await?.state.name();
    Err(Failure::new(Exit::Data, format!("batch {id} is {state}; only one that is done has prices")))
}

async fn find(connection: &mut PgConnection, id: i64) -> Result<Batch, Failure> {
    let batch = sql::find(connection, id).await?;
    batch.ok_or_else(|| {
        Failure::new(Exit::Data, format!("there is no batch {id}; `rates batches list` lists all"))
    })
}

fn list(batches: &[Batch]) -> String {
    let mut rows = vec![["NUMBER", "SUPPLIER", "STATE", "PRICES", "WARNINGS", "CREATED"].map(str::to_owned)];
    rows.extend(batches.iter().map(|batch| {
        [
            batch.id.to_string(),
            batch.supplier.clone(),
            batch.state.name().to_owned(),
            number(batch.prices),
            batch.total_warnings.to_string(),
            time(Some(batch.created_at)),
        ]
    }));
    table::format(&rows)
}

fn describe(batch: &Batch) -> String {
    let rows = [
        ("number", batch.id.to_string()),
        ("supplier", batch.supplier.clone()),
        ("state", batch.state.name().to_owned()),
        ("rows", batch.rows.to_string()),
        ("prices", number(batch.prices)),
        ("days", number(batch.days)),
        ("lanes", number(batch.lanes)),
        ("bytes", batch.content_bytes.to_string()),
        ("sha256", hex::encode(&batch.content_sha256)),
        ("replaces", number(batch.replaces)),
        ("created", time(Some(batch.created_at))),
        ("ended", time(batch.ended_at)),
        ("withdrawn", time(batch.withdrawn_at)),
        ("warnings", batch.total_warnings.to_string()),
    ]
    .map(|(name, value)| [name.to_owned(), value]);
    let warnings: Vec<FieldError> = serde_json::from_str(&batch.warnings).unwrap_or_default();
    let problem =
        batch.problem.as_deref().and_then(|problem| serde_json::from_str::<ProblemBody>(problem).ok());
    let mut text = table::format(&rows).trim_end().to_owned() + &faults::lines(&warnings);
    if let Some(problem) = problem {
        text += "\n";
        text += problem.detail.as_deref().unwrap_or(&problem.title);
        text += &faults::lines(&problem.errors);
    }
    text + "\n"
}

fn number(number: Option<i64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn time(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| time.format("%Y-%m-%dT%H:%MZ").to_string())
}
