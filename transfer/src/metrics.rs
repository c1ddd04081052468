//! What the sender measures.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
    registry::Registry,
};

/// The values that the sender sets; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(Arc<Values>);

#[derive(Debug)]
struct Values {
    waiting: AtomicI64,
    sent: AtomicI64,
    refused: AtomicI64,
    /// In seconds since 1970; the start of the process until the first.
    last_success: AtomicI64,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self(Arc::new(Values {
            waiting: AtomicI64::new(0),
            sent: AtomicI64::new(0),
            refused: AtomicI64::new(0),
            last_success: AtomicI64::new(now()),
        }));
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    /// So many files wait to be sent.
    pub(crate) fn waiting(&self, files: usize) {
        self.0.waiting.store(files.try_into().unwrap_or(i64::MAX), Relaxed);
    }

    /// So many files are done, and so many set aside.
    pub(crate) fn finished(&self, sent: usize, refused: usize) {
        self.0.sent.store(sent.try_into().unwrap_or(i64::MAX), Relaxed);
        self.0.refused.store(refused.try_into().unwrap_or(i64::MAX), Relaxed);
    }

    /// A file was sent.
    pub(crate) fn succeeded(&self) {
        self.0.last_success.store(now(), Relaxed);
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Values { waiting, sent, refused, last_success } = &*self.0;
        for (name, help, value) in [
            ("waiting_files", "Files that wait to be sent", waiting.load(Relaxed)),
            ("sent_files", "Files of the status file that were sent", sent.load(Relaxed)),
            ("refused_files", "Files that were set aside", refused.load(Relaxed)),
            (
                "last_success_age_seconds",
                "Time since a file was last sent, or since the start",
                now() - last_success.load(Relaxed),
            ),
        ] {
            let gauge = ConstGauge::new(value);
            let name = format!("transfer_{name}");
            gauge.encode(encoder.encode_descriptor(&name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs().try_into().unwrap_or(i64::MAX))
}
