//! Batches of prices: parsed while they arrive, then staged, checked as a set, and stored by one statement. All of a
//! batch is stored, or nothing.

mod content;
mod error;
pub mod outcomes;
pub(crate) mod pace;
pub mod parse;
pub mod slots;
pub mod spool;
pub(crate) mod sql;
pub(crate) mod staging;
mod upload;
pub mod worker;

use std::time::Duration;

use chassis::{Stop, problem::FieldError};
use sqlx::PgConnection;

pub(crate) use error::{BatchError, not_replaceable};
use parse::ParsedContent;
use sql::Batch;
use staging::{Extent, UnusualPrice};
pub(crate) use upload::{ProgressCell, Upload, stage_spooled};

use crate::{app::App, background::repeat, privacy::Privacy};

/// The name of the queue of batches.
pub(crate) const QUEUE: &str = "batches";

impl ParsedContent {
    /// Gives the content back if it has no fault.
    pub(crate) fn accept(self) -> Result<Self, BatchError> {
        if self.total_faults == 0 { Ok(self) } else { Err(BatchError::Faults(self)) }
    }
}

/// The most warnings that are listed.
const LISTED_WARNINGS: usize = 20;

/// What is known of staged rows.
pub(crate) struct StagedSummary {
    pub(crate) extent: Extent,
    /// The first warnings, as a JSON array: prices far from what their lane usually costs.
    pub(crate) warnings: String,
    pub(crate) total_warnings: i64,
}

impl StagedSummary {
    pub(crate) async fn of_staged(
        transaction: &mut PgConnection,
        privacy: Privacy,
    ) -> Result<Self, sqlx::Error> {
        let (unusual, total_warnings) =
            staging::find_unusual_prices(&mut *transaction, LISTED_WARNINGS, privacy).await?;
        let warnings: Vec<_> = unusual
            .into_iter()
            .map(|UnusualPrice { row, price, usual }| {
                let detail =
                    format!("{price} is far from the mean of this lane, which is {usual:.0}; check the unit");
                FieldError::new("price", "unusual", detail).at(row, Some(price.to_string()))
            })
            .collect();
        Ok(Self {
            extent: staging::extent(transaction).await?,
            warnings: serde_json::to_string(&warnings).expect("texts and numbers are JSON"),
            total_warnings,
        })
    }
}

/// Stores the staged rows as those of this batch, in place of those of another where it replaces one, and completes it.
/// Readers see both changes at once: they are one version of the data.
pub(crate) async fn store_staged(
    app: &App,
    transaction: &mut PgConnection,
    batch: i64,
    replaces: Option<i64>,
    rows: u64,
) -> Result<Batch, BatchError> {
    if let Some(old) = replaces {
        // Before the summary, which would compare the prices with those that they correct.
        sql::withdraw(&mut *transaction, old).await?.ok_or(BatchError::NotReplaceable(old))?;
    }
    let summary = StagedSummary::of_staged(&mut *transaction, app.api_settings.privacy()).await?;
    let prices = staging::insert_prices(&mut *transaction, Some(batch)).await?;
    let done = sql::complete(&mut *transaction, batch, rows, prices, &summary).await?;
    app.announce_end(transaction, &done).await?;
    Ok(done)
}

/// How often abandoned uploads are looked for.
const CLEANING: Duration = Duration::from_hours(1);

impl App {
    /// Deletes what uploads have left behind that never ended; returns the number of pieces.
    pub async fn delete_abandoned_uploads(&self) -> Result<u64, sqlx::Error> {
        // No upload takes a day: see `batches.timeout_seconds`.
        let age = Duration::from_hours(48).as_secs_f64();
        content::delete_abandoned(&self.database.primary, QUEUE, age).await
    }

    /// Does so again and again until the stop begins.
    pub(crate) async fn clean_uploads(self, stop: Stop) {
        let clean = async || {
            let pieces = self.delete_abandoned_uploads().await?;
            if pieces > 0 {
                tracing::info!(pieces, "deleted what abandoned uploads had left");
            }
            // Looking is work, too: otherwise it would be repeated within a second.
            Ok::<_, sqlx::Error>(true)
        };
        repeat(stop, "delete what abandoned uploads have left", CLEANING, clean).await;
    }
}
