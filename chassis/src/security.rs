//! Headers that tell a browser what an answer may do; errors have them too.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// An answer is data, unless its handler says otherwise by a policy of its own: nothing is to be run, loaded or framed.
const DATA: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// What matters only where a browser makes a document of an answer. Data has none: a head is copied with each answer.
const OF_DOCUMENTS: [(HeaderName, HeaderValue); 4] = [
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
    ),
];

/// Whether the client speaks HTTPS, by the word of the load balancer that ends TLS. Anybody may claim it: browsers
/// ignore the answer to it over plain HTTP.
pub(crate) fn asked_by_https(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https")
}

/// Adds the headers.
pub(crate) fn add(headers: &mut HeaderMap, https: bool) {
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(DATA);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_document(headers) {
        headers.extend(OF_DOCUMENTS);
    }
    if https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

/// Pages and pictures can link, load and be framed. With `nosniff` nothing else is taken for one.
fn is_document(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    media_type.starts_with(b"text/html") || media_type.starts_with(b"image/svg+xml")
}
