//! The SQL of hooks.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::{Event, QUEUE, message::Secret};

/// Adds a hook, which gets messages about what happens from now on; returns its number, or none if there is no such supplier.
pub(crate) async fn add(
    connection: &mut PgConnection,
    supplier: Option<&str>,
    url: &str,
    events: &[String],
    secret: &Secret,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "insert into hooks (supplier, url, events, secret, sent_version)
         select $1, $2, $3, $4, version from data_version
         where $1::text is null or exists (select from suppliers where name = $1)
         returning id",
        supplier,
        url,
        events,
        secret.0
    )
    .fetch_optional(connection)
    .await
}

/// A hook as `rates hook list` shows it.
#[derive(Debug)]
pub(crate) struct HookSummary {
    pub(crate) id: i64,
    pub(crate) supplier: Option<String>,
    pub(crate) url: String,
    pub(crate) events: Vec<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) delivered_at: Option<DateTime<Utc>>,
    pub(crate) disabled_reason: Option<String>,
    /// Messages that wait.
    pub(crate) waiting: i64,
    /// Why the last attempt at one of them failed.
    pub(crate) last_error: Option<String>,
}

pub(crate) async fn list(connection: &mut PgConnection) -> Result<Vec<HookSummary>, sqlx::Error> {
    sqlx::query_as!(
        HookSummary,
        r#"select h.id, h.supplier, h.url, h.events, h.created_at, h.delivered_at, h.disabled_reason,
                  count(j.id) as "waiting!", (array_agg(j.last_error order by j.id) filter (where j.last_error <> ''))[1] as last_error
           from hooks h
           left join jobs j on j.queue = $1 and (j.payload ->> 'hook')::bigint = h.id
           group by h.id
           order by h.id"#,
        QUEUE
    )
    .fetch_all(connection)
    .await
}

/// Removes a hook and what waits for it; false if no hook has this number.
pub(crate) async fn remove(connection: &mut PgConnection, id: i64) -> Result<bool, sqlx::Error> {
    let removed = sqlx::query!("delete from hooks where id = $1", id).execute(&mut *connection).await?;
    drop_waiting(connection, id).await?;
    Ok(removed.rows_affected() == 1)
}

/// Tells a hook that was disabled of what happens from now on; false if no such hook has this number.
pub(crate) async fn enable(connection: &mut PgConnection, id: i64) -> Result<bool, sqlx::Error> {
    let enabled = sqlx::query!(
        "update hooks set disabled_at = null, disabled_reason = null,
                sent_version = (select version from data_version)
         where id = $1 and disabled_at is not null",
        id
    )
    .execute(connection)
    .await?;
    Ok(enabled.rows_affected() == 1)
}

/// Where the messages of a hook go.
pub(crate) struct Receiver {
    pub(crate) url: String,
    secret: Vec<u8>,
}

impl Receiver {
    pub(crate) fn secret(&self) -> Secret {
        Secret(self.secret.clone())
    }
}

/// The receiver of a hook that is not disabled.
pub(crate) async fn find_receiver(
    executor: impl PgExecutor<'_>,
    id: i64,
) -> Result<Option<Receiver>, sqlx::Error> {
    sqlx::query_as!(Receiver, "select url, secret from hooks where id = $1 and disabled_at is null", id)
        .fetch_optional(executor)
        .await
}

/// The hooks that get a message about this event of a batch.
pub(super) async fn for_batch_event(
    executor: impl PgExecutor<'_>,
    event: Event,
    supplier: &str,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from hooks
         where $1 = any (events) and disabled_at is null and (supplier is null or supplier = $2)
         order by id",
        event.name(),
        supplier
    )
    .fetch_all(executor)
    .await
}

/// Whether there is a newer version than a hook was sent: a cheap look before a transaction.
pub(super) async fn any_is_behind(executor: impl PgExecutor<'_>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
               select from hooks h, data_version v
               where 'data.changed' = any (h.events) and h.disabled_at is null and h.sent_version < v.version
           ) as "any!""#
    )
    .fetch_one(executor)
    .await
}

/// A version that is sent to a hook.
pub(super) struct Change {
    pub(super) hook: i64,
    pub(super) version: i64,
}

/// Notes for each hook that it is sent the present version: at most once in so many seconds, and not while it has yet
/// to receive an older one. Hooks that another instance handles at the same time are left to it.
pub(super) async fn mark_version_sent(
    connection: &mut PgConnection,
    seconds: f64,
) -> Result<Vec<Change>, sqlx::Error> {
    sqlx::query_as!(
        Change,
        r#"with due as (
               select h.id, v.version
               from hooks h, data_version v
               where 'data.changed' = any (h.events) and h.disabled_at is null and h.sent_version < v.version
                 and (h.sent_at is null or h.sent_at <= now() - make_interval(secs => $1))
                 and not exists (
                     select from jobs j
                     where j.queue = $2 and (j.payload ->> 'hook')::bigint = h.id
                       and j.payload ->> 'event' = 'data.changed'
                 )
               for update of h skip locked
           )
           update hooks h set sent_version = due.version, sent_at = now()
           from due where h.id = due.id
           returning h.id as hook, due.version"#,
        seconds,
        QUEUE
    )
    .fetch_all(connection)
    .await
}

/// Notes that a message was delivered.
pub(super) async fn delivered(connection: &mut PgConnection, id: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("update hooks set delivered_at = clock_timestamp() where id = $1", id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Why the last attempt at a message failed, if nothing has been delivered to its hook since the message was put.
pub(super) async fn failure_without_delivery_since(
    executor: impl PgExecutor<'_>,
    job: i64,
    id: i64,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select coalesce(j.last_error, 'its worker died') as "cause!"
           from jobs j, hooks h
           where j.id = $1 and h.id = $2 and (h.delivered_at is null or h.delivered_at < j.created_at)"#,
        job,
        id
    )
    .fetch_optional(executor)
    .await
}

/// Disables a hook and drops what waits for it.
pub(super) async fn disable(connection: &mut PgConnection, id: i64, reason: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update hooks set disabled_at = now(), disabled_reason = $2 where id = $1 and disabled_at is null",
        id,
        reason
    )
    .execute(&mut *connection)
    .await?;
    drop_waiting(connection, id).await
}

/// Drops the messages of a hook. One that is being sent is left to its worker, which may wait for this transaction.
async fn drop_waiting(connection: &mut PgConnection, id: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from jobs where id in (
             select id from jobs where queue = $1 and (payload ->> 'hook')::bigint = $2 for update skip locked
         )",
        QUEUE,
        id
    )
    .execute(connection)
    .await?;
    Ok(())
}
