//! The metrics of a queue.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use tokio::time::sleep;

use crate::Stop;

/// How often the depth of the queue is measured.
const MEASURE: Duration = Duration::from_secs(5);

/// The numbers of a queue; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct QueueMetrics(Arc<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    done: AtomicU64,
    failed_attempts: AtomicU64,
    /// None while the database does not say.
    depth: Mutex<Option<Depth>>,
}

/// What waits in a queue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Depth {
    /// Jobs that are not done, those in work included.
    pub waiting: i64,
    /// How long the oldest of them has waited, in seconds; 0 if none waits.
    pub oldest_seconds: f64,
    /// Jobs that were given up.
    pub dead: i64,
}

impl QueueMetrics {
    pub(crate) fn done(&self, jobs: usize) {
        self.0.done.fetch_add(u64::try_from(jobs).unwrap_or(0), Ordering::Relaxed);
    }

    pub(crate) fn failed_attempt(&self) {
        self.0.failed_attempts.fetch_add(1, Ordering::Relaxed);
    }

    /// Measures the depth of the queue again and again until the stop begins.
    pub(crate) async fn measure<F>(&self, stop: &Stop, depth: impl Fn() -> F)
    where
        F: Future<Output = Option<Depth>>,
    {
        while !stop.has_begun() {
            let depth = depth().await;
            *self.0.depth.lock().unwrap_or_else(PoisonError::into_inner) = depth;
            tokio::select! {
                () = stop.begun() => {}
                () = sleep(MEASURE) => {}
            }
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }
}

impl Collector for QueueMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Numbers { done, failed_attempts, depth } = &*self.0;
        for (name, help, value) in [
            ("jobs_done", "Jobs that this process has done", done),
            ("jobs_failed_attempts", "Attempts at jobs that failed in this process", failed_attempts),
        ] {
            let counter = ConstCounter::new(value.load(Ordering::Relaxed));
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let Some(depth) = *depth.lock().unwrap_or_else(PoisonError::into_inner) else { return Ok(()) };
        for (name, help, value) in [
            (
                "jobs_waiting",
                "Jobs in the queue, those in work included; the same in every process",
                depth.waiting,
            ),
            ("jobs_dead", "Jobs that were given up; the same in every process", depth.dead),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let gauge = ConstGauge::new(depth.oldest_seconds);
        let (name, help) = ("jobs_oldest_seconds", "Time that the oldest job has waited; 0 where none waits");
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
    }
}
