//! Every route, where its handler is, and what describes it.

use std::time::Duration;

use axum::{
    Router, middleware,
    response::Response,
    routing::{get, post},
};
use chassis::{
    edge::{Edge, Edged, Limits},
    health::{self, Readiness},
    metrics::{self, RequestMetrics},
};
use http::{HeaderValue, header};
use prometheus_client::registry::Registry;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Description,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{
    app::App,
    http::{batches, places, prices},
    routes::{assets, greeting, openapi, rates},
    settings::Settings,
    suppliers,
};

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
        let app = app.clone();
        edge = edge.try_first("/rates", move |request| rates::ready(&app, request));
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
        reads = reads.route_layer(middleware::from_fn_with_state(app.clone(), suppliers::require_key));
    }
    reads
        .route("/", get(greeting::greet))
        .route("/prices", post(prices::post_prices))
        .route("/batches", get(batches::list_batches))
        .route("/batches/{id}", get(batches::get_batch).delete(batches::withdraw_batch))
        .route("/assets/{name}", get(assets::get_asset))
        .route("/openapi.json", get(openapi::get_openapi))
        .with_state(app)
        .merge(documentation())
}

/// Swagger UI. It styles its elements inline and holds its icons as data.
fn documentation() -> Router {
    const POLICY: HeaderValue = HeaderValue::from_static(
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
         connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    );
    Router::from(SwaggerUi::new("/docs").config(Config::from("/openapi.json"))).layer(
        middleware::map_response(async |mut response: Response| {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
            response
        }),
    )
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
        places::find_places,
        places::list_ports,
        places::get_port,
        places::list_regions,
        places::get_region,
        prices::post_prices,
        batches::list_batches,
        batches::get_batch,
        batches::withdraw_batch,
    ),
    modifiers(&Keys),
    tags(
        (name = "rates", description = "Daily means"),
        (name = "places", description = "Ports and regions, which rates are asked for"),
        (name = "batches", description = "Store prices, all of a batch or none; a key is required"),
        (name = "service", description = "The service itself"),
    ),
)]
pub struct Api;

struct Keys;

impl Modify for Keys {
    fn modify(&self, description: &mut Description) {
        let bearer =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("rates_NUMBER_SECRET").build();
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
    }
}

/// The description as text, as `rates openapi` prints and `/openapi.json` serves it.
#[must_use]
pub fn openapi_json() -> String {
    chassis::openapi::to_json(&chassis::openapi::complete(Api::openapi()))
}
