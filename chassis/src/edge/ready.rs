//! Answers from memory, before a request is routed.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    BoxError, Router,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    response::{IntoResponse, Response},
    routing::future::RouteFuture,
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Either},
};
use http::Method;
use tower::Service;

use super::{Edge, client, compress::Outgoing, endpoint::Endpoint, request::RequestInfo};

/// Routes with the edge around them; cheap to clone.
#[derive(Clone)]
pub struct Edged {
    routes: Router,
    /// Where ready answers are tried: with CORS they would lack its headers, and with traces their span.
    ready: Option<(Arc<Edge>, Arc<Endpoint>)>,
}

impl Edged {
    pub(super) fn new(routes: Router, edge: &Arc<Edge>) -> Self {
        let path = edge.options.ready.as_ref().filter(|_| edge.cors.is_none() && !edge.traces);
        let ready = path.map(|(path, _)| (Arc::clone(edge), Arc::new(Endpoint::new(path, edge))));
        Self { routes, ready }
    }

    fn ready_answer(&self, request: &mut Request) -> Option<Outgoing> {
        let (edge, endpoint) = self.ready.as_ref()?;
        let (path, answer) = edge.options.ready.as_ref()?;
        if request.method() != Method::GET || request.uri().path() != *path {
            return None;
        }
        let started = Instant::now();
        // A panic here is ignored: the routed handler will hit it again and report it.
        let response = std::panic::catch_unwind(AssertUnwindSafe(|| answer(request))).ok()??;
        client::apply_forwarded(request, edge.trusted_proxies);
        let mut info = RequestInfo::new(request, edge, endpoint, started);
        let Some(refusal) = info.refusal(request) else {
            return Some(info.finish(response));
        };
        info.keep_details(request);
        Some(info.finish(refusal.into_response()))
    }
}

type Answered = Result<Response, Infallible>;

impl<B> Service<http::Request<B>> for Edged
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Either<Ready<Answered>, BoxFuture<'static, Answered>>, RouteFuture<Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let mut request = request.map(Body::new);
        match self.ready_answer(&mut request) {
            Some(Outgoing::Ready(response)) => Either::Left(Either::Left(ready(Ok(response)))),
            Some(Outgoing::Compressing(response)) => Either::Left(Either::Right(response.map(Ok).boxed())),
            None => Either::Right(self.routes.call(request)),
        }
    }
}
