//! What an answer says of itself in its headers: its form, its tag, and where it came from.

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::lanes::cache::Source;

/// RFC 9211: where an answer came from.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// Room for the headers that are added on the way out as well: a map that grows is made anew.
const HEADERS: usize = 12;

/// The media types of `/rates`, the default first.
pub(crate) const JSON: &str = "application/json";
/// See [`JSON`].
pub(crate) const CSV: &str = "text/csv";
/// See [`JSON`].
pub(crate) const SVG: &str = "image/svg+xml";
/// The media type of pages.
pub(crate) const HTML: &str = "text/html";

/// Of the media types on offer the one that `Accept` ranks highest. The first where it has no preference, and also
/// where it refuses all: an answer that was not asked for helps more than 406, which RFC 9110 leaves to the server.
pub(crate) fn preferred(headers: &HeaderMap, offers: &[&'static str]) -> &'static str {
    let accept: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let ranges: Vec<(&str, f32)> = accept.iter().flat_map(|value| value.split(',')).map(range).collect();
    let mut best = (offers[0], 0.0);
    for offer in offers {
        // The most specific range that fits decides, whatever its weight.
        let fitting = ranges.iter().filter_map(|(range, weight)| Some((specificity(range, offer)?, *weight)));
        let weight = fitting.max_by_key(|(specificity, _)| *specificity).map_or(0.0, |(_, weight)| weight);
        if weight > best.1 {
            best = (offer, weight);
        }
    }
    best.0
}

fn range(text: &str) -> (&str, f32) {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (range, weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
}

fn specificity(range: &str, offer: &str) -> Option<u8> {
    if range.eq_ignore_ascii_case(offer) {
        return Some(2);
    }
    if range == "*/*" {
        return Some(0);
    }
    let (kind, _) = offer.split_once('/')?;
    range.strip_suffix("/*").filter(|range| range.eq_ignore_ascii_case(kind)).map(|_| 1)
}

/// Tells caches that `Accept` chose the form.
pub(crate) fn vary_by_accept(mut response: Response) -> Response {
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// A response with this body and what caches must know of it. A stale one is not to be kept.
pub(crate) fn cached(
    body: Bytes,
    etag: Option<HeaderValue>,
    source: Source,
    cache_control: &HeaderValue,
) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.headers_mut() = HeaderMap::with_capacity(HEADERS);
    let headers = response.headers_mut();
    if let Some(etag) = etag {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(
        CACHE_STATUS,
        match source {
            Source::Hit => HeaderValue::from_static("rates; hit"),
            Source::Miss => HeaderValue::from_static("rates; fwd=miss"),
            Source::Stale { seconds } => {
                HeaderValue::from_str(&format!("rates; hit; ttl=-{seconds}; detail=stale"))
                    .expect("digits are a header value")
            }
        },
    );
    if let Source::Stale { seconds } = source {
        headers.insert(header::AGE, seconds.into());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    } else {
        headers.insert(header::CACHE_CONTROL, cache_control.clone());
    }
    response
}

/// The response to a client that has the answer of this tag already.
pub(crate) fn not_modified(etag: HeaderValue, source: Source, cache_control: &HeaderValue) -> Response {
    let mut response = cached(Bytes::new(), Some(etag), source, cache_control);
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
    fn the_form_is_the_one_that_accept_ranks_highest() {
        const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        const IMG: &str = "image/avif,image/webp,image/svg+xml,image/*,*/*;q=0.8";
        for (accept, wanted) in [
            ("", JSON),
            ("*/*", JSON),
            (BROWSER, JSON),
            (IMG, SVG),
            ("image/*", SVG),
            ("text/csv", CSV),
            ("Text/CSV; header=present", CSV),
            ("text/csv;q=0.5, application/json;q=0.4", CSV),
            ("text/csv;q=0.4, application/json", JSON),
            ("text/*, application/json;q=0.9", CSV),
            ("*/*, text/csv;q=0, application/json;q=0.1", SVG),
            ("application/pdf", JSON),
            ("text/csv;q=nonsense", JSON),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(preferred(&headers, &[JSON, CSV, SVG]), wanted, "{accept}");
        }
        let mut two = HeaderMap::new();
        two.append(header::ACCEPT, "text/csv;q=0.1".parse().unwrap());
        two.append(header::ACCEPT, SVG.parse().unwrap());
        assert_eq!(preferred(&two, &[JSON, CSV, SVG]), SVG);
        assert_eq!(preferred(&HeaderMap::new(), &[JSON, HTML]), JSON);
    }

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
