//! `rates serve`.

use std::time::Duration;

use axum::Router;
use chassis::{
    Exit,
    edge::{Edge, Limits},
    health::{self, Readiness},
    metrics::{self, RequestMetrics},
    server,
    settings::Loaded,
};
use prometheus_client::registry::Registry;

use super::{VERSION, work::Workers};
use crate::{
    app::App,
    database::{self, Database, MIGRATOR},
    router,
    settings::Settings,
};

/// `/readyz` gives up on the database after this time.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

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
    let app = App::new(database, settings.api.clone(), settings.cache.clone(), settings.batches.clone());
    let listening = tokio::spawn({
        let app = app.clone();
        async move { app.freshness.listen(app.database.primary.clone()).await }
    });

    let (public, private) = routers(&app, settings);
    let workers = Workers::start(&app, settings.batches.workers);
    let stop_workers = workers.stopper(settings.server.drain_seconds);
    let served = server::serve(&settings.server, public, private, || {
        listening.abort();
        stop_workers();
    })
    .await;
    workers.stopped(!matches!(served, Ok(Exit::Success))).await;
    app.database.primary.close().await;
    app.database.batches.close().await;
    match served {
        Ok(exit) => exit,
        Err(error) => {
            tracing::error!("{error}");
            Exit::Failure
        }
    }
}

/// The router of the public port and that of the metrics port.
fn routers(app: &App, settings: &Settings) -> (Router, Router) {
    let mut registry = Registry::default();
    let request_metrics = RequestMetrics::register(&mut registry, "rates", VERSION);
    app.register_metrics(&mut registry);
    let edge = Edge::new(&settings.server, !settings.telemetry.otlp_endpoint.is_empty(), request_metrics);
    let batches = Limits {
        timeout: Duration::from_secs_f64(settings.batches.timeout_seconds),
        body_bytes: settings.batches.body_limit_bytes,
    };
    let edge = edge.except("/prices", batches).except("/batches/{id}", batches);
    let readiness = Readiness::new(READY_TIMEOUT, {
        let app = app.clone();
        move || {
            let app = app.clone();
            async move { app.ready().await }
        }
    });
    let public = edge.around(router::routes(app.clone()), health::router(readiness.clone()));
    (public, health::router(readiness).merge(metrics::router(registry)))
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
        Err(error) if database::is_outage(&error) => {
            tracing::warn!(error = %error, "the database is away; answering 503 until it is back");
            Ok(())
        }
        Err(error) => {
            tracing::error!(error = %error, "cannot read which migrations the database has");
            Err(Exit::Unavailable)
        }
    }
}
