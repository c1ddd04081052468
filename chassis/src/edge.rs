//! What happens to every request before and after its handler, in one place and one pass: request id, trace context,
//! concurrency limit, body limit, time limit, panics, problem bodies, security headers, metrics and one log
//! line.
//!
//! It is applied with `Router::layer`, inside routing, so that it knows the matched route.

use std::{
    borrow::Cow,
    collections::HashMap,
    convert::Infallible,
    future::Ready,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::{
    BoxError, Router,
    body::{Body, Bytes, HttpBody},
    extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request, connect_info::Connected},
    response::{IntoResponse, Response},
    routing::future::RouteFuture,
};
use futures_util::{
    FutureExt,
    future::{CatchUnwind, Either},
};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use pin_project_lite::pin_project;
use prometheus_client::metrics::histogram::Histogram;
use tokio::time::{Sleep, sleep_until};
use tower::{Layer, Service, ServiceExt};
use tower_http::{
    compression::{
        Compression, Predicate,
        predicate::{DefaultPredicate, SizeAbove},
    },
    cors::CorsLayer,
};
use tracing::{Instrument, instrument::Instrumented};

use crate::{
    Problem, access,
    logfile::Lines,
    metrics::{RequestLabels, RequestMetrics},
    security,
    server::ServerSettings,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: &str = "traceparent";
/// In bytes. An answer up to this size goes in one packet with its head, compressed or not.
const COMPRESSED_ABOVE: u64 = 1024;

/// How long a request may take and how large its body may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A request is cut after this time.
    pub timeout: Duration,
    /// The largest body, in bytes.
    pub body_bytes: usize,
}

/// Who asks: the peer of the connection, or who the trusted proxies say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// Who sent the request with these extensions. Without a socket (tests that call the router) everybody is one.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        let known = extensions.get::<ConnectInfo<Self>>();
        known.map_or(Self(Ipv4Addr::UNSPECIFIED.into()), |ConnectInfo(address)| *address)
    }
}

impl Connected<SocketAddr> for ClientAddress {
    fn connect_info(peer: SocketAddr) -> Self {
        Self(peer.ip().to_canonical())
    }
}

/// The limits and instruments that requests pass; cheap to clone.
#[derive(Clone)]
pub struct Edge(Arc<Inner>);

struct Inner {
    metrics: RequestMetrics,
    limits: Limits,
    /// Routes with limits of their own, by their pattern.
    exceptions: HashMap<&'static str, Limits>,
    trusted_proxies: usize,
    /// The most requests in flight; above it they are refused at once, which costs less than to let all of them wait.
    concurrency: usize,
    cors: Option<CorsLayer>,
    traces: bool,
    access_log: Option<Lines>,
    /// Where problems repeat their detail.
    detail_member: Option<&'static str>,
    /// A route whose answers may be there at once, and what gives them.
    ready: Option<(&'static str, Box<ReadyAnswer>)>,
}

/// The answer to a GET, if it is there at once.
type ReadyAnswer = dyn Fn(&Request) -> Option<Response> + Send + Sync;

impl Edge {
    /// An edge with the limits of these settings. `traces` tells whether spans leave this process.
    #[must_use]
    pub fn new(settings: &ServerSettings, traces: bool, metrics: RequestMetrics) -> Self {
        let inner = Inner {
            metrics,
            limits: Limits {
                timeout: Duration::from_secs_f64(settings.request_timeout_seconds),
                body_bytes: settings.body_limit_bytes,
            },
            exceptions: HashMap::new(),
            trusted_proxies: settings.trusted_proxies,
            concurrency: settings.concurrency,
            cors: cors(&settings.cors_origins.0),
            traces,
            access_log: None,
            detail_member: None,
            ready: None,
        };
        Self(Arc::new(inner))
    }

    /// The same with other limits for one route. A handler that reads its body as a stream holds to the limit itself:
    /// here only a declared length is known.
    ///
    /// # Panics
    ///
    /// If the edge is in use already.
    #[must_use]
    pub fn except(mut self, route: &'static str, limits: Limits) -> Self {
        self.unused().exceptions.insert(route, limits);
        self
    }

    /// The same with a line for each request put here, in combined format.
    ///
    /// # Panics
    ///
    /// If the edge is in use already.
    #[must_use]
    pub fn log_access(mut self, lines: Option<Lines>) -> Self {
        self.unused().access_log = lines;
        self
    }

    /// The same with problems that repeat their detail (or title) as a member of this name, for clients that look for
    /// the error there.
    ///
    /// # Panics
    ///
    /// If the edge is in use already.
    #[must_use]
    pub fn repeat_detail_as(mut self, member: &'static str) -> Self {
        self.unused().detail_member = Some(member);
        self
    }

    /// The same with a function that is tried before a GET of exactly this path is routed. It neither waits nor fails:
    /// what it has no answer to is routed as ever. Everything else that the edge does is done.
    ///
    /// For a route whose answers mostly are there already: routing, with the futures and copies of the way, is a twelfth of
    /// what such an answer costs. Not used where CORS is on or spans are sent.
    ///
    /// # Panics
    ///
    /// If the edge is in use already.
    #[must_use]
    pub fn try_first(
        mut self,
        route: &'static str,
        answer: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        self.unused().ready = Some((route, Box::new(answer)));
        self
    }

    fn unused(&mut self) -> &mut Inner {
        Arc::get_mut(&mut self.0).expect("an edge is configured before it is used")
    }

    /// Puts the edge around `routes`, with 404 and 405 as problems. `health` answers whatever the load is.
    #[must_use]
    pub fn around(&self, routes: Router, health: Router) -> Edged {
        let routes = routes
            .merge(health)
            .fallback(|| async {
                Problem::not_found("There is nothing at this path; GET /openapi.json lists what is.")
            })
            .method_not_allowed_fallback(|| async { Problem::new(StatusCode::METHOD_NOT_ALLOWED) })
            .layer(self.clone());
        let edge = &self.0;
        let routes = match &edge.cors {
            Some(cors) => routes.layer(cors.clone()),
            None => routes,
        };
        // What is tried first would miss the headers of CORS, and a span that is sent somewhere.
        let tried = edge.ready.as_ref().filter(|_| edge.cors.is_none() && !edge.traces);
        let ready = tried.map(|(route, _)| (Arc::clone(edge), Arc::new(Endpoint::new(route, edge))));
        Edged { routes, ready }
    }
}

/// Routes with the edge around them; cheap to clone.
#[derive(Clone)]
pub struct Edged {
    routes: Router,
    ready: Option<(Arc<Inner>, Arc<Endpoint>)>,
}

impl Edged {
    /// The answer that is there already, with all that a routed one passes.
    fn at_once(&self, request: &mut Request) -> Option<Response> {
        let (edge, endpoint) = self.ready.as_ref()?;
        let (route, answer) = edge.ready.as_ref()?;
        if request.method() != Method::GET || request.uri().path() != *route {
            return None;
        }
        let started = Instant::now();
        // One that panics panics again in its route, where that is told.
        let response = std::panic::catch_unwind(AssertUnwindSafe(|| answer(request))).ok()??;
        believe_proxies(request, edge.trusted_proxies);
        let asked = Asked { started, ..Asked::new(request, edge, endpoint) };
        let refusal = asked.refusal(request.headers()).map(Problem::into_response);
        Some(asked.answered(refusal.unwrap_or(response)))
    }
}

impl<B> Service<http::Request<B>> for Edged
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, RouteFuture<Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let mut request = request.map(Body::new);
        match self.at_once(&mut request) {
            Some(response) => Either::Left(std::future::ready(Ok(response))),
            None => Either::Right(self.routes.call(request)),
        }
    }
}

/// Which browsers' pages may read answers: those of `origins`, all for `*`, none when empty.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers([
            header::CONTENT_TYPE,
            header::CONTENT_ENCODING,
            header::AUTHORIZATION,
            header::IF_NONE_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("prefer"),
        ])
        .expose_headers([header::ETAG, header::LOCATION, header::RETRY_AFTER, REQUEST_ID])
        .max_age(Duration::from_hours(1));
    Some(if origins.iter().any(|origin| origin == "*") {
        layer.allow_origin(tower_http::cors::Any)
    } else {
        let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
        layer.allow_origin(origins)
    })
}

/// Counts a request as in flight for as long as it lives.
struct InFlight {
    edge: Arc<Inner>,
    /// How many there are with it.
    number: usize,
}

impl InFlight {
    fn enter(edge: &Arc<Inner>) -> Self {
        let others = usize::try_from(edge.metrics.in_flight.inc()).unwrap_or(0);
        Self { edge: Arc::clone(edge), number: others + 1 }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.edge.metrics.in_flight.dec();
    }
}

impl<S> Layer<S> for Edge {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, edge: Arc::clone(&self.0), endpoint: Arc::default() }
    }
}

/// The edge around one method of one route.
///
/// A service of its own and not `middleware::from_fn`, which would box each request once more; the benchmark's first row
/// shows what that costs.
#[derive(Clone)]
pub struct Guard<S> {
    inner: S,
    edge: Arc<Inner>,
    /// Shared by the clones of this guard, of which each request gets one.
    endpoint: Arc<OnceLock<Arc<Endpoint>>>,
}

/// What does not change from request to request. Found at the first one, since only a request tells its route.
struct Endpoint {
    route: String,
    limits: Limits,
    is_health: bool,
    /// Where the usual outcome is counted: to look for it by its labels would be half of the cost of measuring.
    usual: Histogram,
}

/// The labels of the usual outcome.
const USUAL: (&str, StatusCode) = ("GET", StatusCode::OK);

impl Endpoint {
    fn new(route: &str, edge: &Inner) -> Self {
        let (method, status) = USUAL;
        let labels = RequestLabels { method, route: route.to_owned(), status: status.as_u16() };
        Self {
            limits: *edge.exceptions.get(route).unwrap_or(&edge.limits),
            is_health: matches!(route, "/healthz" | "/readyz"),
            usual: edge.metrics.seconds.get_or_create(&labels).clone(),
            route: route.to_owned(),
        }
    }

    fn observe(&self, edge: &Inner, method: &'static str, status: StatusCode, elapsed: Duration) {
        if (method, status) == USUAL {
            self.usual.observe(elapsed.as_secs_f64());
        } else {
            let labels = RequestLabels { method, route: self.route.clone(), status: status.as_u16() };
            edge.metrics.seconds.get_or_create(&labels).observe(elapsed.as_secs_f64());
        }
    }
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
        believe_proxies(&mut request, edge.trusted_proxies);
        let asked = Asked::new(&request, edge, endpoint);
        let span = tracing::info_span!(
            "request",
            request_id = asked.id(),
            method = asked.method,
            route = endpoint.route,
            trace_id = asked.trace_id,
        );
        if edge.traces {
            continue_trace(&span, request.headers());
        }
        let answer = if let Some(problem) = asked.refusal(request.headers()) {
            Answer::Refused { response: Some(problem.into_response()) }
        } else {
            if !request.body().is_end_stream() {
                DefaultBodyLimit::max(endpoint.limits.body_bytes).apply(&mut request);
            }
            let response = AssertUnwindSafe(self.inner.call(request)).catch_unwind().instrument(span);
            Answer::Handled { response }
        };
        Guarded { answer, late: None, asked: Some(asked) }
    }
}

pin_project! {
    /// The answer to a request, with what the edge does before it goes out.
    pub struct Guarded<F> {
        #[pin]
        answer: Answer<F>,
        late: Option<Pin<Box<Sleep>>>,
        asked: Option<Asked>,
    }
}

pin_project! {
    #[project = AnswerProjection]
    enum Answer<F> {
        Refused { response: Option<Response> },
        Handled { #[pin] response: Instrumented<CatchUnwind<AssertUnwindSafe<F>>> },
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Guarded<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = match this.answer.project() {
            AnswerProjection::Refused { response } => response.take().expect("polled once"),
            AnswerProjection::Handled { response } => match response.poll(context) {
                Poll::Ready(Ok(Ok(response))) => response,
                Poll::Ready(Ok(Err(never))) => match never {},
                Poll::Ready(Err(panic)) => {
                    Problem::internal(format!("panic: {}", panic_message(&*panic))).into_response()
                }
                Poll::Pending => {
                    // Only what waits gets a timer: most answers are there at once.
                    let asked = this.asked.as_ref().expect("not answered yet");
                    let late = this.late.get_or_insert_with(|| Box::pin(sleep_until(asked.deadline())));
                    ready!(late.as_mut().poll(context));
                    Problem::unavailable("The answer took too long.", 1)
                        .cause("request timeout")
                        .into_response()
                }
            },
        };
        let asked = this.asked.take().expect("answered once");
        Poll::Ready(Ok(asked.answered(response)))
    }
}

/// What is known of a request until it is answered.
struct Asked {
    endpoint: Arc<Endpoint>,
    started: Instant,
    id: HeaderValue,
    method: &'static str,
    trace_id: Option<String>,
    https: bool,
    encodings: Option<HeaderValue>,
    entry: Option<access::Entry>,
    in_flight: InFlight,
}

impl Asked {
    fn new(request: &Request, edge: &Arc<Inner>, endpoint: &Arc<Endpoint>) -> Self {
        let headers = request.headers();
        Self {
            endpoint: Arc::clone(endpoint),
            started: Instant::now(),
            id: request_id(headers),
            method: method_label(request.method()),
            trace_id: trace_id(headers).map(str::to_owned),
            https: security::asked_by_https(headers),
            encodings: headers.get(header::ACCEPT_ENCODING).cloned(),
            entry: edge
                .access_log
                .as_ref()
                .map(|_| access::Entry::new(request, ClientAddress::of(request.extensions()).0)),
            in_flight: InFlight::enter(edge),
        }
    }

    fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    fn deadline(&self) -> tokio::time::Instant {
        (self.started + self.endpoint.limits.timeout).into()
    }

    /// Why the request is not even begun.
    fn refusal(&self, headers: &HeaderMap) -> Option<Problem> {
        let limits = &self.endpoint.limits;
        if self.in_flight.number > self.in_flight.edge.concurrency && !self.endpoint.is_health {
            self.in_flight.edge.metrics.shed.inc();
            return Some(Problem::unavailable("Too many requests at once; come back in a second.", 1));
        }
        (declared_length(headers) > limits.body_bytes).then(|| {
            let detail = format!("The body is larger than {} bytes.", limits.body_bytes);
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE).detail(detail)
        })
    }

    /// The response as it goes out; measured and logged.
    fn answered(self, response: Response) -> Response {
        let (mut response, problem) = named(response, &self.id, self.in_flight.edge.detail_member);
        let (status, elapsed) = (response.status(), self.started.elapsed());
        self.endpoint.observe(&self.in_flight.edge, self.method, status, elapsed);
        let line = Line {
            id: self.id(),
            trace_id: self.trace_id.as_deref(),
            method: self.method,
            route: &self.endpoint.route,
            status,
            elapsed,
            problem: problem.as_ref(),
        };
        line.log();
        security::add(response.headers_mut(), self.https);
        response.headers_mut().insert(REQUEST_ID, self.id);
        if let Some(encodings) = self.encodings {
            response = compressed(response, encodings);
        }
        if let (Some(entry), Some(lines)) = (self.entry, &self.in_flight.edge.access_log) {
            entry.answered(&response, lines);
        }
        response
    }
}

/// A problem learns here which request it answers.
fn named(
    mut response: Response,
    id: &HeaderValue,
    detail_member: Option<&'static str>,
) -> (Response, Option<Problem>) {
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else {
        return (response, None);
    };
    if let Some(member) = detail_member {
        problem = problem.repeat_detail_as(member);
    }
    let mut named = problem.response(id.to_str().ok());
    // 405 carries the allowed methods, which the router added to the unnamed response.
    for (name, value) in response.headers() {
        if !named.headers().contains_key(name) && name != header::CONTENT_LENGTH {
            named.headers_mut().insert(name.clone(), value.clone());
        }
    }
    (named, Some(problem))
}

/// What the line of a request says.
struct Line<'a> {
    id: &'a str,
    trace_id: Option<&'a str>,
    method: &'static str,
    route: &'a str,
    status: StatusCode,
    elapsed: Duration,
    problem: Option<&'a Problem>,
}

impl Line<'_> {
    /// One line a request. The cause of a problem is logged here and nowhere else.
    ///
    /// The line tells what the request's span does and stands outside of it: to write a span into a line is dearer than
    /// all its own fields, since JSON that was made when it began is read and made again.
    fn log(&self) {
        let Self { id, trace_id, method, route, .. } = *self;
        let status = self.status.as_u16();
        let cause = self.problem.and_then(Problem::cause_chain);
        // Whole microseconds: more digits would only be noise.
        let duration_ms = f64::from(u32::try_from(self.elapsed.as_micros()).unwrap_or(u32::MAX)) / 1000.0;
        macro_rules! line {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    target: "request", parent: None,
                    request_id = id, method, route, trace_id, status, duration_ms, cause, $message
                )
            };
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            line!(warn, "request refused");
        } else if self.status.is_server_error() {
            line!(error, "request failed");
        } else {
            line!(info, "request answered");
        }
    }
}

/// The response as the client's `Accept-Encoding` would have it, where that pays: above a packet's worth of text.
fn compressed(response: Response, encodings: HeaderValue) -> Response {
    let mut asked = Request::default();
    asked.headers_mut().insert(header::ACCEPT_ENCODING, encodings);
    let mut response = Some(response);
    let answer = tower::service_fn(move |_: Request| {
        let response = response.take().expect("asked once");
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let pays = DefaultPredicate::new().and(SizeAbove::new(COMPRESSED_ABOVE));
    let packed = Compression::new(answer).compress_when(pays).oneshot(asked).now_or_never();
    match packed.expect("the layer waits for nothing but its service") {
        Ok(response) => weaken_etag_of_compressed(response.map(Body::new)),
        Err(never) => match never {},
    }
}

/// Each proxy adds to `X-Forwarded-For` the address that it was asked from: the last entry is the last proxy's word,
/// and what stands before the trusted ones' words anyone may have written.
fn believe_proxies(request: &mut Request, trusted_proxies: usize) {
    if trusted_proxies == 0 {
        return;
    }
    let forwarded = {
        let values =
            request.headers().get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let entries: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
        entries.len().checked_sub(trusted_proxies).and_then(|index| entries[index].parse::<IpAddr>().ok())
    };
    if let Some(address) = forwarded {
        request.extensions_mut().insert(ConnectInfo(ClientAddress(address.to_canonical())));
    }
}

/// The client's id where it is one that a log can hold, else a new random one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let usable = |value: &&HeaderValue| {
        (1..=128).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(&REQUEST_ID).filter(usable).cloned().unwrap_or_else(|| {
        let mut digits = [0; 32];
        let mut random = fastrand::u128(..);
        for digit in &mut digits {
            *digit = b"0123456789abcdef"[(random & 15) as usize];
            random >>= 4;
        }
        HeaderValue::from_bytes(&digits).expect("hexadecimal digits are a valid header value")
    })
}

/// The trace id of a W3C `traceparent`: `version-traceid-parentid-flags`, in lower-case hexadecimal.
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(TRACEPARENT)?.to_str().ok()?;
    let mut parts = value.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hexadecimal = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let valid = hexadecimal(version, 2)
        && version != "ff"
        && hexadecimal(trace, 32)
        && hexadecimal(parent, 16)
        && hexadecimal(flags, 2)
        && trace.bytes().any(|byte| byte != b'0')
        && parent.bytes().any(|byte| byte != b'0');
    valid.then_some(trace)
}

/// Makes the span a child of the caller's.
fn continue_trace(span: &tracing::Span, headers: &HeaderMap) {
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    struct Carrier<'a>(&'a HeaderMap);
    impl opentelemetry::propagation::Extractor for Carrier<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key)?.to_str().ok()
        }
        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(HeaderName::as_str).collect()
        }
    }
    let parent =
        opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(&Carrier(headers)));
    // Fails only where no OpenTelemetry layer is installed, and then nothing is lost.
    let _ = span.set_parent(parent);
}

/// Of the methods in use; an invented one must not make a new time series.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

fn declared_length(headers: &HeaderMap) -> usize {
    headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0)
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> Cow<'_, str> {
    panic
        .downcast_ref::<&str>()
        .map(|text| Cow::from(*text))
        .or_else(|| panic.downcast_ref::<String>().map(|text| Cow::from(text.as_str())))
        .unwrap_or(Cow::Borrowed("of no text"))
}

/// A strong `ETag` names exact bytes, and those that compression makes are others.
fn weaken_etag_of_compressed(mut response: Response) -> Response {
    if response.headers().contains_key(header::CONTENT_ENCODING)
        && let Some(tag) = response.headers().get(header::ETAG)
        && tag.as_bytes().starts_with(b"\"")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        response.headers_mut().insert(header::ETAG, weak);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_of_trusted_proxies_are_believed() {
        for (trusted, wanted) in [(0, "10.0.0.9"), (1, "3.3.3.3"), (2, "2.2.2.2"), (4, "10.0.0.9")] {
            let mut request = Request::new(axum::body::Body::empty());
            let peer: SocketAddr = "10.0.0.9:1".parse().unwrap();
            request.extensions_mut().insert(ConnectInfo(ClientAddress::connect_info(peer)));
            request.headers_mut().append("x-forwarded-for", HeaderValue::from_static("1.1.1.1, 2.2.2.2"));
            request.headers_mut().append("x-forwarded-for", HeaderValue::from_static("3.3.3.3"));
            believe_proxies(&mut request, trusted);
            assert_eq!(ClientAddress::of(request.extensions()).0.to_string(), wanted, "{trusted} proxies");
        }
    }
}
