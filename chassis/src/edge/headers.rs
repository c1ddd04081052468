//! Headers that tell a browser what an answer may do; errors have them too.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The policy of data: nothing is to be run, loaded or framed. A handler of pages sets a policy of its own.
const DATA: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Headers that matter only where a browser shows an answer as a document. Data is sent without them, which is cheaper.
const OF_DOCUMENTS: [(HeaderName, HeaderValue); 4] = [
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
    ),
];

/// Whether the client speaks HTTPS, as the load balancer that ends TLS says. Anybody may claim it, without harm: over
/// plain HTTP, browsers ignore `Strict-Transport-Security`.
pub(super) fn is_https(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https")
}

/// Adds the headers.
pub(super) fn add(headers: &mut HeaderMap, https: bool) {
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(DATA);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_document(headers) {
        headers.extend(OF_DOCUMENTS);
    }
    if https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

/// Pages and pictures can link, load and be framed. With `nosniff`, browsers take nothing else for one.
fn is_document(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    media_type.starts_with(b"text/html") || media_type.starts_with(b"image/svg+xml")
}
