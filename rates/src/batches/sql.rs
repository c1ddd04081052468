//! The SQL of batches.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;

use super::{StagedSummary, parse::Digest};

/// The state of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(crate) enum BatchState {
    /// Waits for a worker.
    Queued,
    /// Is being checked: `checked_bytes` of `content_bytes` were read.
    Checking,
    /// Has no fault and is being stored.
    Storing,
    /// Has no fault, and nothing is stored: the result of a dry run.
    Checked,
    /// All prices are stored.
    Done,
    /// Nothing is stored; `problem` says why.
    Failed,
    /// The prices were stored and then removed.
    Withdrawn,
}

impl BatchState {
    /// Its name in the database and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Checking => "checking",
            Self::Storing => "storing",
            Self::Checked => "checked",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// A batch in any state.
#[derive(Debug, Clone)]
pub struct Batch {
    pub(crate) id: i64,
    pub(crate) supplier: String,
    pub(crate) state: BatchState,
    pub(crate) content_sha256: Vec<u8>,
    pub(crate) content_bytes: i64,
    pub(crate) checked_bytes: i64,
    pub(crate) rows: i64,
    pub(crate) prices: Option<i64>,
    pub(crate) days: Option<i64>,
    pub(crate) lanes: Option<i64>,
    pub(crate) data_version: Option<i64>,
    pub(crate) replaces: Option<i64>,
    /// The first warnings, as a JSON array: prices far from what their lane usually costs.
    pub(crate) warnings: String,
    pub(crate) total_warnings: i64,
    /// Why the batch failed, as JSON.
    pub(crate) problem: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) withdrawn_at: Option<DateTime<Utc>>,
}

/// What decides whether a batch is the same as an earlier one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) supplier: &'a str,
    pub(crate) idempotency_key: Option<&'a str>,
    pub(crate) digest: Digest,
}

/// Finds the batch that this one repeats. Another request with the same identity waits here until the transaction ends.
pub(crate) async fn find_same(
    connection: &mut PgConnection,
    identity: Identity<'_>,
    same_content_seconds: u32,
) -> Result<Option<Batch>, sqlx::Error> {
    let Identity { supplier, idempotency_key, digest } = identity;
    let lock = match idempotency_key {
        Some(key) => format!("key {supplier} {key}"),
        None => format!("content {supplier} {}", hex::encode(digest.sha256)),
    };
    // Two identities with the same hash wait for each other, which is harmless.
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", lock)
        .execute(&mut *connection)
        .await?;
    let same = sqlx::query_scalar!(
        "select id from batches
         where supplier = $1
           and case when $2::text is null
                    then content_sha256 = $3 and state not in ('failed', 'withdrawn')
                         and created_at > clock_timestamp() - make_interval(secs => $4)
                    else idempotency_key = $2 and state <> 'failed' end
         order by id desc
         limit 1",
        supplier,
        idempotency_key,
        &digest.sha256[..],
        f64::from(same_content_seconds),
    )
    .fetch_optional(&mut *connection)
    .await?;
    match same {
        Some(id) => find(connection, id).await,
        None => Ok(None),
    }
}

/// Inserts a new batch in this state.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    identity: Identity<'_>,
    replaces: Option<i64>,
    state: BatchState,
) -> Result<Batch, sqlx::Error> {
    let id = sqlx::query_scalar!(
        "insert into batches (supplier, idempotency_key, content_sha256, content_bytes, replaces, state)
         values ($1, $2, $3, $4, $5, $6)
         returning id",
        identity.supplier,
        identity.idempotency_key,
        &identity.digest.sha256[..],
        identity.digest.bytes.cast_signed(),
        replaces,
        state.name(),
    )
    .fetch_one(&mut *connection)
    .await?;
    get(connection, id).await
}

/// Completes a batch; its version is that of the transaction that stores its prices.
pub(crate) async fn complete(
    connection: &mut PgConnection,
    id: i64,
    rows: u64,
    prices: u64,
    summary: &StagedSummary,
) -> Result<Batch, sqlx::Error> {
    sqlx::query!(
        "update batches set state = 'done', checked_bytes = content_bytes, rows = $2, prices = $3, days = $4, lanes = $5,
                warnings = $6::text::jsonb, total_warnings = $7, ended_at = clock_timestamp(),
                data_version = (select version from data_version)
         where id = $1",
        id,
        rows.cast_signed(),
        prices.cast_signed(),
        summary.extent.days,
        summary.extent.lanes,
        summary.warnings,
        summary.total_warnings,
    )
    .execute(&mut *connection)
    .await?;
    get(connection, id).await
}

/// Ends a batch that cannot be stored, with the problem (JSON) that says why.
pub(crate) async fn fail(
    connection: &mut PgConnection,
    id: i64,
    rows: u64,
    problem: &str,
) -> Result<Batch, sqlx::Error> {
    sqlx::query!(
        "update batches set state = 'failed', rows = $2, problem = $3::text::jsonb, ended_at = clock_timestamp()
         where id = $1",
        id,
        rows.cast_signed(),
        problem,
    )
    .execute(&mut *connection)
    .await?;
    get(connection, id).await
}

/// Finds a batch by its id.
pub(crate) async fn find(executor: impl PgExecutor<'_>, id: i64) -> Result<Option<Batch>, sqlx::Error> {
    sqlx::query_as!(
        Batch,
        r#"select id, supplier, state as "state: BatchState", content_sha256, content_bytes, checked_bytes, rows,
                  prices, days, lanes, data_version, replaces, warnings::text as "warnings!", total_warnings,
                  problem::text, created_at, ended_at, withdrawn_at
           from batches where id = $1"#,
        id
    )
    .fetch_optional(executor)
    .await
}

/// The batch of this id, which exists.
async fn get(connection: &mut PgConnection, id: i64) -> Result<Batch, sqlx::Error> {
    find(connection, id).await?.ok_or(sqlx::Error::RowNotFound)
}

/// Lists a supplier's batches, or those of all, older than `before`, newest first.
pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    supplier: Option<&str>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Batch>, sqlx::Error> {
    // Every id is below the highest. Each branch has an index.
    let before = before.unwrap_or(i64::MAX);
    sqlx::query_as!(
        Batch,
        r#"select id, supplier, state as "state: BatchState", content_sha256, content_bytes, checked_bytes, rows,
                  prices, days, lanes, data_version, replaces, warnings::text as "warnings!", total_warnings,
                  problem::text, created_at, ended_at, withdrawn_at
           from batches
           where id in (
               (select id from batches where supplier = $1 and id < $2 order by id desc limit $3)
               union all
               (select id from batches where $1::text is null and id < $2 order by id desc limit $3)
           )
           order by id desc"#,
        supplier,
        before,
        limit
    )
    .fetch_all(executor)
    .await
}

/// Deletes the prices of a batch; `None` if the batch has none, because it is not done or was withdrawn already.
pub(crate) async fn withdraw(connection: &mut PgConnection, id: i64) -> Result<Option<Batch>, sqlx::Error> {
    // The state comes first, so that a second request waits here and then finds the batch withdrawn.
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
    sqlx::query!("update batches set data_version = (select version from data_version) where id = $1", id)
        .execute(&mut *connection)
        .await?;
    find(connection, id).await
}

/// A price of a batch, and how often the batch has it.
#[derive(Debug)]
pub(crate) struct SentPrice {
    pub(crate) orig_code: String,
    pub(crate) dest_code: String,
    pub(crate) day: NaiveDate,
    pub(crate) price: i32,
    pub(crate) times: i64,
}

/// The prices of a batch after this one, in their order; of the first page, after none.
pub(crate) async fn prices_after(
    connection: &mut PgConnection,
    batch: i64,
    after: Option<&SentPrice>,
    limit: i64,
) -> Result<Vec<SentPrice>, sqlx::Error> {
    sqlx::query_as!(
        SentPrice,
        // Materialized, or the planner might look for the batch in the order of the lanes: through all prices.
        r#"with sent as materialized (select orig_code, dest_code, day, price from prices where batch_id = $1)
           select orig_code, dest_code, day, price, count(*) as "times!"
           from sent
           where $2::text is null or (orig_code, dest_code, day, price) > ($2, $3::text, $4::date, $5::integer)
           group by orig_code, dest_code, day, price
           order by orig_code, dest_code, day, price
           limit $6"#,
        batch,
        after.map(|price| price.orig_code.as_str()),
        after.map(|price| price.dest_code.as_str()),
        after.map(|price| price.day),
        after.map(|price| price.price),
        limit
    )
    .fetch_all(connection)
    .await
}

/// Marks every batch as withdrawn, after all prices were deleted.
pub(crate) async fn withdraw_all(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update batches set state = 'withdrawn', withdrawn_at = clock_timestamp(),
                data_version = (select version from data_version)
         where state = 'done'"
    )
    .execute(connection)
    .await?;
    Ok(())
}
