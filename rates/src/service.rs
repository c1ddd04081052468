//! The implementation of the chassis's service for `rates`.

use std::time::Duration;

use chassis::{
    Configuration, Context, Exit, Failure, Parts, Role, Service,
    edge::{EdgeOptions, Limits},
    health::Readiness,
    postgres,
};
use http::HeaderName;
use utoipa::openapi::OpenApi;

use crate::{
    app::App,
    commands::{self, Command},
    database::{Database, MIGRATOR},
    http::{openapi, rates, router},
    settings::Settings,
};

/// The limit of the whole check of `/readyz`.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// The rates service.
pub struct Rates;

impl Service for Rates {
    const NAME: &'static str = "rates";
    const ABOUT: &'static str = "What does it cost to ship a container from A to B, day by day?";
    type Settings = Settings;
    type Command = Command;

    fn openapi() -> OpenApi {
        openapi::description()
    }

    async fn build(context: Context<'_, Self>) -> Result<Parts, Failure> {
        let settings = context.settings;
        let database = Database::new(&settings.database, &settings.batches, &settings.hooks)?;
        postgres::check_schema(&database.primary, &settings.database, &MIGRATOR, Self::NAME).await?;
        let app = App::new(database, settings);
        app.register_metrics(context.registry);
        let batch_workers = app.batch_workers();
        batch_workers.register(context.registry);
        let hook_workers = app.hook_workers();
        hook_workers.register(context.registry.sub_registry_with_prefix("rates_hooks"));
        // With 0 workers, `serve` runs no batches, hooks, statistics or summaries: `rates work` does.
        let count = settings.batches.workers.max(usize::from(context.role == Role::Work));
        let senders = if count > 0 { settings.hooks.workers as usize } else { 0 };
        let (stop, lanes, closing) = (context.stop.clone(), app.lanes.clone(), app.clone());
        let listener = {
            let stop = stop.clone();
            async move {
                tokio::select! {
                    () = lanes.listen() => {}
                    // Until then requests rely on it for the newest version of the data.
                    () = stop.requests_ended() => {}
                }
            }
        };
        let parts = parts(app.clone(), settings)
            .task("listener", listener)
            .task("cleaning of uploads", app.clone().clean_uploads(stop.clone()))
            .task("batch workers", batch_workers.run(count, stop.clone()))
            .task("hooks", hook_workers.run(senders, stop.clone()))
            .closing(async move { closing.database.close().await });
        if count == 0 {
            return Ok(parts);
        }
        Ok(parts
            .task("changes for hooks", app.clone().announce_changes(stop.clone()))
            .task("statistics", app.clone().fill_in_statistics(stop.clone()))
            .task("summaries of lanes", app.keep_summaries(stop)))
    }

    async fn run(command: Command, configuration: &Configuration<Self>) -> Result<Exit, Failure> {
        commands::run(command, configuration).await
    }
}

/// The routes, with the state they need.
#[must_use]
pub fn parts(app: App, settings: &Settings) -> Parts {
    let batch_limits = Limits {
        timeout: Duration::from_secs_f64(settings.batches.timeout_seconds),
        body_bytes: settings.batches.body_limit_bytes,
    };
    let mut edge = EdgeOptions::default()
        .limits("/prices", batch_limits)
        .limits("/batches/{id}", batch_limits)
        .limits("/batches/{id}/prices", batch_limits)
        .browser_headers(["idempotency-key", "prefer"].map(HeaderName::from_static));
    // Without a cache there are no ready answers.
    if settings.cache.size_bytes > 0 && !app.api_settings.reads_need_key {
        let lanes = app.lanes.clone();
        edge = edge.ready("/rates", move |request| rates::ready(&lanes, request));
    }
    let readiness = Readiness::new(READY_TIMEOUT, {
        let app = app.clone();
        move || {
            let app = app.clone();
            async move { app.ready().await }
        }
    });
    let note = match settings.api.unit.as_str() {
        "" => String::new(),
        unit => format!("In this installation, a price is for one {unit}."),
    };
    Parts::new(router::routes(app), readiness).edge(edge).note(note)
}
