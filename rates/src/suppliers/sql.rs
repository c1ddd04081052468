//! The SQL of suppliers and their keys.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::Scope;

/// What authentication needs of a key.
#[derive(Debug)]
pub(crate) struct KeyRow {
    pub(crate) supplier: String,
    pub(crate) scope: Scope,
    pub(crate) secret_hash: Vec<u8>,
    /// Neither revoked nor expired.
    pub(crate) valid: bool,
    /// Whether its last recorded use is more than a minute ago.
    pub(crate) use_is_due: bool,
}

/// A key as `rates key list` shows it.
#[derive(Debug)]
pub(crate) struct KeySummary {
    pub(crate) id: i64,
    pub(crate) supplier: String,
    pub(crate) scope: Scope,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) revoked_at: Option<DateTime<Utc>>,
    pub(crate) last_used_at: Option<DateTime<Utc>>,
}

/// Creates a key, and the supplier if it is new; returns the key's number.
pub(crate) async fn create(
    connection: &mut PgConnection,
    supplier: &str,
    scope: Scope,
    secret_hash: &[u8],
    expires_at: Option<DateTime<Utc>>,
) -> Result<i64, sqlx::Error> {
    sqlx::query!("insert into suppliers (name) values ($1) on conflict do nothing", supplier)
        .execute(&mut *connection)
        .await?;
    sqlx::query_scalar!(
        "insert into api_keys (supplier, scope, secret_hash, expires_at) values ($1, $2, $3, $4) returning id",
        supplier,
        scope.name(),
        secret_hash,
        expires_at
    )
    .fetch_one(connection)
    .await
}

pub(crate) async fn list(connection: &mut PgConnection) -> Result<Vec<KeySummary>, sqlx::Error> {
    sqlx::query_as!(
        KeySummary,
        r#"select id, supplier, scope as "scope: Scope", created_at, expires_at, revoked_at, last_used_at
           from api_keys order by id"#
    )
    .fetch_all(connection)
    .await
}

/// Revokes a key; false if no key has this number. A key that is revoked already stays as it is.
pub(crate) async fn revoke(connection: &mut PgConnection, id: i64) -> Result<bool, sqlx::Error> {
    let result =
        sqlx::query!("update api_keys set revoked_at = coalesce(revoked_at, now()) where id = $1", id)
            .execute(connection)
            .await?;
    Ok(result.rows_affected() == 1)
}

/// Creates a key for the same supplier and with the same scope, and lets this one expire after `overlap_seconds`, unless
/// it expires before. Returns the number of the new key; none if this one is not valid.
pub(crate) async fn rotate(
    connection: &mut PgConnection,
    id: i64,
    overlap_seconds: f64,
    secret_hash: &[u8],
    expires_at: Option<DateTime<Utc>>,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "with old as (
             update api_keys
             -- With no overlap it ends at once: it is valid until, but not at, the time at which it expires.
             set expires_at = least(expires_at, now() + make_interval(secs => $2))
             where id = $1 and revoked_at is null and (expires_at is null or expires_at > now())
             returning supplier, scope
         )
         insert into api_keys (supplier, scope, secret_hash, expires_at)
         select supplier, scope, $3, $4 from old
         returning id",
        id,
        overlap_seconds,
        secret_hash,
        expires_at
    )
    .fetch_optional(connection)
    .await
}

pub(crate) async fn find(executor: impl PgExecutor<'_>, id: i64) -> Result<Option<KeyRow>, sqlx::Error> {
    sqlx::query_as!(
        KeyRow,
        // Not now(), which is the start of the transaction: a long upload checks again at its end.
        r#"select supplier, scope as "scope: Scope", secret_hash,
                  revoked_at is null and (expires_at is null or expires_at > clock_timestamp()) as "valid!",
                  last_used_at is null or last_used_at < now() - interval '1 minute' as "use_is_due!"
           from api_keys where id = $1"#,
        id
    )
    .fetch_optional(executor)
    .await
}

/// Records that a key was used.
pub(crate) async fn record_use(executor: impl PgExecutor<'_>, id: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("update api_keys set last_used_at = now() where id = $1", id).execute(executor).await?;
    Ok(())
}
