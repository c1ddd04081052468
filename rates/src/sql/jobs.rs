//! The queue of batches that wait.

use sqlx::{PgConnection, PgExecutor};

/// A batch to be put in.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: i64,
    pub(crate) batch_id: i64,
    pub(crate) format: String,
}

/// A job without content yet.
pub(crate) async fn create(connection: &mut PgConnection, format: &str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!("insert into batch_jobs (format) values ($1) returning id", format)
        .fetch_one(connection)
        .await
}

pub(crate) async fn put_piece(
    connection: &mut PgConnection,
    job: i64,
    number: i32,
    content: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into batch_pieces (job_id, number, content) values ($1, $2, $3)",
        job,
        number,
        content
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A piece of the content; none past the end.
pub(crate) async fn piece(
    executor: impl PgExecutor<'_>,
    job: i64,
    number: i32,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!("select content from batch_pieces where job_id = $1 and number = $2", job, number)
        .fetch_optional(executor)
        .await
}

/// Says which batch the job is of: from the commit on it waits for a worker.
pub(crate) async fn of_batch(connection: &mut PgConnection, job: i64, batch: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("update batch_jobs set batch_id = $2 where id = $1", job, batch).execute(connection).await?;
    Ok(())
}

/// Whether any job is there, held by a worker or not.
pub(crate) async fn any(executor: impl PgExecutor<'_>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select exists (select from batch_jobs where batch_id is not null) as "any!""#)
        .fetch_one(executor)
        .await
}

/// The oldest job that no worker holds. It is held until the transaction ends, however it ends.
pub(crate) async fn take(connection: &mut PgConnection) -> Result<Option<Job>, sqlx::Error> {
    sqlx::query_as!(
        Job,
        r#"select id, batch_id as "batch_id!", format from batch_jobs
           where batch_id is not null
           order by id
           limit 1
           for update skip locked"#
    )
    .fetch_optional(connection)
    .await
}

/// The job is done with; its pieces go with it.
pub(crate) async fn remove(connection: &mut PgConnection, job: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from batch_jobs where id = $1", job).execute(connection).await?;
    Ok(())
}

/// Notes, outside the job's transaction, that a worker begins; returns how often one began with this batch.
pub(crate) async fn begun(executor: impl PgExecutor<'_>, batch: i64) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar!(
        "update batches set state = 'processing', rows = 0, attempts = attempts + 1 where id = $1 returning attempts",
        batch
    )
    .fetch_one(executor)
    .await
}

/// Notes how many rows were read.
pub(crate) async fn progress(
    executor: impl PgExecutor<'_>,
    batch: i64,
    rows: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update batches set rows = $2 where id = $1 and state = 'processing'",
        batch,
        rows.cast_signed()
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// A worker that must stop gives its batch back: it did not fail at it.
pub(crate) async fn give_back(executor: impl PgExecutor<'_>, batch: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update batches set state = 'queued', rows = 0, attempts = attempts - 1
         where id = $1 and state = 'processing'",
        batch
    )
    .execute(executor)
    .await?;
    Ok(())
}
