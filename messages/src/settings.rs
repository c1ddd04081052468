//! The settings of `messages`. Their defaults and meanings stand in `settings.toml`, which is compiled in.

use std::{fs, path::PathBuf};

use chassis::{
    logfile::LogFileSettings,
    server::ServerSettings,
    settings::{List, Settings as ChassisSettings, is_set},
    telemetry::TelemetrySettings,
};
use secrecy::SecretString;
use serde::Deserialize;

/// Everything that can be configured.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where and how to listen.
    pub server: ServerSettings,
    /// Logs and traces.
    pub telemetry: TelemetrySettings,
    /// Certificate and key.
    pub tls: TlsSettings,
    /// What a request may ask for.
    pub api: ApiSettings,
    /// The embedded store.
    pub store: StoreSettings,
    /// The store in Redis.
    pub redis: RedisSettings,
    /// Log files.
    pub logs: LogFileSettings,
}

/// Certificate and key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// HTTPS or plain HTTP.
    pub enabled: bool,
    /// Where certificate and key are, or are made.
    pub folder: PathBuf,
    /// Whom a certificate names that is made.
    pub hosts: List,
}

/// What a request may ask for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiSettings {
    /// The longest message.
    pub message_limit_bytes: usize,
}

/// The embedded store.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// Its file.
    pub file: PathBuf,
    /// Memory for parts of the file.
    pub cache_bytes: usize,
}

/// The store in Redis.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    /// Empty: the embedded store.
    pub host: List,
    /// Of hosts that name none.
    pub port: u16,
    /// Empty: the default user.
    pub user: String,
    password: SecretString,
    password_file: String,
    /// Whether to speak TLS.
    pub tls: bool,
    /// Empty: the system's authorities.
    pub tls_ca_file: String,
    /// Whether the hosts are of a cluster.
    pub cluster: bool,
    /// Replicas of a single server.
    pub read_hosts: List,
    /// Whether replicas of a cluster are read.
    pub cluster_read_replicas: bool,
    /// To connect, and to answer.
    pub timeout_seconds: f64,
}

impl RedisSettings {
    /// The password, empty where there is none.
    pub fn password(&self) -> Result<SecretString, String> {
        if is_set(&self.password) || self.password_file.is_empty() {
            return Ok(self.password.clone());
        }
        let password = fs::read_to_string(&self.password_file)
            .map_err(|error| format!("redis.password_file: cannot read {}: {error}", self.password_file))?;
        Ok(password.trim_end_matches(['\r', '\n']).into())
    }
}

/// The flat names that platforms give.
#[derive(Debug, Deserialize)]
pub struct Platform {
    port: Option<String>,
    rust_log: Option<String>,
    otel_exporter_otlp_endpoint: Option<String>,
    messages_file: Option<String>,
    messages_log_dir: Option<String>,
    messages_redis_host: Option<String>,
    messages_redis_port: Option<String>,
    messages_redis_user: Option<String>,
    messages_redis_password: Option<String>,
    messages_redis_password_file: Option<String>,
    messages_redis_tls: Option<String>,
    messages_redis_tls_ca_file: Option<String>,
    messages_redis_cluster: Option<String>,
    messages_redis_read_hosts: Option<String>,
}

impl ChassisSettings for Settings {
    type Platform = Platform;

    const SERVICE: &'static str = "messages";
    const DEFAULTS: &'static str = include_str!("settings.toml");

    fn platform_values(platform: Platform) -> Vec<(&'static str, &'static str, Option<String>)> {
        vec![
            ("PORT", "server.port", platform.port),
            ("RUST_LOG", "telemetry.log_filter", platform.rust_log),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint", platform.otel_exporter_otlp_endpoint),
            ("MESSAGES_FILE", "store.file", platform.messages_file),
            ("MESSAGES_LOG_DIR", "logs.folder", platform.messages_log_dir),
            ("MESSAGES_REDIS_HOST", "redis.host", platform.messages_redis_host),
            ("MESSAGES_REDIS_PORT", "redis.port", platform.messages_redis_port),
            ("MESSAGES_REDIS_USER", "redis.user", platform.messages_redis_user),
            ("MESSAGES_REDIS_PASSWORD", "redis.password", platform.messages_redis_password),
            ("MESSAGES_REDIS_PASSWORD_FILE", "redis.password_file", platform.messages_redis_password_file),
            ("MESSAGES_REDIS_TLS", "redis.tls", platform.messages_redis_tls),
            ("MESSAGES_REDIS_TLS_CA_FILE", "redis.tls_ca_file", platform.messages_redis_tls_ca_file),
            ("MESSAGES_REDIS_CLUSTER", "redis.cluster", platform.messages_redis_cluster),
            ("MESSAGES_REDIS_READ_HOSTS", "redis.read_hosts", platform.messages_redis_read_hosts),
        ]
    }

    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = self.server.faults();
        faults.extend(self.telemetry.faults());
        faults.extend(self.logs.faults());
        let limit = self.api.message_limit_bytes;
        if !(1..=1 << 28).contains(&limit) {
            faults.push(("api.message_limit_bytes", "must be from 1 to 256 MiB".to_owned()));
        } else if self.server.body_limit_bytes < 6 * limit + 1024 {
            let least = 6 * limit + 1024;
            faults.push((
                "server.body_limit_bytes",
                format!(
                    "must be at least {least}, or messages of api.message_limit_bytes ({limit}) would not fit"
                ),
            ));
        }
        if self.tls.enabled && self.tls.hosts.0.is_empty() {
            faults.push(("tls.hosts", "must name a host".to_owned()));
        }
        if !self.tls.enabled && !self.server.tls_certificate_file.is_empty() {
            faults.push(("server.tls_certificate_file", "is of no use without tls.enabled".to_owned()));
        }
        let redis = &self.redis;
        if !(redis.timeout_seconds > 0.0 && redis.timeout_seconds < self.server.request_timeout_seconds) {
            faults.push((
                "redis.timeout_seconds",
                format!(
                    "must be above 0 and below server.request_timeout_seconds ({})",
                    self.server.request_timeout_seconds
                ),
            ));
        }
        if redis.host.0.len() > 1 && !redis.cluster {
            faults.push(("redis.host", "names several hosts, which needs redis.cluster".to_owned()));
        }
        if redis.cluster && !redis.read_hosts.0.is_empty() {
            faults.push(("redis.read_hosts", "a cluster has redis.cluster_read_replicas instead".to_owned()));
        }
        if !redis.host.0.is_empty()
            && let Err(fault) = redis.password()
        {
            faults.push(("redis.password_file", fault));
        }
        faults
    }
}
