//! Every route, where its handler is, and what describes it.

use std::time::Duration;

use axum::{Router, routing::get};
use chassis::{
    edge::Edge,
    health::{self, Readiness},
    metrics::{self, RequestMetrics},
};
use prometheus_client::registry::Registry;
use utoipa::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{
    app::App,
    routes::{greeting, openapi, places, rates},
    settings::Settings,
};

/// `/readyz` gives up on the database after this time.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// What the public port answers, and what the metrics port does.
pub fn routers(app: &App, settings: &Settings, version: &'static str) -> (Router, Router) {
    let mut registry = Registry::default();
    let request_metrics = RequestMetrics::register(&mut registry, "rates", version);
    app.register_metrics(&mut registry);
    let edge = Edge::new(&settings.server, !settings.telemetry.otlp_endpoint.is_empty(), request_metrics);
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
fn routes(app: App) -> Router {
    Router::new()
        .route("/", get(greeting::greet))
        .route("/rates", get(rates::get_rates))
        .route("/rates.csv", get(rates::get_csv))
        .route("/rates.svg", get(rates::get_svg))
        .route("/ports", get(places::list_ports))
        .route("/ports/{code}", get(places::get_port))
        .route("/regions", get(places::list_regions))
        .route("/regions/{slug}", get(places::get_region))
        .route("/openapi.json", get(openapi::get_openapi))
        .with_state(app)
        .merge(SwaggerUi::new("/docs").config(Config::from("/openapi.json")))
}

/// What the API is, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Freight rates",
        description = "What does a container cost per day between two places? Prices are US dollars; places are ports \
                       (UN/LOCODE) and regions, and a region stands for every port below it. Every error is a problem \
                       (RFC 9457) with media type application/problem+json."
    ),
    paths(
        greeting::greet,
        rates::get_rates,
        rates::get_csv,
        rates::get_svg,
        places::list_ports,
        places::get_port,
        places::list_regions,
        places::get_region,
    ),
    tags(
        (name = "rates", description = "Daily means"),
        (name = "places", description = "The names that rates take"),
        (name = "service", description = "The service itself"),
    ),
)]
pub struct Api;

/// The description as text, as `rates openapi` prints and `/openapi.json` serves it.
#[must_use]
pub fn openapi_json() -> String {
    let mut text = Api::openapi().to_pretty_json().expect("the description is plain data");
    text.push('\n');
    text
}
