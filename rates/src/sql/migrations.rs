//! What the database says of its schema.

use std::collections::BTreeSet;

use sqlx::{PgConnection, PgExecutor};

/// Versions of the migrations that were applied; none where the table that records them is not there yet.
pub(crate) async fn applied(executor: impl PgExecutor<'_>) -> Result<BTreeSet<i64>, sqlx::Error> {
    // Not a checked query: sqlx makes this table itself, with the first migration.
    let versions = sqlx::query_scalar("select version from public._sqlx_migrations where success")
        .fetch_all(executor)
        .await;
    match versions {
        Ok(versions) => Ok(versions.into_iter().collect()),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

/// Makes the login role that `serve` uses, or gives it its password anew, and grants it what `serve` needs.
///
/// Roles and passwords cannot be parameters of DDL, so they travel as settings of the transaction and are quoted by
/// the server; in this way the password is in no statement that a server might log.
pub(crate) async fn put_app_role(
    connection: &mut PgConnection,
    role: &str,
    password: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select set_config('rates.role', $1, true) as role, set_config('rates.password', $2, true) as password",
        role,
        password
    )
    .fetch_one(&mut *connection)
    .await?;
    sqlx::raw_sql(include_str!("app_role.sql")).execute(connection).await?;
    Ok(())
}
