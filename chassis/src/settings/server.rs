//! The `[server]` section. Meanings and defaults stand in `defaults.toml`.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{Fault, List};

/// Where and how to listen.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 takes any free one.
    pub port: u16,
    /// The address of the metrics port.
    pub metrics_host: IpAddr,
    /// The metrics port; 0 takes any free one.
    pub metrics_port: u16,
    /// PEM file of the certificate chain.
    pub tls_certificate_file: PathBuf,
    /// PEM file of the private key.
    pub tls_key_file: PathBuf,
    /// A slower request is answered 503, in seconds.
    pub request_timeout_seconds: f64,
    /// After SIGTERM, connections are accepted for this time, in seconds.
    pub lame_duck_seconds: f64,
    /// After that, requests in flight have this time to end, in seconds.
    pub drain_seconds: f64,
    /// A connection without a request is closed after this time, in seconds.
    pub idle_seconds: f64,
    /// A connection whose client takes nothing of an answer is closed after this time, in seconds.
    pub write_timeout_seconds: f64,
    /// More requests in flight are refused.
    pub concurrency: usize,
    /// The largest request body, in bytes.
    pub body_limit_bytes: usize,
    /// How many proxies each request passes.
    pub trusted_proxies: usize,
    /// Origins whose pages may read answers.
    pub cors_origins: List,
}

impl ServerSettings {
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if !(self.request_timeout_seconds > 0.0 && self.request_timeout_seconds <= 3600.0) {
            faults.push(("server.request_timeout_seconds", "must be above 0 and at most 3600".to_owned()));
        }
        if !(self.lame_duck_seconds >= 0.0 && self.lame_duck_seconds <= 3600.0) {
            faults.push(("server.lame_duck_seconds", "must be at least 0 and at most 3600".to_owned()));
        }
        if !(self.drain_seconds > self.request_timeout_seconds && self.drain_seconds <= 7200.0) {
            let least = self.request_timeout_seconds;
            let fault = format!(
                "must be above server.request_timeout_seconds ({least}), or a stop would cut requests that are in \
                 time, and at most 7200"
            );
            faults.push(("server.drain_seconds", fault));
        }
        if !(self.idle_seconds > 0.0 && self.idle_seconds <= 86_400.0) {
            faults.push(("server.idle_seconds", "must be above 0 and at most 86400".to_owned()));
        }
        if !(self.write_timeout_seconds > 0.0 && self.write_timeout_seconds <= 3600.0) {
            faults.push(("server.write_timeout_seconds", "must be above 0 and at most 3600".to_owned()));
        }
        if self.concurrency == 0 {
            faults.push(("server.concurrency", "must be above 0".to_owned()));
        }
        if self.tls_certificate_file.as_os_str().is_empty() != self.tls_key_file.as_os_str().is_empty() {
            let fault = "server.tls_certificate_file and server.tls_key_file must be set together";
            faults.push(("server.tls_key_file", fault.to_owned()));
        }
        for origin in &self.cors_origins.0 {
            if origin != "*" && !origin.starts_with("http://") && !origin.starts_with("https://") {
                let fault = format!("{origin:?} is not an origin like https://example.com");
                faults.push(("server.cors_origins", fault));
            }
        }
        faults
    }

    /// Certificate and key, where the server speaks HTTPS.
    pub(crate) fn tls_files(&self) -> Option<(PathBuf, PathBuf)> {
        (!self.tls_certificate_file.as_os_str().is_empty())
            .then(|| (self.tls_certificate_file.clone(), self.tls_key_file.clone()))
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.request_timeout_seconds)
    }

    pub(crate) fn lame_duck(&self) -> Duration {
        Duration::from_secs_f64(self.lame_duck_seconds)
    }

    pub(crate) fn write_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.write_timeout_seconds)
    }

    pub(crate) fn drain(&self) -> Duration {
        Duration::from_secs_f64(self.drain_seconds)
    }

    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs_f64(self.idle_seconds)
    }
}
