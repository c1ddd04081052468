//! The certificate: read at start, and again when it changes.

use std::{
    path::PathBuf,
    sync::Arc,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

use axum_server::tls_rustls::RustlsConfig;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
    registry::Registry,
};
use tokio::signal::unix::Signal;
use x509_parser::pem::Pem;

use crate::{Exit, Failure, exit::OrFail};

/// How often the files are looked at, so that a certificate that was renewed without a signal is used soon.
const LOOK_AT_FILES: Duration = Duration::from_secs(2);

/// A certificate and its key; cheap to clone.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(super) config: RustlsConfig,
    certificate: PathBuf,
    key: PathBuf,
    /// When the files were last written before they were read.
    read: [Option<SystemTime>; 2],
    /// When the certificate expires, in seconds since 1970; 0 where it cannot be read.
    expiry: Arc<AtomicI64>,
}

impl Tls {
    /// Reads a pair of PEM files.
    pub(super) async fn open((certificate, key): (PathBuf, PathBuf)) -> Result<Self, Failure> {
        crate::use_ring();
        let read = modified([&certificate, &key]);
        let config = RustlsConfig::from_pem_file(&certificate, &key).await.or_fail(Exit::Failure, || {
            format!("cannot use {} with {}", certificate.display(), key.display())
        })?;
        let tls = Self { config, certificate, key, read, expiry: Arc::default() };
        tls.read_expiry();
        Ok(tls)
    }

    /// Uses the files anew when they change and on SIGHUP, until it is dropped. `hangup` must listen before the process
    /// says that it does, or a signal that follows at once would be lost.
    pub(super) async fn keep_fresh(self, mut hangup: Signal) {
        let mut look = tokio::time::interval(LOOK_AT_FILES);
        let mut last = self.read;
        loop {
            let is_asked = tokio::select! {
                _ = hangup.recv() => true,
                _ = look.tick() => false,
            };
            let now = modified([&self.certificate, &self.key]);
            if is_asked || now != last {
                last = now;
                self.reload().await;
            }
        }
    }

    async fn reload(&self) {
        match self.config.reload_from_pem_file(&self.certificate, &self.key).await {
            Ok(()) => {
                self.read_expiry();
                tracing::info!(certificate = %self.certificate.display(), "certificate reloaded");
            }
            Err(error) => tracing::error!(%error, "cannot use the new certificate; the old one stays in use"),
        }
    }

    fn read_expiry(&self) {
        let read = || {
            let text = std::fs::read(&self.certificate).ok()?;
            let first = Pem::iter_from_buffer(&text).next()?.ok()?;
            Some(first.parse_x509().ok()?.validity().not_after.timestamp())
        };
        self.expiry.store(read().unwrap_or(0), Ordering::Relaxed);
    }

    /// Registers when the certificate expires.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Expiry(Arc::clone(&self.expiry))));
    }
}

/// When the files were last written. A pair that is half written is refused by the reload, and the other half makes
/// another change.
fn modified(files: [&PathBuf; 2]) -> [Option<SystemTime>; 2] {
    files.map(|file| std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok())
}

#[derive(Debug)]
struct Expiry(Arc<AtomicI64>);

impl Collector for Expiry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let expiry = self.0.load(Ordering::Relaxed);
        if expiry == 0 {
            return Ok(());
        }
        let gauge = ConstGauge::new(expiry);
        let (name, help) = ("tls_certificate_expiry_timestamp_seconds", "When the certificate expires");
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
    }
}
