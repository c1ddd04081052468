//! What is known of a request until it is answered.

use std::{sync::Arc, time::Instant};

use axum::{extract::Request, response::Response};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

use super::{
    ClientAddress, Edge, access,
    compress::{self, Outgoing},
    endpoint::Endpoint,
    headers,
    limits::{self, InFlight},
    log::{RequestLine, UNANSWERED},
    problems,
    streaming::{self, Sending},
    trace,
};
use crate::{Problem, compression::Coding};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the edge keeps of a request while its handler has it.
pub(super) struct RequestInfo {
    endpoint: Arc<Endpoint>,
    started: Instant,
    id: HeaderValue,
    method: &'static str,
    trace_id: Option<String>,
    is_https: bool,
    details: Option<Details>,
    coding: Option<Coding>,
    access: Option<access::Entry>,
    in_flight: InFlight,
}

/// What the log says of a request that fails.
struct Details {
    uri: Uri,
    client: ClientAddress,
    accept: Option<HeaderValue>,
}

impl RequestInfo {
    /// Without the details for a failure; see [`Self::keep_details`].
    pub(super) fn new(
        request: &Request,
        edge: &Arc<Edge>,
        endpoint: &Arc<Endpoint>,
        started: Instant,
    ) -> Self {
        let headers = request.headers();
        let access = || access::Entry::new(request, ClientAddress::of(request.extensions()).0);
        Self {
            endpoint: Arc::clone(endpoint),
            started,
            id: request_id(headers),
            method: method_label(request.method()),
            trace_id: trace::trace_id(headers).map(str::to_owned),
            is_https: headers::is_https(headers),
            details: None,
            coding: Coding::preferred(
                headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()),
            ),
            access: edge.access_log.as_ref().map(|_| access()),
            in_flight: InFlight::enter(edge),
        }
    }

    /// Keeps the details for a failure. An answer that is ready does not fail, and does without this cost.
    pub(super) fn keep_details(&mut self, request: &Request) {
        self.details = Some(Details {
            uri: request.uri().clone(),
            client: ClientAddress::of(request.extensions()),
            accept: request.headers().get(header::ACCEPT).cloned(),
        });
    }

    fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    /// The span that the handler's log lines stand in.
    pub(super) fn span(&self) -> tracing::Span {
        tracing::info_span!(
            "request",
            request_id = self.id(),
            method = self.method,
            route = self.endpoint.route,
            trace_id = self.trace_id,
        )
    }

    /// When the time for this request is over.
    pub(super) fn deadline(&self) -> tokio::time::Instant {
        (self.started + self.endpoint.limits.timeout).into()
    }

    /// The refusal of a request that does not reach its handler.
    pub(super) fn refusal(&self, request: &Request) -> Option<Problem> {
        let too_many = if self.endpoint.is_health { None } else { self.in_flight.refuse() };
        too_many
            .or_else(|| limits::refuse_host(request.version(), request.headers()))
            .or_else(|| self.endpoint.limits.refuse_body(request.headers()))
    }

    /// The response as it goes out; measured and logged.
    pub(super) fn finish(self, response: Response) -> Outgoing {
        let accept = self.details.as_ref().and_then(|details| details.accept.as_ref());
        let (mut response, problem) =
            problems::complete(response, &self.id, accept, &self.in_flight.edge.options);
        self.measure(response.status(), problem.as_ref());
        headers::add(response.headers_mut(), self.is_https);
        let deadline = self.deadline();
        response.headers_mut().insert(REQUEST_ID, self.id);
        let status = response.status();
        match compress::response(response, self.coding, deadline) {
            Outgoing::Ready(response) => {
                Outgoing::Ready(streaming::guard(response, self.in_flight, self.access, deadline))
            }
            Outgoing::Compressing(response) => {
                let sending = Sending::new(self.in_flight, self.access, status, deadline);
                Outgoing::Compressing(async move { sending.guard(response.await) }.boxed())
            }
        }
    }

    /// A request that ends without an answer, mostly since its client has left; measured and logged.
    pub(super) fn finish_unanswered(mut self) {
        let status = StatusCode::from_u16(UNANSWERED).expect("three digits");
        self.measure(status, None);
        if let (Some(entry), Some(log)) = (self.access.take(), &self.in_flight.edge.access_log) {
            log.put(&entry.answered(status).line(0));
        }
    }

    fn measure(&self, status: StatusCode, problem: Option<&Problem>) {
        let elapsed = self.started.elapsed();
        self.endpoint.observe(&self.in_flight.edge, self.method, status, elapsed);
        let line = RequestLine {
            id: self.id(),
            trace_id: self.trace_id.as_deref(),
            method: self.method,
            route: &self.endpoint.route,
            requested: self.details.as_ref().map(|Details { uri, client, .. }| (uri, *client)),
            status,
            elapsed,
            problem,
        };
        line.log();
    }
}

/// The client's id if it is fit for a log, else a new random one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_usable = |value: &&HeaderValue| {
        (1..=128).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(&REQUEST_ID).filter(is_usable).cloned().unwrap_or_else(|| {
        let mut digits = [0; 32];
        let mut random = fastrand::u128(..);
        for digit in &mut digits {
            *digit = b"0123456789abcdef"[(random & 15) as usize];
            random >>= 4;
        }
        HeaderValue::from_bytes(&digits).expect("hexadecimal digits are a valid header value")
    })
}

/// The method if it is a usual one, else `OTHER`, so that clients cannot make new time series.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}
