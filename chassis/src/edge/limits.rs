//! Limits of requests in flight, time and body, and the check for exactly one `Host`.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, StatusCode, Version, header, uri::Authority};

use super::Edge;
use crate::Problem;

/// How long a request may take and how large its body may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A request is cut after this time, including the time to send an answer of unknown length.
    pub timeout: Duration,
    /// The largest request body, in bytes.
    pub body_bytes: usize,
}

impl Limits {
    /// The refusal of a request whose declared body is too large.
    pub(super) fn refuse_body(&self, headers: &HeaderMap) -> Option<Problem> {
        let declared =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let too_large = declared.unwrap_or(0_usize) > self.body_bytes;
        too_large.then(|| {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE)
                .detail(format!("The body is larger than {} bytes.", self.body_bytes))
        })
    }
}

/// The refusal of a request over HTTP/1.1 without exactly one valid `Host` (RFC 9112, 3.2). With two, we might read
/// another one than a proxy before us checked.
pub(super) fn refuse_host(version: Version, headers: &HeaderMap) -> Option<Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let detail = match (hosts.next(), hosts.next()) {
        _ if version != Version::HTTP_11 => return None,
        (Some(host), None) if is_host(host) => return None,
        (Some(_), None) => "The header Host is not a host name or address, with or without a port.",
        (Some(_), Some(_)) => "The header Host is there more than once; send it once.",
        (None, _) => "The header Host is missing; HTTP/1.1 needs it.",
    };
    Some(Problem::new(StatusCode::BAD_REQUEST).detail(detail))
}

/// An empty `Host` is valid if the target has no authority.
fn is_host(value: &HeaderValue) -> bool {
    let host = value.as_bytes();
    host.is_empty() || !host.contains(&b'@') && Authority::try_from(host).is_ok()
}

/// Counts a request as in flight for as long as it lives.
pub(super) struct InFlight {
    pub(super) edge: Arc<Edge>,
    /// How many were in flight when it came, itself included.
    number: usize,
}

impl InFlight {
    pub(super) fn enter(edge: &Arc<Edge>) -> Self {
        let others = usize::try_from(edge.metrics.in_flight.inc()).unwrap_or(0);
        Self { edge: Arc::clone(edge), number: others + 1 }
    }

    /// The refusal, if too many requests are in flight.
    pub(super) fn refuse(&self) -> Option<Problem> {
        (self.number > self.edge.concurrency).then(|| {
            self.edge.metrics.shed.inc();
            Problem::unavailable("Too many requests at once; come back in a second.", 1)
        })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.edge.metrics.in_flight.dec();
    }
}
