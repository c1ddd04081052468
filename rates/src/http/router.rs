//! Every route, and where its handler is.

use axum::{
    Router, middleware,
    routing::{get, post},
};

use super::{batches, explorer, lanes, openapi, place_search, places, prices, rates};
use crate::{app::App, suppliers};

/// The routes of the API; the edge goes around them.
pub fn routes(app: App) -> Router {
    let mut reads = Router::new()
        .route("/rates", get(rates::get_rates))
        .route("/rates.csv", get(rates::get_csv))
        .route("/rates.svg", get(rates::get_svg))
        .route("/lanes", get(lanes::list_lanes))
        .route("/lanes.csv", get(lanes::get_csv))
        .route("/places", get(place_search::find_places))
        .route("/ports", get(places::list_ports))
        .route("/ports/{code}", get(places::get_port))
        .route("/regions", get(places::list_regions))
        .route("/regions/{slug}", get(places::get_region));
    if app.api_settings.reads_need_key {
        reads = reads.route_layer(middleware::from_fn_with_state(app.clone(), suppliers::require_key));
    }
    reads
        .route("/", get(explorer::greet))
        .route("/upload", get(explorer::get_upload_form))
        .route("/prices", post(prices::post_prices))
        .route("/batches", get(batches::list_batches))
        .route("/batches/{id}", get(batches::get_batch).delete(batches::withdraw_batch))
        .route("/batches/{id}/prices", get(batches::get_batch_prices))
        .route("/assets/{name}", get(explorer::get_asset))
        .with_state(app)
        .merge(openapi::documentation())
}
