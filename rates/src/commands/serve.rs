//! `rates serve`.

use chassis::{Exit, VERSION, server, settings::Loaded};

use super::work::Workers;
use crate::{
    app::App,
    database::{self, Database, MIGRATOR},
    http::router,
    settings::Settings,
};

pub(super) async fn serve(loaded: &Loaded<Settings>) -> Exit {
    let settings = &loaded.settings;
    let given: Vec<String> = loaded
        .origins
        .iter()
        .filter(|(_, origin)| origin.from != "default")
        .map(|(name, origin)| format!("{name}={}", origin.value))
        .collect();
    tracing::info!(version = VERSION, settings = given.join(" "), "starting");

    let database = match Database::new(&settings.database) {
        Ok(database) => database,
        Err(fault) => {
            tracing::error!("{fault}");
            return Exit::Usage;
        }
    };
    if let Err(exit) = check_schema(&database, settings).await {
        return exit;
    }
    let app = App::new(database, settings.api.clone(), &settings.cache, settings.batches.clone());
    let listening = tokio::spawn({
        let app = app.clone();
        async move { app.lanes.listen().await }
    });

    let (public, private) = router::routers(&app, settings, VERSION);
    let workers = Workers::start(&app, settings.batches.workers);
    let stop_workers = workers.stopper(settings.server.drain_seconds);
    let served = server::serve(&settings.server, public, private, || {
        listening.abort();
        stop_workers();
    })
    .await;
    let ended = matches!(served, Ok(Exit::Success));
    workers.stopped(!ended).await;
    // What was cut off may still hold a connection, by a statement that nobody waits for any more.
    if ended {
        app.database.primary.close().await;
        app.database.batches.close().await;
    }
    match served {
        Ok(exit) => exit,
        Err(error) => {
            tracing::error!("{error}");
            Exit::Failure
        }
    }
}

/// Refuses a database that lacks migrations. One that is away may be fine: `/readyz` tells when it is back.
pub(super) async fn check_schema(database: &Database, settings: &Settings) -> Result<(), Exit> {
    let pool = &database.primary;
    if settings.database.migrate_at_start
        && let Err(error) = MIGRATOR.run(pool).await
    {
        tracing::error!(error = %error, "cannot migrate");
        return Err(Exit::Unavailable);
    }
    match database::pending_migrations(pool).await {
        Ok(pending) if pending.is_empty() => Ok(()),
        Ok(pending) => {
            tracing::error!(
                pending = pending.join(", "),
                "migrations are pending: run `rates migrate` first"
            );
            Err(Exit::Usage)
        }
        Err(error) if chassis::postgres::is_outage(&error) => {
            tracing::warn!(error = %error, "the database is away; answering 503 until it is back");
            Ok(())
        }
        Err(error) => {
            tracing::error!(error = %error, "cannot read which migrations the database has");
            Err(Exit::Unavailable)
        }
    }
}
