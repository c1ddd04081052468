//! Stores the batches that are queued.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use chassis::{
    Problem,
    worker::{AttemptError, GivenUp, Handler, Job, Workers},
};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tokio::time;

use super::{
    BatchError, ProgressCell, Upload, content,
    parse::{Format, Progress, ReadError},
    sql::{self, Batch},
    store_staged,
};
use crate::app::App;

/// How often the progress in `GET /batches/{id}` is updated.
const PROGRESS: Duration = Duration::from_millis(500);

/// A batch that is queued.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct QueuedBatch {
    /// Its id.
    pub(crate) batch: i64,
    /// Who sent it.
    pub(crate) supplier: String,
    /// The id of its content, which is kept in pieces.
    pub(crate) content: i64,
    /// How its rows are written.
    pub(crate) format: Format,
    /// The batch that it replaces.
    #[serde(default)]
    pub(crate) replaces: Option<i64>,
}

impl QueuedBatch {
    fn of(job: &Job) -> Result<Self, serde_json::Error> {
        Self::deserialize(&job.payload)
    }

    /// The payload of its job.
    pub(crate) fn payload(&self) -> serde_json::Value {
        serde_json::json!(self)
    }
}

impl App {
    /// Workers for the batches that are queued.
    #[must_use]
    pub fn batch_workers(&self) -> Workers<BatchHandler> {
        Workers {
            queue: self.batch_queue.clone(),
            connections: self.database.batches.clone(),
            limit: Duration::from_secs_f64(self.batch_settings.timeout_seconds),
            handler: Arc::new(BatchHandler { app: self.clone() }),
            max_attempts: self.batch_settings.max_attempts,
        }
    }
}

/// Stores one batch after another.
pub struct BatchHandler {
    app: App,
}

impl BatchHandler {
    /// Reads the content and stores its prices.
    async fn store(
        &self,
        transaction: &mut PgConnection,
        queued: &QueuedBatch,
        progress: &ProgressCell,
    ) -> Result<Batch, BatchError> {
        // Each piece is read by another connection, because this one is in COPY.
        let primary = &self.app.database.primary;
        let pieces = stream::try_unfold(1, |number| async move {
            let piece = content::piece(primary, queued.content, number).await?;
            Ok::<_, sqlx::Error>(piece.map(|piece| (Bytes::from(piece), number + 1)))
        });
        // The semaphore is never closed.
        let _turn = match queued.format {
            Format::Xlsx => self.app.workbook_turn.acquire().await.ok(),
            _ => None,
        };
        let rules = self.app.rules.clone().of_supplier(&queued.supplier).of_any_size();
        let upload = Upload { pieces: Box::pin(pieces), gzip: false, rules };
        let content = upload.stage(&mut *transaction, queued.format, progress.clone()).await?.accept()?;
        // If it fails, the state is only less recent.
        let _ = content::storing(primary, queued.batch, content.rows).await;
        store_staged(&self.app, transaction, queued.batch, queued.replaces, content.rows).await
    }

    /// Records the progress of a batch while it is processed. If a write fails, the number is only less recent.
    async fn record_progress(&self, batch: i64, progress: &ProgressCell) -> Infallible {
        let mut recorded = Progress::default();
        loop {
            time::sleep(PROGRESS).await;
            let now = progress.get();
            if now != recorded && content::progress(&self.app.database.primary, batch, now).await.is_ok() {
                recorded = now;
            }
        }
    }

    /// Records that a batch is not stored, and why. Its rows were only staged.
    async fn fail(
        &self,
        transaction: &mut PgConnection,
        queued: &QueuedBatch,
        rows: u64,
        problem: &Problem,
    ) -> Result<(), sqlx::Error> {
        let body = String::from_utf8_lossy(&problem.json(None)).into_owned();
        let failed = sql::fail(&mut *transaction, queued.batch, rows, &body).await?;
        self.app.announce_end(&mut *transaction, &failed).await?;
        content::delete_pieces(&mut *transaction, queued.content).await?;
        tracing::info!(
            batch = queued.batch,
            reason = problem.reason().as_deref(),
            cause = problem.cause_chain(),
            "batch rejected; nothing was stored"
        );
        Ok(())
    }
}

impl Handler for BatchHandler {
    /// The batch whose prices were stored, or why they were not.
    type Done = Result<Batch, Problem>;

    async fn handle(&self, job: &Job, transaction: &mut PgConnection) -> Result<Self::Done, AttemptError> {
        let queued = QueuedBatch::of(job)?;
        content::begin(&self.app.database.primary, queued.batch).await?;
        let progress = ProgressCell::default();
        let outcome = tokio::select! {
            outcome = self.store(&mut *transaction, &queued, &progress) => outcome,
            never = self.record_progress(queued.batch, &progress) => match never {},
        };
        match outcome {
            Ok(batch) => {
                content::delete_pieces(&mut *transaction, queued.content).await?;
                Ok(Ok(batch))
            }
            Err(BatchError::Database(error)) => Err(error.into()),
            Err(BatchError::Read(ReadError::Interrupted(cause))) => Err(AttemptError(cause)),
            Err(error) => {
                let problem = Problem::from(error);
                self.fail(transaction, &queued, progress.get().rows, &problem).await?;
                Ok(Err(problem))
            }
        }
    }

    fn committed(&self, _: &Job, done: Self::Done) {
        match done {
            Ok(batch) => {
                self.app.outcomes.count_done();
                tracing::info!(
                    batch = batch.id,
                    supplier = batch.supplier,
                    rows = batch.rows,
                    "batch stored"
                );
            }
            Err(problem) => self.app.outcomes.count_problem(&problem),
        }
    }

    async fn returned(&self, job: &Job) {
        if let Ok(queued) = QueuedBatch::of(job) {
            // A write that fails leaves the batch in its state until the next worker takes it.
            let _ = content::give_back(&self.app.database.primary, queued.batch).await;
        }
    }

    async fn give_up(
        &self,
        job: &Job,
        transaction: &mut PgConnection,
        reason: &str,
    ) -> Result<GivenUp, AttemptError> {
        let queued = QueuedBatch::of(job)?;
        self.fail(transaction, &queued, 0, &Problem::internal(reason)).await?;
        Ok(GivenUp::Remove)
    }

    fn given_up(&self, _: &Job) {
        self.app.outcomes.count_failed();
    }
}
