//! The headers of an answer: its format, its tag, and where it came from.

use axum::{
    body::Bytes,
    response::{IntoResponse, Response},
};
use chassis::compression::CompressibleBody;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::lanes::store::Source;

/// RFC 9211: where an answer came from.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// Includes space for headers that are added later, because growing the map would reallocate it.
const HEADERS: usize = 12;

/// The media types of `/rates`, the default first.
pub(crate) const JSON: &str = "application/json";
/// See [`JSON`].
pub(crate) const CSV: &str = "text/csv";
/// The content type of CSV.
pub(crate) const CSV_WITH_HEADER: &str = "text/csv; charset=utf-8; header=present";
/// See [`JSON`].
pub(crate) const SVG: &str = "image/svg+xml";
/// The media type of pages.
pub(crate) const HTML: &str = "text/html";

/// Of the media types on offer the one that the client prefers.
pub(crate) fn preferred(headers: &HeaderMap, offers: &[&'static str]) -> &'static str {
    chassis::accept::preferred(headers.get_all(header::ACCEPT), offers)
}

/// Tells caches that `Accept` chose the form.
pub(crate) fn vary_by_accept(mut response: Response) -> Response {
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// A response with this body and what caches must know of it. A stale one is not to be kept.
pub(crate) fn with_cache_headers(
    body: CompressibleBody,
    etag: Option<HeaderValue>,
    source: Source,
    cache_control: &HeaderValue,
) -> Response {
    let mut response = body.into_response();
    *response.headers_mut() = HeaderMap::with_capacity(HEADERS);
    let headers = response.headers_mut();
    if let Some(etag) = etag {
        headers.insert(header::ETAG, etag);
    }
    let status = match source {
        Source::Hit => "rates; hit",
        Source::Miss => "rates; fwd=miss",
        Source::Stale { seconds } => {
            mark_stale(headers, seconds);
            return response;
        }
    };
    headers.insert(CACHE_STATUS, HeaderValue::from_static(status));
    headers.insert(header::CACHE_CONTROL, cache_control.clone());
    response
}

/// Says that an answer may have been outdated for so long, and is not to be kept.
pub(crate) fn mark_stale(headers: &mut HeaderMap, seconds: u64) {
    let status = format!("rates; hit; ttl=-{seconds}; detail=stale");
    headers.insert(CACHE_STATUS, HeaderValue::from_str(&status).expect("digits are a header value"));
    headers.insert(header::AGE, seconds.into());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// The response to a client that has the answer of this tag already.
pub(crate) fn not_modified(etag: HeaderValue, source: Source, cache_control: &HeaderValue) -> Response {
    let mut response =
        with_cache_headers(CompressibleBody::from(Bytes::new()), Some(etag), source, cache_control);
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// Whether an `If-None-Match` names this tag, by the weak comparison that RFC 9110 asks for here.
pub(crate) fn names_tag(if_none_match: &HeaderValue, tag: &HeaderValue) -> bool {
    let Ok(tags) = if_none_match.to_str() else {
        return false;
    };
    tags.split(',')
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one).as_bytes() == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_is_a_list_of_tags_weak_or_strong() {
        let tag = HeaderValue::from_static("\"a\"");
        for (tags, same) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
        ] {
            assert_eq!(names_tag(&HeaderValue::from_static(tags), &tag), same, "{tags}");
        }
    }
}
