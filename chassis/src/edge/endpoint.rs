//! What does not change from request to request of one route.

use std::time::Duration;

use http::StatusCode;
use prometheus_client::metrics::histogram::Histogram;

use super::{Edge, Limits};
use crate::metrics::RequestLabels;

/// A route and what belongs to it.
pub(super) struct Endpoint {
    pub(super) route: String,
    pub(super) limits: Limits,
    pub(super) is_health: bool,
    /// Where the usual outcome is counted: looking it up by its labels would be half of the cost of measuring.
    usual: Histogram,
}

/// The labels of the usual outcome.
const USUAL: (&str, StatusCode) = ("GET", StatusCode::OK);

impl Endpoint {
    pub(super) fn new(route: &str, edge: &Edge) -> Self {
        let (method, status) = USUAL;
        let labels = RequestLabels { method, route: route.to_owned(), status: status.as_u16() };
        Self {
            limits: *edge.options.limits.get(route).unwrap_or(&edge.limits),
            is_health: matches!(route, "/healthz" | "/readyz"),
            usual: edge.metrics.seconds.get_or_create(&labels).clone(),
            route: route.to_owned(),
        }
    }

    /// Measures an answer.
    pub(super) fn observe(&self, edge: &Edge, method: &'static str, status: StatusCode, elapsed: Duration) {
        if (method, status) == USUAL {
            self.usual.observe(elapsed.as_secs_f64());
        } else {
            let labels = RequestLabels { method, route: self.route.clone(), status: status.as_u16() };
            edge.metrics.seconds.get_or_create(&labels).observe(elapsed.as_secs_f64());
        }
    }
}
