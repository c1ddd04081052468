//! Around each route: catches panics and cuts what takes too long.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Instant,
};

use axum::{
    body::HttpBody,
    extract::{DefaultBodyLimit, MatchedPath, Request},
    response::{IntoResponse, Response},
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, CatchUnwind},
};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};
use tower::{Layer, Service};
use tracing::{Instrument, instrument::Instrumented};

use super::{Edge, client, compress::Outgoing, endpoint::Endpoint, request::RequestInfo, trace};
use crate::Problem;

/// Puts a [`Guard`] around every method of every route.
#[derive(Clone)]
pub(super) struct GuardLayer(pub(super) Arc<Edge>);

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, edge: Arc::clone(&self.0), endpoint: Arc::default() }
    }
}

/// The edge around one method of one route.
///
/// A service of its own and not `middleware::from_fn`, which would box each request once more.
#[derive(Clone)]
pub(super) struct Guard<S> {
    inner: S,
    edge: Arc<Edge>,
    /// Found at the first request, since only a request knows its route. Shared by the clones of this guard, of which
    /// each request gets one.
    endpoint: Arc<OnceLock<Arc<Endpoint>>>,
}

impl<S> Service<Request> for Guard<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Guarded<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let edge = &self.edge;
        let endpoint = self.endpoint.get_or_init(|| {
            let route = request.extensions().get::<MatchedPath>();
            Arc::new(Endpoint::new(route.map_or("unmatched", MatchedPath::as_str), edge))
        });
        client::apply_forwarded(&mut request, edge.trusted_proxies);
        let mut info = RequestInfo::new(&request, edge, endpoint, Instant::now());
        info.keep_details(&request);
        let span = info.span();
        if edge.traces {
            trace::continue_trace(&span, request.headers());
        }
        let answer = if let Some(problem) = info.refusal(&request) {
            Answer::Refused { response: Some(problem.into_response()) }
        } else {
            if !request.body().is_end_stream() {
                DefaultBodyLimit::max(endpoint.limits.body_bytes).apply(&mut request);
            }
            let response = AssertUnwindSafe(self.inner.call(request)).catch_unwind().instrument(span);
            Answer::Handled { response }
        };
        Guarded { answer, late: None, info: Some(info) }
    }
}

pin_project! {
    /// The answer to a request, with what the edge does before it goes out.
    pub(super) struct Guarded<F> {
        #[pin]
        answer: Answer<F>,
        late: Option<Pin<Box<Sleep>>>,
        info: Option<RequestInfo>,
    }

    impl<F> PinnedDrop for Guarded<F> {
        fn drop(this: Pin<&mut Self>) {
            if let Some(info) = this.project().info.take() {
                info.finish_unanswered();
            }
        }
    }
}

pin_project! {
    #[project = AnswerProjection]
    enum Answer<F> {
        Refused { response: Option<Response> },
        Handled { #[pin] response: Instrumented<CatchUnwind<AssertUnwindSafe<F>>> },
        Compressing { response: BoxFuture<'static, Response> },
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Guarded<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let response = match this.answer.as_mut().project() {
            AnswerProjection::Compressing { response } => return response.as_mut().poll(context).map(Ok),
            AnswerProjection::Refused { response } => response.take().expect("polled once"),
            AnswerProjection::Handled { response } => match response.poll(context) {
                Poll::Ready(Ok(Ok(response))) => response,
                Poll::Ready(Ok(Err(never))) => match never {},
                Poll::Ready(Err(panic)) => {
                    Problem::internal(format!("panic: {}", panic_message(&*panic))).into_response()
                }
                Poll::Pending => {
                    // Only a request that waits gets a timer: most answers are there at once.
                    let info = this.info.as_ref().expect("not answered yet");
                    let late = this.late.get_or_insert_with(|| Box::pin(sleep_until(info.deadline())));
                    ready!(late.as_mut().poll(context));
                    Problem::unavailable("The answer took too long.", 1)
                        .cause("request timeout")
                        .into_response()
                }
            },
        };
        let info = this.info.take().expect("answered once");
        match info.finish(response) {
            Outgoing::Ready(response) => Poll::Ready(Ok(response)),
            Outgoing::Compressing(mut response) => {
                let polled = response.as_mut().poll(context);
                this.answer.set(Answer::Compressing { response });
                polled.map(Ok)
            }
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("of no text")
}
