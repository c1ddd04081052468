//! Compression, if the client accepts it and it is worth its cost.

use axum::{
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderValue, StatusCode, header};
use tokio::time::{Instant, timeout_at};

use crate::compression::{Coding, CompressibleBody, SMALL};

/// In bytes. A larger body that is not kept is sent uncompressed: compressing it needs all of it in memory, and time.
const LARGEST: u64 = 8 * 1024 * 1024;

/// A response on its way to the client.
pub(super) enum Outgoing {
    /// It is complete.
    Ready(Response),
    /// It is being compressed.
    Compressing(BoxFuture<'static, Response>),
}

/// Compresses the response with this coding. If that is not done by `deadline`, it is sent uncompressed.
pub(super) fn response(mut response: Response, coding: Option<Coding>, deadline: Instant) -> Outgoing {
    let kept = response.extensions_mut().remove::<CompressibleBody>();
    let is_not_modified = response.status() == StatusCode::NOT_MODIFIED;
    if !is_not_modified && !pays(&response, kept.is_some()) {
        return Outgoing::Ready(response);
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    let Some(coding) = coding else {
        return Outgoing::Ready(response);
    };
    if is_not_modified {
        // The tag of the answer that the client has, which was compressed.
        weaken_etag(&mut response);
        return Outgoing::Ready(response);
    }
    if let Some(form) = kept.as_ref().and_then(|body| body.made(coding)) {
        return Outgoing::Ready(compressed(response, coding, form.clone()));
    }
    let later = async move {
        let making = if let Some(body) = kept {
            async move { body.make(coding).await }.boxed()
        } else {
            let (head, body) = response.into_parts();
            let reading = timeout_at(deadline, axum::body::to_bytes(body, usize::MAX)).await;
            let plain = match reading.map_err(axum::Error::new).flatten() {
                Ok(plain) => plain,
                // The body was cut off, so the connection must end.
                Err(error) => return Response::from_parts(head, failed(error)),
            };
            response = Response::from_parts(head, Body::from(plain.clone()));
            coding.compress(plain).boxed()
        };
        let form = timeout_at(deadline, making).await.ok().flatten();
        compressed(response, coding, form)
    };
    Outgoing::Compressing(later.boxed())
}

/// A body that fails with this error.
fn failed(error: axum::Error) -> Body {
    Body::from_stream(futures_util::stream::once(std::future::ready(Err::<Bytes, _>(error))))
}

/// Whether compressing the response pays. A stream, whose size is not known, is not compressed.
fn pays(response: &Response, is_kept: bool) -> bool {
    let (headers, size) = (response.headers(), response.body().size_hint().exact().unwrap_or(0));
    let is_text = headers.get(header::CONTENT_TYPE).is_some_and(|media_type| is_text(media_type.as_bytes()));
    let is_final = headers.contains_key(header::CONTENT_ENCODING)
        || headers.contains_key(header::CONTENT_RANGE)
        || headers.get(header::CACHE_CONTROL).is_some_and(forbids_transforming);
    size > SMALL as u64 && (is_kept || size <= LARGEST) && is_text && !is_final
}

/// Text, and data that is written as text.
fn is_text(media_type: &[u8]) -> bool {
    let end = media_type.iter().position(|byte| *byte == b';').unwrap_or(media_type.len());
    let media_type = media_type[..end].trim_ascii();
    let is_data = |kind: &[u8]| media_type.ends_with(kind);
    media_type.starts_with(b"text/")
        || [&b"json"[..], b"xml", b"javascript", b"yaml"].into_iter().any(is_data)
}

fn forbids_transforming(cache_control: &HeaderValue) -> bool {
    cache_control.to_str().is_ok_and(|text| text.split(',').any(|one| one.trim() == "no-transform"))
}

/// The response with this form as its body; unchanged if there is none.
fn compressed(mut response: Response, coding: Coding, form: Option<Bytes>) -> Response {
    let Some(form) = form else { return response };
    *response.body_mut() = Body::from(form);
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::ACCEPT_RANGES);
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    weaken_etag(&mut response);
    response
}

/// A strong `ETag` names exact bytes, and a compressed body has others. A weak `ETag` names the same content in any
/// form, and `If-None-Match` compares weakly.
fn weaken_etag(response: &mut Response) {
    if let Some(tag) = response.headers().get(header::ETAG)
        && tag.as_bytes().starts_with(b"\"")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        response.headers_mut().insert(header::ETAG, weak);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        task::{Context, Poll},
        time::Duration,
    };

    use super::*;
    use crate::body::{GuardedBody, WhileSending};

    fn text(body: Body) -> Response {
        Response::builder().header(header::CONTENT_TYPE, "text/plain").body(body).unwrap()
    }

    #[test]
    fn small_bodies_are_not_compressed_and_large_ones_only_if_they_are_kept() {
        const MOST: usize = 8 << 20;
        for (bytes, is_kept, expected) in [
            (1024, false, false),
            (1025, false, true),
            (MOST, false, true),
            (MOST + 1, false, false),
            (MOST + 1, true, true),
        ] {
            let response = text(Body::from(vec![b'x'; bytes]));
            assert_eq!(pays(&response, is_kept), expected, "{bytes} bytes, kept: {is_kept}");
        }
    }

    /// Cuts a body at once.
    struct Cut;

    impl WhileSending for Cut {
        fn poll_cut(&mut self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
    }

    #[tokio::test]
    async fn a_body_that_fails_while_it_is_compressed_does_not_look_whole() {
        let cut = Body::new(GuardedBody::new(Body::from("x".repeat(2000)), Some(Cut)));
        let deadline = Instant::now() + Duration::from_secs(10);
        let Outgoing::Compressing(compressing) = response(text(cut), Some(Coding::Gzip), deadline) else {
            panic!("not compressed")
        };
        assert!(axum::body::to_bytes(compressing.await.into_body(), usize::MAX).await.is_err());
    }
}
