//! The description of the API, and `/docs/`, which shows it.

use std::sync::LazyLock;

use axum::{
    Router,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use chassis::{Problem, compression::CompressibleBody};
use http::header;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Description,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{batches, explorer, lanes, place_search, places, prices, rates};
use crate::{
    lanes::query::{Interval, Order, Role, Statistics, Theme, Values, Widen},
    reference,
    summaries::{Kind, Sort},
};

/// What the API is.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Freight rates",
        description = "What does it cost to ship a container from A to B, day by day? Prices are US dollars for a container. Places are \
                       ports (UN/LOCODE) and regions; a region stands for every port below it. Every error is a problem \
                       (RFC 9457) with media type application/problem+json."
    ),
    paths(
        explorer::greet,
        rates::get_rates,
        rates::get_csv,
        rates::get_svg,
        lanes::list_lanes,
        lanes::get_csv,
        place_search::find_places,
        places::list_ports,
        places::get_port,
        places::list_regions,
        places::get_region,
        prices::post_prices,
        batches::list_batches,
        batches::get_batch,
        batches::get_batch_prices,
        batches::withdraw_batch,
    ),
    // The types of parameters are not collected from the handlers, as those of bodies are.
    components(schemas(Interval, Kind, Order, Role, Sort, Statistics, Theme, Values, Widen)),
    modifiers(&Keys),
    tags(
        (name = "rates", description = "The mean price of each day between two places"),
        (name = "places", description = "Ports and regions: the names that rates take"),
        (name = "batches", description = "Prices that suppliers send: all of a batch is stored, or nothing; a key is needed"),
        (name = "service", description = "The service itself"),
    ),
)]
struct Api;

struct Keys;

impl Modify for Keys {
    fn modify(&self, description: &mut Description) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("rates_NUMBER_SECRET")
            .description(Some("The key of a supplier or reader, as `rates key create` prints it."))
            .build();
        let basic = HttpBuilder::new()
            .scheme(HttpAuthScheme::Basic)
            .description(Some("The key as the password, with any user: for browsers and spreadsheets."))
            .build();
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
        components.add_security_scheme("login", SecurityScheme::Http(basic));
    }
}

/// The description, derived from the handlers.
pub(crate) fn description() -> Description {
    Api::openapi()
}

/// `/docs/`.
pub(crate) fn documentation() -> Router {
    Router::new()
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/docs/", get(async || get_documentation()))
}

fn get_documentation() -> Result<Response, Problem> {
    static PAGE: LazyLock<Result<CompressibleBody, String>> = LazyLock::new(|| {
        let description = serde_json::to_value(description()).map_err(|error| error.to_string())?;
        let page = reference::render(&description).map_err(|error| error.to_string())?;
        Ok(page.into())
    });
    let page = PAGE.clone().map_err(Problem::internal)?;
    let headers =
        [(header::CONTENT_TYPE, explorer::HTML), (header::CONTENT_SECURITY_POLICY, explorer::POLICY)];
    Ok((headers, page).into_response())
}
