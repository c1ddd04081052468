//! The content of queued batches, and their progress.

use sqlx::{PgConnection, PgExecutor};

/// Reserves a number for new content.
pub(crate) async fn next_content(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select nextval('batch_contents') as "id!""#).fetch_one(connection).await
}

pub(crate) async fn put_piece(
    connection: &mut PgConnection,
    content: i64,
    number: i32,
    piece: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into batch_pieces (content_id, number, content) values ($1, $2, $3)",
        content,
        number,
        piece
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A piece of the content; none past the end.
pub(crate) async fn piece(
    executor: impl PgExecutor<'_>,
    content: i64,
    number: i32,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select content from batch_pieces where content_id = $1 and number = $2",
        content,
        number
    )
    .fetch_optional(executor)
    .await
}

/// Deletes the content of a batch that is no longer queued.
pub(crate) async fn delete_pieces(connection: &mut PgConnection, content: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from batch_pieces where content_id = $1", content).execute(connection).await?;
    Ok(())
}

/// Records, outside the job's transaction, that a worker has started a batch.
pub(crate) async fn begin(executor: impl PgExecutor<'_>, batch: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("update batches set state = 'processing', rows = 0 where id = $1", batch)
        .execute(executor)
        .await?;
    Ok(())
}

/// Records how many rows were read.
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

/// Records that a batch is queued again.
pub(crate) async fn give_back(executor: impl PgExecutor<'_>, batch: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update batches set state = 'queued', rows = 0 where id = $1 and state = 'processing'",
        batch
    )
    .execute(executor)
    .await?;
    Ok(())
}
