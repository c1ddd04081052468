//! The description of the API, and `/docs/`, which shows it.

use axum::{Router, middleware, response::Response};
use chassis::compression;
use http::{HeaderValue, header};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Description,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{batches, explorer, places, prices, rates};
use crate::lanes::query::{Order, Statistics, Theme, Values};

/// What the API is.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Freight rates",
        description = "What does it cost to ship a container from A to B, day by day? Prices are US dollars. Places are \
                       ports (UN/LOCODE) and regions; a region stands for every port below it. Every error is a problem \
                       (RFC 9457) with media type application/problem+json."
    ),
    paths(
        explorer::greet,
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
    // The types of parameters are not collected from the handlers, as those of bodies are.
    components(schemas(Order, Statistics, Theme, Values)),
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
            .description(Some("The key of a supplier, as `rates key create` prints it."))
            .build();
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
    }
}

/// The description, derived from the handlers.
pub(crate) fn description() -> Description {
    Api::openapi()
}

/// Swagger UI. It styles its elements inline and holds its icons as data.
pub(crate) fn documentation() -> Router {
    const POLICY: HeaderValue = HeaderValue::from_static(
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
         connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    );
    let files = Router::from(SwaggerUi::new("/docs").config(Config::from("/openapi.json")));
    compression::keep_answers(files).layer(middleware::map_response(async |mut response: Response| {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
        response
    }))
}
