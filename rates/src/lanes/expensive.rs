//! Admission of expensive reads: those that compute statistics from prices, because they are not stored yet.
//!
//! One of them can keep the database busy for seconds, and anyone may ask for them. They get a small share of the
//! connections; what exceeds it is refused soon, so that ordinary reads, key checks and `/readyz` keep theirs.

use std::{sync::Arc, time::Duration};

use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::settings::ApiSettings;

/// Admits expensive reads.
#[derive(Debug)]
pub struct ExpensiveReads {
    permits: Arc<Semaphore>,
    wait: Duration,
    admitted: Counter,
    refused: Counter,
}

/// Lets one expensive read run for as long as it is kept.
#[derive(Debug)]
pub(super) struct Permit(#[expect(dead_code, reason = "kept to be dropped")] OwnedSemaphorePermit);

impl ExpensiveReads {
    pub(super) fn new(settings: &ApiSettings) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(settings.expensive_reads)),
            wait: Duration::from_secs_f64(settings.expensive_wait_seconds),
            admitted: Counter::default(),
            refused: Counter::default(),
        }
    }

    /// Waits for a short time until one more may run; none if none may.
    pub(super) async fn admit(&self) -> Option<Permit> {
        // The semaphore is never closed, so the only error is that the time is over.
        if let Ok(Ok(permit)) = timeout(self.wait, Arc::clone(&self.permits).acquire_owned()).await {
            self.admitted.inc();
            return Some(Permit(permit));
        }
        self.refused.inc();
        None
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            (
                "rates_expensive_reads_admitted",
                "Reads of prices for statistics that were let run",
                &self.admitted,
            ),
            (
                "rates_expensive_reads_refused",
                "Reads of prices for statistics answered 503 because too many ran",
                &self.refused,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
    }
}
