//! Every route, and where its handler is.

use std::time::Duration;

use axum::{
    Router, middleware,
    routing::{get, post},
};
use chassis::{
    edge::{Edge, Edged, Limits},
    health::{self, Readiness},
    metrics::{self, RequestMetrics},
};
use prometheus_client::registry::Registry;

use super::{batches, explorer, openapi, places, prices, rates};
use crate::{app::App, keys, settings::Settings};

/// `/readyz` gives up on the database after this time.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// What the public port answers, and what the metrics port does.
pub fn routers(app: &App, settings: &Settings, version: &'static str) -> (Edged, Router) {
    let mut registry = Registry::default();
    let request_metrics = RequestMetrics::register(&mut registry, "rates", version);
    app.register_metrics(&mut registry);
    let edge = Edge::new(&settings.server, !settings.telemetry.otlp_endpoint.is_empty(), request_metrics);
    let batches = Limits {
        timeout: Duration::from_secs_f64(settings.batches.timeout_seconds),
        body_bytes: settings.batches.body_limit_bytes,
    };
    let mut edge = edge.except("/prices", batches).except("/batches/{id}", batches);
    // Without a cache nothing is ever ready.
    if settings.cache.size_bytes > 0 && !app.api.reads_need_key {
        let lanes = app.lanes.clone();
        edge = edge.try_first("/rates", move |request| rates::ready(&lanes, request));
    }
    let readiness = Readiness::new(READY_TIMEOUT, {
        let app = app.clone();
        move || {
            let app = app.clone();
            async move { app.ready().await }
        }
    });
    let public = edge.around(routes(app.clone()), health::router(readiness.clone()));
    (public, health::router(readiness).merge(metrics::router(registry)))
}

/// The routes of the API; the edge goes around them.
pub fn routes(app: App) -> Router {
    let mut reads = Router::new()
        .route("/rates", get(rates::get_rates))
        .route("/rates.csv", get(rates::get_csv))
        .route("/rates.svg", get(rates::get_svg))
        .route("/places", get(places::find_places))
        .route("/ports", get(places::list_ports))
        .route("/ports/{code}", get(places::get_port))
        .route("/regions", get(places::list_regions))
        .route("/regions/{slug}", get(places::get_region));
    if app.api.reads_need_key {
        reads = reads.route_layer(middleware::from_fn_with_state(app.clone(), keys::for_reads));
    }
    reads
        .route("/", get(explorer::greet))
        .route("/prices", post(prices::post_prices))
        .route("/batches", get(batches::list_batches))
        .route("/batches/{id}", get(batches::get_batch).delete(batches::withdraw_batch))
        .route("/assets/{name}", get(explorer::get_asset))
        .route("/openapi.json", get(openapi::get_openapi))
        .with_state(app)
        .merge(openapi::documentation())
}
