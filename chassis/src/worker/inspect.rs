//! Lists the jobs of a queue, repeats and removes them.

use sqlx::FromRow;

use super::Queue;

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct StoredJob {
    /// Its number.
    pub id: i64,
    /// What was put, as JSON.
    pub payload: String,
    /// How often a worker has begun with it.
    pub attempts: i32,
    /// How long the job has been in the queue, in seconds.
    pub age_seconds: f64,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Whether it was given up.
    pub is_dead: bool,
}

const COLUMNS: &str = "select id, payload::text, attempts, extract(epoch from now() - created_at)::float8 as age_seconds, \
                       last_error, dead_since is not null as is_dead from public.jobs where queue = $1";

impl Queue {
    /// The oldest jobs, or the oldest dead ones; at most `most`.
    pub async fn list(&self, most: i64, only_dead: bool) -> Result<Vec<StoredJob>, sqlx::Error> {
        let dead = if only_dead { "and dead_since is not null" } else { "" };
        let query = sqlx::AssertSqlSafe(format!("{COLUMNS} {dead} order by id limit $2"));
        sqlx::query_as(query).bind(self.name()).bind(most).fetch_all(self.pool()).await
    }

    /// The job of this number.
    pub async fn find(&self, id: i64) -> Result<Option<StoredJob>, sqlx::Error> {
        let query = sqlx::AssertSqlSafe(format!("{COLUMNS} and id = $2"));
        sqlx::query_as(query).bind(self.name()).bind(id).fetch_optional(self.pool()).await
    }

    /// Queues a dead job again. False if there is no dead job of this number.
    pub async fn retry(&self, id: i64) -> Result<bool, sqlx::Error> {
        let revived = sqlx::query(
            "update public.jobs set attempts = 0, dead_since = null, due_at = now()
             where queue = $1 and id = $2 and dead_since is not null",
        );
        Ok(revived.bind(self.name()).bind(id).execute(self.pool()).await?.rows_affected() > 0)
    }

    /// Removes a job, dead or not. False if there is no job of this number. Waits for a worker that has it.
    pub async fn discard(&self, id: i64) -> Result<bool, sqlx::Error> {
        let removed = sqlx::query("delete from public.jobs where queue = $1 and id = $2");
        Ok(removed.bind(self.name()).bind(id).execute(self.pool()).await?.rows_affected() > 0)
    }
}
