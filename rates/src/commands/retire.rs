//! `rates retire`.

use chassis::{Exit, Failure, postgres};
use chrono::{NaiveDate, Utc};
use clap::Args;

use crate::{retire, settings::Settings};

/// How many prices a transaction deletes, about. Other writers wait for it.
const STEP: i64 = 20_000;

/// What to delete.
#[derive(Args)]
pub struct Options {
    /// Delete the prices of all days before this one
    #[arg(long, value_name = "DAY")]
    before: NaiveDate,
    /// Only say how many prices that are
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn retire(settings: &Settings, options: &Options) -> Result<Exit, Failure> {
    let Options { before, dry_run } = *options;
    if before > Utc::now().date_naive() {
        return Err(Failure::new(
            Exit::Usage,
            format!("--before {before} is in the future: that would delete every price"),
        ));
    }
    let mut connection = postgres::connect(&settings.database).await?;
    if dry_run {
        let prices = retire::count(&mut connection, before).await?;
        tracing::info!(prices, %before, "would be deleted");
        return Ok(Exit::Success);
    }
    let prices = retire::retire(&mut connection, before, STEP).await.map_err(|error| {
        Failure::from(error).context("not all old prices are deleted; run the same command again")
    })?;
    tracing::info!(prices, %before, "deleted");
    Ok(Exit::Success)
}
