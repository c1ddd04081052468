//! Puts in the batches that wait. The job's row is locked by the transaction that also puts the prices in and removes
//! the job: whatever dies, either all of it happened or the next worker finds the job as it was.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use chassis::Problem;
use futures_util::stream;
use sqlx::Connection;
use tokio::{sync::Notify, time};
use tokio_util::sync::CancellationToken;

use super::{
    BatchError, Upload,
    parse::{Format, ReadError},
    sql::{self as batches, Batch},
    store_staged,
};
use crate::{
    app::App,
    sql::{self, jobs::Job},
};

/// A job of another instance is found within this time; those of this one ring.
const POLL: Duration = Duration::from_secs(1);

/// How often `GET /batches/{id}` learns how many rows were read.
const PROGRESS: Duration = Duration::from_secs(1);

/// Rings when a batch was put aside on this instance.
#[derive(Debug, Default)]
pub struct Bell(Notify);

impl Bell {
    /// A batch waits.
    pub fn ring(&self) {
        self.0.notify_one();
    }
}

/// How workers are stopped.
#[derive(Debug, Clone, Default)]
pub struct Stopping {
    /// Begin nothing new.
    pub gently: CancellationToken,
    /// Give back what is not done.
    pub now: CancellationToken,
}

/// Puts in one batch after another until it is told to stop.
pub async fn work(app: App, stopping: Stopping) {
    while !stopping.gently.is_cancelled() {
        match next(&app, &stopping).await {
            Ok(true) => {}
            Ok(false) => {
                tokio::select! {
                    () = stopping.gently.cancelled() => {}
                    () = app.bell.0.notified() => {}
                    () = time::sleep(POLL) => {}
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, "a batch that waits could not be put in; it is tried again");
                tokio::select! {
                    () = stopping.gently.cancelled() => {}
                    () = time::sleep(POLL) => {}
                }
            }
        }
    }
}

/// Puts in the oldest batch that no other worker holds; false where there is none.
async fn next(app: &App, stopping: &Stopping) -> Result<bool, sqlx::Error> {
    let primary = &app.database.primary;
    if !chassis::postgres::retry(primary, || sql::jobs::any(primary)).await? {
        return Ok(false);
    }
    let mut connection = app.database.for_batch().await?;
    let mut transaction = connection.begin().await?;
    let Some(job) = sql::jobs::take(&mut transaction).await? else {
        return Ok(false);
    };
    let attempts = sql::jobs::begun(&app.database.primary, job.batch_id).await?;
    let rows_read = Arc::new(AtomicU64::new(0));
    let outcome = if attempts > app.batches.max_attempts {
        Err(BatchError::Abandoned(app.batches.max_attempts))
    } else {
        tokio::select! {
            outcome = put_in_job(app, &mut transaction, &job, &rows_read) => outcome,
            never = tell_progress(app, job.batch_id, &rows_read) => match never {},
            () = stopping.now.cancelled() => {
                // Without a farewell, for which a long statement would have to end first.
                drop(transaction);
                connection.detach().close_hard().await.ok();
                sql::jobs::give_back(&app.database.primary, job.batch_id).await?;
                tracing::info!(batch = job.batch_id, "stopping: the batch waits for the next worker");
                return Ok(false);
            }
        }
    };
    let problem = match outcome {
        Ok(batch) => {
            sql::jobs::remove(&mut transaction, job.id).await?;
            transaction.commit().await?;
            if let Some(version) = batch.data_version {
                app.freshness.observe(version);
            }
            app.outcomes.count_done();
            tracing::info!(batch = batch.id, rows = batch.rows, "batch put in");
            return Ok(true);
        }
        Err(BatchError::Database(error)) => return Err(error),
        Err(BatchError::Read(ReadError::Interrupted(cause))) => {
            return Err(sqlx::Error::Io(std::io::Error::other(cause)));
        }
        Err(error) => Problem::from(error),
    };
    // Nothing of it was put in: what was refused was only staged. A broken transaction cannot come here.
    let body = String::from_utf8_lossy(&problem.json(None)).into_owned();
    batches::fail(&mut transaction, job.batch_id, rows_read.load(Ordering::Relaxed), &body).await?;
    sql::jobs::remove(&mut transaction, job.id).await?;
    transaction.commit().await?;
    app.outcomes.count_problem(&problem);
    tracing::info!(batch = job.batch_id, cause = problem.cause_chain(), "batch failed");
    Ok(true)
}

async fn put_in_job(
    app: &App,
    transaction: &mut sqlx::PgConnection,
    job: &Job,
    rows_read: &Arc<AtomicU64>,
) -> Result<Batch, BatchError> {
    let format = Format::named(&job.format)
        .ok_or_else(|| sqlx::Error::Decode(format!("unknown format {}", job.format).into()))?;
    // By other connections, one piece each: this one is in COPY.
    let pieces = stream::unfold(1, |number| async move {
        match sql::jobs::piece(&app.database.primary, job.id, number).await {
            Ok(None) => None,
            Ok(Some(piece)) => Some((Ok(Bytes::from(piece)), number + 1)),
            Err(error) => Some((Err(error), number)),
        }
    });
    let upload = Upload { pieces: Box::pin(pieces), gzip: false, limit: u64::MAX };
    let content = upload.stage(&mut *transaction, format, Arc::clone(rows_read)).await?;
    Ok(store_staged(transaction, job.batch_id, content.accept()?.rows).await?)
}

/// Writes how far a batch is, for as long as it is worked at; a write that fails only makes the number older.
async fn tell_progress(app: &App, batch: i64, rows_read: &AtomicU64) -> std::convert::Infallible {
    let mut told = 0;
    loop {
        time::sleep(PROGRESS).await;
        let rows = rows_read.load(Ordering::Relaxed);
        if rows != told && sql::jobs::progress(&app.database.primary, batch, rows).await.is_ok() {
            told = rows;
        }
    }
}
