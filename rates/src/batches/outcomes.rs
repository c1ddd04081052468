//! Counters of how batches end.

use chassis::Problem;
use http::StatusCode;
use prometheus_client::{metrics::counter::Counter, registry::Registry};

/// Counters since this instance started. Repeated batches, and requests without a batch (no key, wrong media type), are
/// not counted.
#[derive(Debug, Default)]
pub struct Outcomes {
    done: Counter,
    refused: Counter,
    failed: Counter,
}

impl Outcomes {
    pub(crate) fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            ("rates_batches_done", "Batches stored", &self.done),
            ("rates_batches_refused", "Batches rejected for their content", &self.refused),
            ("rates_batches_failed", "Batches that failed because of the service", &self.failed),
        ] {
            registry.register(name, help, counter.clone());
        }
    }

    /// Counts a batch that was stored.
    pub(crate) fn count_done(&self) {
        self.done.inc();
    }

    /// Counts a batch that ended with this problem.
    pub(crate) fn count_problem(&self, problem: &Problem) {
        if problem.status() == StatusCode::UNPROCESSABLE_ENTITY {
            self.refused.inc();
        } else if problem.status().is_server_error() {
            self.count_failed();
        }
    }

    /// Counts a batch that failed because of the service.
    pub(crate) fn count_failed(&self) {
        self.failed.inc();
    }
}
