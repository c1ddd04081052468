//! The content of queued batches, and their progress.

use sqlx::PgExecutor;

use super::parse::Progress;

/// Reserves an id for new content.
pub(super) async fn next_content(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select nextval('batch_contents') as "id!""#).fetch_one(executor).await
}

/// Stores a piece; the first has the number 1.
pub(crate) async fn put_piece(
    executor: impl PgExecutor<'_>,
    content_id: i64,
    number: i32,
    piece: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into batch_pieces (content_id, number, content) values ($1, $2, $3)",
        content_id,
        number,
        piece
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// A piece of the content; none past the end.
pub(crate) async fn piece(
    executor: impl PgExecutor<'_>,
    content_id: i64,
    number: i32,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select content from batch_pieces where content_id = $1 and number = $2",
        content_id,
        number
    )
    .fetch_optional(executor)
    .await
}

/// Deletes the content of a batch that is no longer queued, or never was.
pub(crate) async fn delete_pieces(executor: impl PgExecutor<'_>, content_id: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from batch_pieces where content_id = $1", content_id).execute(executor).await?;
    Ok(())
}

/// Deletes content older than this, in seconds, that no job names; returns the number of its pieces. It was left behind by
/// an instance that was killed, or lost the database, during an upload.
pub(super) async fn delete_abandoned(
    executor: impl PgExecutor<'_>,
    queue: &str,
    seconds: f64,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from batch_pieces p
         where stored_at < now() - make_interval(secs => $2)
           and not exists (select from jobs j where j.queue = $1 and (j.payload ->> 'content')::bigint = p.content_id)",
        queue,
        seconds
    )
    .execute(executor)
    .await?;
    Ok(deleted.rows_affected())
}

/// Records, outside the job's transaction, that a worker has started a batch.
pub(crate) async fn begin(executor: impl PgExecutor<'_>, batch: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("update batches set state = 'checking', rows = 0, checked_bytes = 0 where id = $1", batch)
        .execute(executor)
        .await?;
    Ok(())
}

/// Records how much of a batch was checked.
pub(crate) async fn progress(
    executor: impl PgExecutor<'_>,
    batch: i64,
    progress: Progress,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update batches set rows = $2, checked_bytes = $3 where id = $1 and state = 'checking'",
        batch,
        progress.rows.cast_signed(),
        progress.bytes.cast_signed()
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Records that all of a batch was checked, and that it is being stored.
pub(crate) async fn storing(executor: impl PgExecutor<'_>, batch: i64, rows: u64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update batches set state = 'storing', rows = $2, checked_bytes = content_bytes
         where id = $1 and state = 'checking'",
        batch,
        rows.cast_signed()
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Records that a batch is queued again.
pub(crate) async fn give_back(executor: impl PgExecutor<'_>, batch: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update batches set state = 'queued', rows = 0, checked_bytes = 0
         where id = $1 and state in ('checking', 'storing')",
        batch
    )
    .execute(executor)
    .await?;
    Ok(())
}
