//! Migrations: which are pending, and the `migrate` command.

use std::collections::BTreeSet;

use secrecy::ExposeSecret;
use sqlx::{
    Connection, PgConnection, PgExecutor,
    migrate::{MigrateError, Migrator},
};

use super::{DatabaseSettings, Pool, connect, is_outage};
use crate::{Exit, Failure};

/// The migrations that the database lacks, in order. It may have newer ones, so that a release can be rolled back.
pub async fn pending_migrations(
    executor: impl PgExecutor<'_>,
    migrator: &Migrator,
) -> Result<Vec<String>, sqlx::Error> {
    let applied = applied_migrations(executor).await?;
    Ok(migrator
        .iter()
        .filter(|migration| migration.migration_type.is_up_migration())
        .filter(|migration| !applied.contains(&migration.version))
        .map(|migration| format!("{} {}", migration.version, migration.description))
        .collect())
}

/// Versions of the migrations that were applied; none where the table that records them is not there yet.
async fn applied_migrations(executor: impl PgExecutor<'_>) -> Result<BTreeSet<i64>, sqlx::Error> {
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

/// For the start of a process: migrates if the settings say so, and refuses a database that lacks migrations. An
/// unreachable database is accepted: `/readyz` says when it is back. It is refused if it should be migrated now, or if
/// the database or role does not exist, since waiting does not help.
pub async fn check_schema(
    pool: &Pool,
    settings: &DatabaseSettings,
    migrator: &Migrator,
    service: &str,
) -> Result<(), Failure> {
    if settings.migrate_at_start {
        // Not in the pool, whose connections have the time limits of requests.
        let mut connection = connect(settings).await?;
        run(migrator, &mut connection).await?;
    }
    match pending_migrations(pool, migrator).await {
        Ok(pending) if pending.is_empty() => Ok(()),
        Ok(pending) => Err(Failure::new(
            Exit::Usage,
            format!("migrations are pending; run `{service} migrate` first: {}", pending.join(", ")),
        )),
        Err(error) if is_outage(&error) && !is_wrong_address(&error) => {
            tracing::warn!(%error, "the database is unreachable; answering 503 until it is back");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// The database does not exist, or refuses this role or its password.
fn is_wrong_address(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("3D") || code.starts_with("28"))
}

/// The `migrate` command: applies what is pending, then, where the settings name an application role, makes it with
/// `app_role_sql`.
///
/// Roles and passwords cannot be parameters of DDL, so they travel as the settings `app.role` and `app.password` of the
/// transaction and are quoted by the server: the password is in no statement that a server might log.
pub async fn migrate(
    settings: &DatabaseSettings,
    migrator: &Migrator,
    app_role_sql: &'static str,
) -> Result<Exit, Failure> {
    let mut connection = connect(settings).await?;
    let before = applied_migrations(&mut connection).await?;
    run(migrator, &mut connection).await?;
    let after = applied_migrations(&mut connection).await?;
    tracing::info!(applied = after.len() - before.len(), "the schema is up to date");
    if !settings.app_user.is_empty() {
        put_app_role(&mut connection, settings, app_role_sql).await?;
        tracing::info!(role = settings.app_user, "the role of the service has what it needs");
    }
    Ok(Exit::Success)
}

async fn put_app_role(
    connection: &mut PgConnection,
    settings: &DatabaseSettings,
    app_role_sql: &'static str,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("select set_config('app.role', $1, true), set_config('app.password', $2, true)")
        .bind(&settings.app_user)
        .bind(settings.app_password.expose_secret())
        .execute(&mut *transaction)
        .await?;
    sqlx::raw_sql(app_role_sql).execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn run(migrator: &Migrator, connection: &mut PgConnection) -> Result<(), Failure> {
    // `Migrator::run` does not compile where the future must be `Send`; sqlx has this method for that.
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => Failure::new(Exit::Data, format!("cannot migrate: {other}")),
    })
}
