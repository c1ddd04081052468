//! The table `jobs` (see `jobs.sql`), and who waits for it.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use tokio::sync::Notify;

use super::metrics::{Depth, QueueMetrics};
use crate::postgres::Pool;

/// A job that a worker has taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its number, in the order in which jobs were put.
    pub id: i64,
    /// What was put.
    pub payload: Value,
    /// How often a worker has begun with it, this time included.
    pub attempts: i32,
}

/// The server's process behind a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backend(i32);

/// A queue by its name, in one database; cheap to clone.
#[derive(Debug, Clone)]
pub struct Queue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: &'static str,
    pool: Pool,
    added: Notify,
    pub(super) metrics: QueueMetrics,
}

impl Queue {
    /// The queue of this name. `pool` is used for short statements only.
    #[must_use]
    pub fn new(name: &'static str, pool: Pool) -> Self {
        Self(Arc::new(Inner { name, pool, added: Notify::new(), metrics: QueueMetrics::default() }))
    }

    /// Adds a job in the caller's transaction: it is there once that commits. Then call [`Self::wake`].
    pub async fn put(&self, executor: impl PgExecutor<'_>, payload: &Value) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(
            "insert into public.jobs (queue, payload) values ($1, $2::text::jsonb) returning id",
        )
        .bind(self.0.name)
        .bind(payload.to_string())
        .fetch_one(executor)
        .await
    }

    /// Adds a job for each of these texts, and gives their numbers in the same order.
    #[cfg(feature = "jobs")]
    pub(crate) async fn put_all(&self, texts: &[String]) -> Result<Vec<i64>, sqlx::Error> {
        let insert = "insert into public.jobs (queue, payload)
                      select $1, to_jsonb(text) from unnest($2::text[]) with ordinality as texts (text, place)
                      order by place
                      returning id";
        let ids = sqlx::query_scalar(insert).bind(self.0.name).bind(texts).fetch_all(&self.0.pool).await?;
        // One for each text, or a caller would get another's number.
        if ids.len() == texts.len() { Ok(ids) } else { Err(sqlx::Error::RowNotFound) }
    }

    /// Wakes a worker of this process: a job was put and is committed. Other processes find it by themselves.
    pub fn wake(&self) {
        self.0.added.notify_one();
    }

    /// Waits until [`Self::wake`] is called, or for at most this time.
    pub(super) async fn added(&self, at_most: Duration) {
        let _ = tokio::time::timeout(at_most, self.0.added.notified()).await;
    }

    pub(crate) fn metrics(&self) -> &QueueMetrics {
        &self.0.metrics
    }

    pub(super) fn name(&self) -> &'static str {
        self.0.name
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// Whether any job is due, held by a worker or not: a cheap look before a connection is taken for one.
    pub(super) async fn any_due(&self) -> Result<bool, sqlx::Error> {
        let any = || {
            sqlx::query_scalar(
                "select exists (select from public.jobs where queue = $1 and dead_since is null and due_at <= now())",
            )
            .bind(self.0.name)
            .fetch_one(&self.0.pool)
        };
        self.0.pool.retry(any).await
    }

    /// How many jobs wait, and for how many seconds the oldest one has.
    pub async fn depth(&self) -> Result<Depth, sqlx::Error> {
        let depth = || {
            sqlx::query_as(
                "select count(*) filter (where dead_since is null),
                        coalesce(extract(epoch from now() - min(created_at) filter (where dead_since is null)), 0)::float8,
                        count(*) filter (where dead_since is not null)
                 from public.jobs where queue = $1",
            )
            .bind(self.0.name)
            .fetch_one(&self.0.pool)
        };
        let (waiting, oldest_seconds, dead) = self.0.pool.retry(depth).await?;
        Ok(Depth { waiting, oldest_seconds, dead })
    }

    /// Takes the oldest job that is due and that no worker holds, and counts the attempt.
    ///
    /// Counted and committed before the work begins: a job that kills its worker must not come back for ever. Then the
    /// caller locks it ([`Self::lock`]). Until it has, the job is not due, so that no other worker takes it in between.
    pub(super) async fn take(
        &self,
        executor: impl PgExecutor<'_>,
    ) -> Result<Option<(Job, Backend)>, sqlx::Error> {
        let row: Option<(i64, String, i32, i32)> = sqlx::query_as(
            "update public.jobs set attempts = attempts + 1, due_at = now() + interval '5 seconds'
             where id = (
                 select id from public.jobs
                 where queue = $1 and dead_since is null and due_at <= now()
                 order by id
                 limit 1
                 for update skip locked
             )
             returning id, payload::text, attempts, pg_backend_pid()",
        )
        .bind(self.0.name)
        .fetch_optional(executor)
        .await?;
        Ok(row.map(|(id, payload, attempts, backend)| {
            // What the column holds is JSON.
            (Job { id, payload: payload.parse().unwrap_or_default(), attempts }, Backend(backend))
        }))
    }

    /// Locks a job for the transaction of this connection; false where another worker has taken it since.
    ///
    /// Waits instead of skipping: another worker's `take` may lock the row briefly while it rechecks whether the job is
    /// due.
    pub(super) async fn lock(connection: &mut PgConnection, job: &Job) -> Result<bool, sqlx::Error> {
        let locked: Option<i64> = sqlx::query_scalar(
            "select id from public.jobs where id = $1 and attempts = $2 and dead_since is null for update",
        )
        .bind(job.id)
        .bind(job.attempts)
        .fetch_optional(connection)
        .await?;
        Ok(locked.is_some())
    }

    /// Removes a job.
    pub(super) async fn remove(connection: &mut PgConnection, job: i64) -> Result<(), sqlx::Error> {
        sqlx::query("delete from public.jobs where id = $1").bind(job).execute(connection).await?;
        Ok(())
    }

    /// Keeps a job that is given up as a dead letter.
    pub(super) async fn bury(
        connection: &mut PgConnection,
        job: i64,
        reason: &str,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "update public.jobs set dead_since = now(), last_error = coalesce(last_error, $2) where id = $1",
        )
        .bind(job)
        .bind(reason)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Leaves a job to a later attempt.
    pub(super) async fn postpone(&self, job: &Job, pause: Duration, reason: &str) -> Result<(), sqlx::Error> {
        sqlx::query("update public.jobs set due_at = now() + make_interval(secs => $2), last_error = $3 where id = $1")
            .bind(job.id)
            .bind(pause.as_secs_f64())
            .bind(reason)
            .execute(&self.0.pool)
            .await?;
        Ok(())
    }

    /// Whether the server still has this connection.
    pub(super) async fn has_backend(&self, Backend(backend): Backend) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar("select exists (select from pg_stat_activity where pid = $1)")
            .bind(backend)
            .fetch_one(&self.0.pool)
            .await
    }

    /// Does not count the last attempt at a job: its failure was not the job's fault.
    #[cfg(feature = "jobs")]
    pub(crate) async fn forgive(&self, job: &Job) -> Result<(), sqlx::Error> {
        sqlx::query("update public.jobs set attempts = attempts - 1 where id = $1 and attempts = $2")
            .bind(job.id)
            .bind(job.attempts)
            .execute(&self.0.pool)
            .await?;
        Ok(())
    }

    /// Ends the backend of a worker that has left its job: in the middle of a long statement it would not notice that its
    /// client is gone, and would keep the job locked.
    pub(super) async fn end(&self, Backend(backend): Backend) -> Result<(), sqlx::Error> {
        sqlx::query("select pg_terminate_backend($1)").bind(backend).execute(&self.0.pool).await?;
        Ok(())
    }

    /// Gives a job back as it was: its worker must stop, and did not fail at it.
    pub(super) async fn give_back(&self, job: &Job) -> Result<(), sqlx::Error> {
        sqlx::query("update public.jobs set attempts = attempts - 1, due_at = now() where id = $1")
            .bind(job.id)
            .execute(&self.0.pool)
            .await?;
        Ok(())
    }
}
