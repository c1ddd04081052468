//! Batches of prices.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

/// A batch, whatever became of it.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) id: i64,
    pub(crate) supplier: String,
    pub(crate) state: String,
    pub(crate) content_sha256: Vec<u8>,
    pub(crate) content_bytes: i64,
    pub(crate) rows: i64,
    pub(crate) days: Option<i64>,
    pub(crate) lanes: Option<i64>,
    pub(crate) data_version: Option<i64>,
    /// JSON.
    pub(crate) problem: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) withdrawn_at: Option<DateTime<Utc>>,
}

/// What makes a batch the same as another of its supplier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) supplier: &'a str,
    pub(crate) idempotency_key: Option<&'a str>,
    pub(crate) content_sha256: &'a [u8],
    pub(crate) content_bytes: i64,
}

/// The batch that this one repeats. Until the transaction ends, whoever asks for the same waits here.
pub(crate) async fn find_same(
    connection: &mut PgConnection,
    identity: Identity<'_>,
    same_content_seconds: u32,
) -> Result<Option<Batch>, sqlx::Error> {
    let Identity { supplier, idempotency_key, content_sha256, .. } = identity;
    let name = match idempotency_key {
        Some(key) => format!("key {supplier} {key}"),
        None => format!("content {supplier} {}", hex::encode(content_sha256)),
    };
    // Two names with one hash only wait for each other without need.
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", name)
        .execute(&mut *connection)
        .await?;
    sqlx::query_as!(
        Batch,
        r#"select id, supplier, state, content_sha256, content_bytes, rows, days, lanes, data_version,
                  problem::text, created_at, ended_at, withdrawn_at
           from batches
           where supplier = $1
             and case when $2::text is null
                      then content_sha256 = $3 and state in ('queued', 'processing', 'done')
                           and created_at > clock_timestamp() - make_interval(secs => $4)
                      else idempotency_key = $2 end
           order by id desc
           limit 1"#,
        supplier,
        idempotency_key,
        content_sha256,
        f64::from(same_content_seconds),
    )
    .fetch_optional(connection)
    .await
}

/// A new batch in this state.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    identity: Identity<'_>,
    state: &str,
) -> Result<Batch, sqlx::Error> {
    sqlx::query_as!(
        Batch,
        r#"insert into batches (supplier, idempotency_key, content_sha256, content_bytes, state)
           values ($1, $2, $3, $4, $5)
           returning id, supplier, state, content_sha256, content_bytes, rows, days, lanes, data_version,
                     problem::text, created_at, ended_at, withdrawn_at"#,
        identity.supplier,
        identity.idempotency_key,
        identity.content_sha256,
        identity.content_bytes,
        state,
    )
    .fetch_one(connection)
    .await
}

/// The batch is in. Its version is that of the transaction that put it in.
pub(crate) async fn done(
    connection: &mut PgConnection,
    id: i64,
    rows: u64,
    days: i64,
    lanes: i64,
) -> Result<Batch, sqlx::Error> {
    sqlx::query_as!(
        Batch,
        r#"update batches set state = 'done', rows = $2, days = $3, lanes = $4, ended_at = clock_timestamp(),
                  data_version = (select version from data_version)
           where id = $1
           returning id, supplier, state, content_sha256, content_bytes, rows, days, lanes, data_version,
                     problem::text, created_at, ended_at, withdrawn_at"#,
        id,
        rows.cast_signed(),
        days,
        lanes,
    )
    .fetch_one(connection)
    .await
}

/// The batch cannot be put in, for the reason in `problem` (JSON).
pub(crate) async fn failed(
    connection: &mut PgConnection,
    id: i64,
    rows: u64,
    problem: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update batches set state = 'failed', rows = $2, problem = $3::text::jsonb, ended_at = clock_timestamp()
         where id = $1",
        id,
        rows.cast_signed(),
        problem,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn find(executor: impl PgExecutor<'_>, id: i64) -> Result<Option<Batch>, sqlx::Error> {
    sqlx::query_as!(
        Batch,
        r#"select id, supplier, state, content_sha256, content_bytes, rows, days, lanes, data_version,
                  problem::text, created_at, ended_at, withdrawn_at
           from batches where id = $1"#,
        id
    )
    .fetch_optional(executor)
    .await
}

/// A supplier's batches, newest first, older than `before`.
pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    supplier: &str,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Batch>, sqlx::Error> {
    sqlx::query_as!(
        Batch,
        r#"select id, supplier, state, content_sha256, content_bytes, rows, days, lanes, data_version,
                  problem::text, created_at, ended_at, withdrawn_at
           from batches
           where supplier = $1 and ($2::bigint is null or id < $2)
           order by id desc
           limit $3"#,
        supplier,
        before,
        limit
    )
    .fetch_all(executor)
    .await
}

/// Takes the prices of a batch out again; none where the batch is not in (any more).
pub(crate) async fn withdraw(connection: &mut PgConnection, id: i64) -> Result<Option<Batch>, sqlx::Error> {
    // First, so that a second request waits here and then finds it withdrawn.
    let withdrawn = sqlx::query!(
        "update batches set state = 'withdrawn', withdrawn_at = clock_timestamp() where id = $1 and state = 'done'",
        id
    )
    .execute(&mut *connection)
    .await?;
    if withdrawn.rows_affected() == 0 {
        return Ok(None);
    }
    sqlx::query!("delete from prices where batch_id = $1", id).execute(&mut *connection).await?;
    sqlx::query_as!(
        Batch,
        r#"update batches set data_version = (select version from data_version) where id = $1
           returning id, supplier, state, content_sha256, content_bytes, rows, days, lanes, data_version,
                     problem::text, created_at, ended_at, withdrawn_at"#,
        id
    )
    .fetch_optional(connection)
    .await
}

/// All prices are gone, and so those of every batch.
pub(crate) async fn withdraw_all(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update batches set state = 'withdrawn', withdrawn_at = clock_timestamp() where state = 'done'"
    )
    .execute(connection)
    .await?;
    Ok(())
}
