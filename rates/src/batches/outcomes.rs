//! How batches end, counted.

use chassis::Problem;
use http::StatusCode;
use prometheus_client::{metrics::counter::Counter, registry::Registry};

/// Counts since the start of this instance. What was sent again and what is no batch at all (no key, wrong media type)
/// counts nowhere.
#[derive(Debug, Default)]
pub struct Outcomes {
    done: Counter,
    refused: Counter,
    failed: Counter,
}

impl Outcomes {
    pub(crate) fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            ("rates_batches_done", "Batches put in", &self.done),
            ("rates_batches_refused", "Batches refused for what they contain", &self.refused),
            ("rates_batches_failed", "Batches that failed on our side", &self.failed),
        ] {
            registry.register(name, help, counter.clone());
        }
    }

    /// A batch was put in.
    pub(crate) fn done(&self) {
        self.done.inc();
    }

    /// A batch was not put in, and this is what its supplier is told.
    pub(crate) fn ended_by(&self, problem: &Problem) {
        if problem.status() == StatusCode::UNPROCESSABLE_ENTITY {
            self.refused.inc();
        } else if problem.status().is_server_error() {
            self.failed.inc();
        }
    }
}
