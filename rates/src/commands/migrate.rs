//! `rates migrate`.

use chassis::Exit;
use secrecy::ExposeSecret;
use sqlx::PgConnection;

use super::{connect, database_error};
use crate::{database::MIGRATOR, settings::Settings, sql};

pub(super) async fn migrate(settings: &Settings) -> Exit {
    match run(settings).await {
        Ok(()) => Exit::Success,
        Err(exit) => exit,
    }
}

async fn run(settings: &Settings) -> Result<(), Exit> {
    let mut connection = connect(settings).await?;
    let before = sql::migrations::applied(&mut connection)
        .await
        .map_err(|error| database_error("cannot read the migrations", &error))?;
    MIGRATOR.run(&mut connection).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error)
        | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => {
            database_error("a migration failed and was undone", &error)
        }
        other => {
            eprintln!("rates: cannot migrate: {other}");
            Exit::Data
        }
    })?;
    let after = sql::migrations::applied(&mut connection)
        .await
        .map_err(|error| database_error("cannot read the migrations", &error))?;
    tracing::info!(applied = after.len() - before.len(), "the schema is up to date");
    let database = &settings.database;
    if !database.app_user.is_empty() {
        grant(&mut connection, &database.app_user, database.app_password.expose_secret())
            .await
            .map_err(|error| database_error("cannot make the role for serve", &error))?;
        tracing::info!(role = database.app_user, "the role for serve has what it needs");
    }
    Ok(())
}

async fn grant(connection: &mut PgConnection, role: &str, password: &str) -> Result<(), sqlx::Error> {
    use sqlx::Connection;
    let mut transaction = connection.begin().await?;
    sql::migrations::put_app_role(&mut transaction, role, password).await?;
    transaction.commit().await
}
