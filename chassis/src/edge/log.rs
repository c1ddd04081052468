//! One log line for each request.

use std::time::Duration;

use http::{StatusCode, Uri};

use super::ClientAddress;
use crate::Problem;

/// The status of a request without an answer, which no client gets to see; nginx has it too.
pub(super) const UNANSWERED: u16 = 499;

/// What the line of a request says.
pub(super) struct RequestLine<'a> {
    pub(super) id: &'a str,
    pub(super) trace_id: Option<&'a str>,
    pub(super) method: &'static str,
    pub(super) route: &'a str,
    /// What was asked, and by whom.
    pub(super) requested: Option<(&'a Uri, ClientAddress)>,
    pub(super) status: StatusCode,
    pub(super) elapsed: Duration,
    pub(super) problem: Option<&'a Problem>,
}

impl RequestLine<'_> {
    /// Logs the line. The cause of a problem is logged here and nowhere else. The line of a failed request also has the
    /// query, the client and the text of the answer.
    ///
    /// The line is outside of the request's span and repeats its fields. To write a span into a line costs more than
    /// all other fields, since the JSON of the span is parsed and written again.
    pub(super) fn log(&self) {
        let Self { id, trace_id, method, route, .. } = *self;
        let status = self.status.as_u16();
        // Whole microseconds: more digits would only be noise.
        let duration_ms = f64::from(u32::try_from(self.elapsed.as_micros()).unwrap_or(u32::MAX)) / 1000.0;
        let failed = self.status.is_client_error() || self.status.is_server_error();
        let requested = self.requested.filter(|_| failed);
        let url = requested.map(|(uri, _)| uri.path_and_query().map_or("*", |target| target.as_str()));
        let client = requested.map(|(_, client)| client.0.to_string());
        let reason = self.problem.and_then(Problem::reason);
        let reason = reason.as_deref();
        let cause = self.problem.and_then(Problem::cause_chain);
        macro_rules! line {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    target: "request", parent: None,
                    request_id = id, method, route, trace_id, status, duration_ms, url, client, reason, cause, $message
                )
            };
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            line!(warn, "request refused");
        } else if self.status.is_server_error() {
            line!(error, "request failed");
        } else if status == UNANSWERED {
            line!(info, "request ended without an answer");
        } else {
            line!(info, "request answered");
        }
    }
}
