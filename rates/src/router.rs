//! Every route, where its handler is, and what describes it.

use axum::{Router, routing::get};
use utoipa::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{
    app::App,
    routes::{greeting, openapi, places, rates},
};

/// The routes of the API. The edge, health and metrics are added by `serve`.
pub fn routes(app: App) -> Router {
    Router::new()
        .route("/", get(greeting::greet))
        .route("/rates", get(rates::get_rates))
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
