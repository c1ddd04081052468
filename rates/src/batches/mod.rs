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

use chassis::Stop;
use sqlx::PgConnection;
use tokio::time::sleep;

pub(crate) use error::BatchError;
use parse::Content;
use sql::Batch;
pub(crate) use upload::{Upload, stage_spooled};

use crate::app::App;

/// The name of the queue of batches.
pub(crate) const QUEUE: &str = "batches";

impl Content {
    /// Gives the content back if it has no fault.
    pub(crate) fn accept(self) -> Result<Self, BatchError> {
        if self.total_faults == 0 { Ok(self) } else { Err(BatchError::Faults(self)) }
    }
}

/// Stores the staged rows as those of this batch, and completes it.
pub(crate) async fn store_staged(
    transaction: &mut PgConnection,
    batch: i64,
    rows: u64,
) -> Result<Batch, sqlx::Error> {
    let extent = staging::extent(&mut *transaction).await?;
    staging::insert_prices(&mut *transaction, Some(batch)).await?;
    sql::complete(transaction, batch, rows, extent).await
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
        let cleaning = async {
            loop {
                match self.delete_abandoned_uploads().await {
                    Ok(0) => {}
                    Ok(pieces) => tracing::info!(pieces, "deleted what abandoned uploads had left"),
                    Err(error) => tracing::debug!(error = %error, "cannot look for abandoned uploads"),
                }
                sleep(CLEANING).await;
            }
        };
        tokio::select! {
            () = cleaning => {}
            () = stop.begun() => {}
        }
    }
}
