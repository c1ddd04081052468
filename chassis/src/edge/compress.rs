//! Compression, where the client asks for it and it pays.

use std::convert::Infallible;

use axum::{body::Body, extract::Request, response::Response};
use futures_util::FutureExt;
use http::{HeaderValue, header};
use tower::ServiceExt;
use tower_http::compression::{
    Compression, Predicate,
    predicate::{DefaultPredicate, SizeAbove},
};

/// In bytes. A smaller answer goes in one packet with its head, compressed or not.
const COMPRESSED_ABOVE: u64 = 1024;

/// The response as this `Accept-Encoding` would have it.
pub(super) fn response(response: Response, encodings: HeaderValue) -> Response {
    let mut request = Request::default();
    request.headers_mut().insert(header::ACCEPT_ENCODING, encodings);
    let mut response = Some(response);
    let answer = tower::service_fn(move |_: Request| {
        let response = response.take().expect("called once");
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let pays = DefaultPredicate::new().and(SizeAbove::new(COMPRESSED_ABOVE));
    let compressed = Compression::new(answer).compress_when(pays).oneshot(request).now_or_never();
    match compressed.expect("the layer waits for nothing but its service") {
        Ok(response) => weaken_etag(response.map(Body::new)),
        Err(never) => match never {},
    }
}

/// A strong `ETag` names exact bytes, and a compressed body has others.
fn weaken_etag(mut response: Response) -> Response {
    if response.headers().contains_key(header::CONTENT_ENCODING)
        && let Some(tag) = response.headers().get(header::ETAG)
        && tag.as_bytes().starts_with(b"\"")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        response.headers_mut().insert(header::ETAG, weak);
    }
    response
}
