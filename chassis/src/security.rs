//! Headers that tell a browser what an answer may do. Every answer has them, errors too.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// An answer is data, unless its handler says otherwise by a policy of its own: nothing is to be run, loaded or framed.
const DATA: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
);

const ALWAYS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
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
    headers.reserve(ALWAYS.len() + 2);
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(DATA);
    for (name, value) in ALWAYS {
        headers.insert(name, value);
    }
    if https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}
