//! When a request ends. A body of known length is written at once, so the request ends with the head. A request whose
//! body is streamed stays in flight until the body ends, within the time of the request.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, HttpBody},
    response::Response,
};
use http::StatusCode;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{access, limits::InFlight};
use crate::body::{GuardedBody, WhileSending, is_whole};

/// Keeps the request in flight until the response has been sent, and then logs the number of bytes.
pub(super) fn guard(
    response: Response,
    in_flight: InFlight,
    access: Option<access::Entry>,
    deadline: Instant,
) -> Response {
    if is_whole(response.body()) {
        if let (Some(entry), Some(log)) = (access, &in_flight.edge.access_log) {
            let line = entry.answered(response.status());
            log.put(&line.line(response.body().size_hint().exact().unwrap_or(0)));
        }
        return response;
    }
    Sending::new(in_flight, access, response.status(), deadline).guard(response)
}

/// An answer that is being sent.
pub(super) struct Sending {
    in_flight: InFlight,
    late: Pin<Box<Sleep>>,
    access: Option<access::Entry>,
    bytes: u64,
}

impl Sending {
    pub(super) fn new(
        in_flight: InFlight,
        access: Option<access::Entry>,
        status: StatusCode,
        deadline: Instant,
    ) -> Self {
        let access = access.map(|entry| entry.answered(status));
        Self { in_flight, late: Box::pin(sleep_until(deadline)), access, bytes: 0 }
    }

    /// Lasts until the response has been sent.
    pub(super) fn guard(mut self, response: Response) -> Response {
        if is_whole(response.body()) {
            self.bytes = response.body().size_hint().exact().unwrap_or(0);
            return response;
        }
        response.map(|body| Body::new(GuardedBody::new(body, Some(self))))
    }
}

impl WhileSending for Sending {
    fn poll_cut(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.late.as_mut().poll(context)
    }

    fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let edge = Arc::clone(&self.in_flight.edge);
        if let (Some(entry), Some(log)) = (self.access.take(), &edge.access_log) {
            log.put(&entry.line(self.bytes));
        }
    }
}
