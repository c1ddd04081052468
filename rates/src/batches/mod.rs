//! Batches of prices: staged while they arrive, checked as a set, and stored by one statement. All of a batch is
//! stored, or nothing.

mod content;
mod error;
pub mod outcomes;
pub mod parse;
pub(crate) mod sql;
pub(crate) mod staging;
mod upload;
pub mod worker;

use sqlx::PgConnection;

pub(crate) use content::next_content;
pub(crate) use error::BatchError;
use parse::Content;
use sql::Batch;
pub(crate) use upload::Upload;

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
