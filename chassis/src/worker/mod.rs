//! A queue of jobs in PostgreSQL, and the workers that do them.
//!
//! A job is done in the transaction that also removes it, and that holds the lock of its row. If anything dies, either
//! all of the job is done, or the next worker finds the job as it was.

mod inspect;
pub(crate) mod metrics;
mod queue;

use std::{error::Error, sync::Arc, time::Duration};

use futures_util::future::join_all;
use prometheus_client::registry::Registry;
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use tokio::time::sleep;

pub use inspect::StoredJob;
pub use metrics::Depth;
use queue::Backend;
pub use queue::{Job, Queue};

use crate::{Stop, exit::chain, postgres::Pool};

/// A job of another process is found within this time; those of this one wake a worker.
pub(crate) const POLL: Duration = Duration::from_secs(1);

/// How often a worker asks whether the server still has the connection of its job.
const LOOK_AT_BACKEND: Duration = Duration::from_secs(5);

/// The longest pause before a job is tried again.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why an attempt at a job failed.
#[derive(Debug)]
pub struct AttemptError(pub Box<dyn Error + Send + Sync>);

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for AttemptError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// What becomes of a job that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// It stays in the table as a dead letter.
    Keep,
    /// It is removed.
    Remove,
}

/// What workers do with the jobs of a queue.
pub trait Handler: Send + Sync + 'static {
    /// What is known of a job that was done.
    type Done: Send;

    /// Does a job in `transaction`, which is committed afterwards, together with the job's end. An attempt that fails
    /// is rolled back, and repeated later.
    fn handle(
        &self,
        job: &Job,
        transaction: &mut PgConnection,
    ) -> impl Future<Output = Result<Self::Done, AttemptError>> + Send;

    /// A job is done and committed.
    fn committed(&self, job: &Job, done: Self::Done);

    /// A job goes back to the queue, since its worker must stop or its attempt failed.
    fn returned(&self, _job: &Job) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// How long a job that failed waits, after so many attempts.
    fn pause(&self, attempts: i32) -> Duration {
        pause_after(attempts)
    }

    /// A job has failed too often. What this does in `transaction` is committed together with the job's end. By default
    /// the job stays as a dead letter.
    fn give_up(
        &self,
        _job: &Job,
        _transaction: &mut PgConnection,
        _reason: &str,
    ) -> impl Future<Output = Result<GivenUp, AttemptError>> + Send {
        std::future::ready(Ok(GivenUp::Keep))
    }

    /// A job was given up, and this is committed.
    fn given_up(&self, _job: &Job) {}
}

/// Workers of one queue.
pub struct Workers<H> {
    /// What they take from.
    pub queue: Queue,
    /// Where they get a connection for each job. A job may take long: not the pool of requests.
    pub connections: Pool,
    /// How long an attempt at a job may take; then it has failed. This replaces the limit of the pool.
    pub limit: Duration,
    /// What they do.
    pub handler: Arc<H>,
    /// How often a job is tried before it is given up.
    pub max_attempts: i32,
}

impl<H: Handler> Workers<H> {
    /// Registers counts and depth of the queue.
    pub fn register(&self, registry: &mut Registry) {
        self.queue.metrics().register(registry);
    }

    /// Does jobs, `count` at a time, and measures the queue, until a stop begins. A job that is in work then is
    /// finished, or given back when the stop is forced.
    pub async fn run(self, count: usize, stop: Stop) {
        let workers = join_all((0..count).map(|_| self.work(&stop)));
        let queue = &self.queue;
        let depth = || async { queue.depth().await.ok() };
        tokio::join!(workers, queue.metrics().measure(&stop, depth));
    }

    async fn work(&self, stop: &Stop) {
        let mut is_down = false;
        while !stop.has_begun() {
            let pause = match self.work_once(stop).await {
                Ok(true) => Duration::ZERO,
                Ok(false) => POLL,
                Err(error) => {
                    if !is_down {
                        let error = chain(&error);
                        tracing::warn!(
                            error,
                            queue = self.queue.name(),
                            "worker cannot reach the database; retrying"
                        );
                    }
                    is_down = true;
                    sleep(POLL).await;
                    continue;
                }
            };
            if is_down {
                tracing::info!(queue = self.queue.name(), "worker has reached the database again");
                is_down = false;
            }
            if !pause.is_zero() {
                tokio::select! {
                    () = stop.begun() => {}
                    () = self.queue.added(pause) => {}
                }
            }
        }
    }

    /// Does the oldest job that no worker holds; false where there is none.
    async fn work_once(&self, stop: &Stop) -> Result<bool, sqlx::Error> {
        if !self.queue.any_due().await? {
            return Ok(false);
        }
        let mut connection = self.connections.acquire().await?;
        let Some((job, backend)) = self.queue.take(&mut connection).await? else { return Ok(false) };
        tokio::select! {
            done = connection.limited_by_caller(|connection| self.attempt(&job, connection)) => done,
            error = self.lost(backend) => Err(error),
            () = sleep(self.limit) => {
                drop(connection);
                self.queue.end(backend).await?;
                let error = format!("took longer than {} s", self.limit.as_secs_f64());
                self.fail(&job, &error).await?;
                Ok(true)
            }
            () = stop.forced() => {
                drop(connection);
                self.queue.end(backend).await?;
                self.queue.give_back(&job).await?;
                self.handler.returned(&job).await;
                tracing::info!(job = job.id, "stopping: the job waits for the next worker");
                Ok(false)
            }
        }
    }

    /// Waits until the connection of a job is lost. The job itself may not notice: a network that drops packets reports
    /// nothing. The server closes its end after some seconds, and the job is due again.
    async fn lost(&self, backend: Backend) -> sqlx::Error {
        let mut failures = 0;
        loop {
            sleep(LOOK_AT_BACKEND).await;
            match self.queue.has_backend(backend).await {
                Ok(true) => failures = 0,
                Ok(false) => return sqlx::Error::WorkerCrashed,
                Err(error) if failures > 0 => return error,
                Err(_) => failures += 1,
            }
        }
    }

    async fn attempt(&self, job: &Job, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let mut transaction = connection.begin().await?;
        if !Queue::lock(&mut transaction, job).await? {
            return Ok(true);
        }
        let attempt = if self.is_exhausted(job) {
            self.give_up(job, transaction).await
        } else {
            self.handle(job, transaction).await
        };
        let Err(AttemptError(error)) = attempt else { return Ok(true) };
        // Sends the rollback, before the job is postponed, whose row the transaction has locked.
        let connected = connection.ping().await;
        let postponed = self.fail(job, &chain(&*error)).await;
        connected.and(postponed).map(|()| true)
    }

    /// Whether a job was tried as often as it may be.
    fn is_exhausted(&self, job: &Job) -> bool {
        job.attempts > self.max_attempts
    }

    /// Notes that an attempt at a job has failed, and leaves the job to a later one.
    async fn fail(&self, job: &Job, error: &str) -> Result<(), sqlx::Error> {
        let (queue, is_exhausted) = (self.queue.name(), self.is_exhausted(job));
        self.queue.metrics().failed_attempt();
        let pause = if is_exhausted {
            tracing::error!(job = job.id, queue, error, "cannot give up the job; trying again later");
            LONGEST_PAUSE
        } else {
            let attempts = job.attempts;
            tracing::warn!(job = job.id, queue, attempts, error, "job failed; trying again later");
            self.handler.pause(attempts)
        };
        let postponed = self.queue.postpone(job, pause, error).await;
        if !is_exhausted {
            self.handler.returned(job).await;
        }
        postponed
    }

    /// Does a job and commits. If anything fails, the transaction is rolled back with the next use of its connection.
    async fn handle(
        &self,
        job: &Job,
        mut transaction: Transaction<'_, Postgres>,
    ) -> Result<(), AttemptError> {
        let done = self.handler.handle(job, &mut transaction).await?;
        Queue::remove(&mut transaction, job.id).await?;
        transaction.commit().await?;
        self.queue.metrics().done(1);
        self.handler.committed(job, done);
        Ok(())
    }

    /// Gives up a job and commits; fails as [`Self::handle`] does.
    async fn give_up(
        &self,
        job: &Job,
        mut transaction: Transaction<'_, Postgres>,
    ) -> Result<(), AttemptError> {
        let reason = format!("given up after {} attempts", self.max_attempts);
        match self.handler.give_up(job, &mut transaction, &reason).await? {
            GivenUp::Remove => Queue::remove(&mut transaction, job.id).await?,
            GivenUp::Keep => Queue::bury(&mut transaction, job.id, &reason).await?,
        }
        transaction.commit().await?;
        tracing::error!(job = job.id, queue = self.queue.name(), "job {reason}");
        self.handler.given_up(job);
        Ok(())
    }
}

/// Twice as long after each attempt.
pub(crate) fn pause_after(attempts: i32) -> Duration {
    let exponent = u32::try_from(attempts - 1).unwrap_or(0).min(10);
    Duration::from_secs(1 << exponent).min(LONGEST_PAUSE)
}
