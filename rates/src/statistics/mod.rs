//! Computes percentiles and numbers of suppliers, which cannot be summed, for days whose prices have changed; the
//! newest month first.
//!
//! Readers need no worker: what is not filled in they compute from the prices. The prices are read without a lock; only at
//! the end do writers wait, while what has changed meanwhile is thrown away.

mod sql;

use std::time::Duration;

use chassis::Stop;
use sqlx::{Connection, PgConnection};

use crate::{app::App, background::repeat};

/// How long a month of a lane must be left alone before it is filled in: prices often come in several batches.
const SETTLED: Duration = Duration::from_secs(5);

/// The most pairs of ports in one transaction, which others of its kind wait for.
const MOST_LANES: i64 = 500;

/// How long a change stays in the log of changes. An instance that did not listen for longer forgets all lanes.
const KEEP_CHANGES: Duration = Duration::from_hours(1);

/// How often the log of changes is trimmed.
const TRIM: Duration = Duration::from_mins(1);

impl App {
    /// Fills in statistics, and trims the log of changes, until a stop begins.
    pub(crate) async fn fill_in_statistics(self, stop: Stop) {
        let connect = || self.database.batches.acquire();
        // Where days are hidden, every reader needs them.
        let settled = if self.api_settings.privacy().hides_days() { Duration::ZERO } else { SETTLED };
        let fill_in = async || connect().await?.limited(async |it| fill_in(it, settled).await).await;
        let trim = async || connect().await?.limited(async |it| trim(it, KEEP_CHANGES).await).await;
        tokio::join!(
            repeat(stop.clone(), "fill in statistics", Duration::ZERO, fill_in),
            repeat(stop, "trim the log of changes", TRIM, trim),
        );
    }
}

/// Fills in the newest month that is due and settled; false if there is none.
pub async fn fill_in(connection: &mut PgConnection, settled: Duration) -> Result<bool, sqlx::Error> {
    let begin = "begin; set local max_parallel_workers_per_gather = 0";
    let mut transaction = connection.begin_with(begin).await?;
    if !sql::try_lock(&mut transaction).await? {
        return Ok(false);
    }
    let Some(due) = sql::find_due(&mut transaction, settled.as_secs_f64(), MOST_LANES).await? else {
        // Now, and not when the connection is next used: it holds the lock.
        transaction.rollback().await?;
        return Ok(false);
    };
    let pairs = sql::insert(&mut transaction, &due).await?;
    if sql::lock_version(&mut transaction).await? > due.version {
        // Other ports may be in these places now.
        transaction.rollback().await?;
        return Ok(true);
    }
    sql::delete_outdated(&mut transaction, &due).await?;
    sql::mark_done(&mut transaction, &due).await?;
    transaction.commit().await?;
    tracing::debug!(month = %due.month, lanes = due.origins.len(), pairs, "filled in statistics");
    Ok(true)
}

/// Always finds something to do, if only to look.
async fn trim(connection: &mut PgConnection, age: Duration) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // First, as writers do, so that neither waits for the other.
    sql::lock_version(&mut transaction).await?;
    sql::trim_changes(&mut transaction, age.as_secs_f64()).await?;
    transaction.commit().await?;
    Ok(true)
}
