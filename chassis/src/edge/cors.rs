//! Which pages of other origins may read answers.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{Any, CorsLayer};

use super::request::REQUEST_ID;

/// Allows the pages of `origins`: all for `*`, none if empty. Their requests may carry `browser_headers` as well.
pub(super) fn layer(origins: &[String], browser_headers: &[HeaderName]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let common = [
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::AUTHORIZATION,
        header::IF_NONE_MATCH,
        REQUEST_ID,
    ];
    let headers: Vec<HeaderName> = common.into_iter().chain(browser_headers.iter().cloned()).collect();
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(headers)
        .expose_headers([header::ETAG, header::LOCATION, header::RETRY_AFTER, REQUEST_ID])
        .max_age(Duration::from_hours(1));
    Some(if origins.iter().any(|origin| origin == "*") {
        layer.allow_origin(Any)
    } else {
        let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
        layer.allow_origin(origins)
    })
}
