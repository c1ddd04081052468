//! The settings of `messages`. `settings.toml`, which is compiled in, has their defaults and meanings.

use std::path::PathBuf;

use chassis::{
    Failure,
    embedded::FileSettings,
    settings::{Fault, Flat, List, ShellSettings, read_secret},
};
use secrecy::SecretString;
use serde::Deserialize;

/// The settings of `messages`, in addition to those of every service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Certificate and key.
    pub tls: TlsSettings,
    /// Limits of requests.
    pub api: ApiSettings,
    /// The embedded store.
    pub store: FileSettings,
    /// The store in Redis.
    pub redis: RedisSettings,
}

/// Certificate and key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// HTTPS or plain HTTP.
    pub enabled: bool,
    /// The folder of certificate and key.
    pub folder: PathBuf,
    /// The names in a certificate that is made.
    pub hosts: List,
}

/// Limits of requests.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiSettings {
    /// The longest message.
    pub message_limit_bytes: usize,
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
    pub fn password(&self) -> Result<SecretString, Failure> {
        read_secret(&self.password, &self.password_file)
    }
}

const FLAT: &[Flat] = &[
    Flat::new("MESSAGES_FILE", "store.file"),
    Flat::new("MESSAGES_LOG_DIR", "logs.folder").empty_counts(),
    Flat::new("MESSAGES_REDIS_HOST", "redis.host"),
    Flat::new("MESSAGES_REDIS_PORT", "redis.port"),
    Flat::new("MESSAGES_REDIS_USER", "redis.user"),
    Flat::new("MESSAGES_REDIS_PASSWORD", "redis.password"),
    Flat::new("MESSAGES_REDIS_PASSWORD_FILE", "redis.password_file"),
    Flat::new("MESSAGES_REDIS_TLS", "redis.tls"),
    Flat::new("MESSAGES_REDIS_TLS_CA_FILE", "redis.tls_ca_file"),
    Flat::new("MESSAGES_REDIS_CLUSTER", "redis.cluster"),
    Flat::new("MESSAGES_REDIS_READ_HOSTS", "redis.read_hosts"),
];

impl chassis::settings::Settings for Settings {
    const DEFAULTS: &'static [&'static str] = &[include_str!("settings.toml")];
    const FLAT: &'static [&'static [Flat]] = &[FLAT];

    fn faults(&self, shell: &ShellSettings) -> Vec<Fault> {
        let mut faults = Vec::new();
        let limit = self.api.message_limit_bytes;
        if !(1..=1 << 28).contains(&limit) {
            faults.push(("api.message_limit_bytes", "must be from 1 to 256 MiB".to_owned()));
        } else if shell.server.body_limit_bytes < 6 * limit + 1024 {
            let least = 6 * limit + 1024;
            let fault = format!(
                "must be at least {least}, or messages of api.message_limit_bytes ({limit}) would not fit"
            );
            faults.push(("server.body_limit_bytes", fault));
        }
        if self.tls.enabled && self.tls.hosts.0.is_empty() {
            faults.push(("tls.hosts", "must name a host".to_owned()));
        }
        if !self.tls.enabled && !shell.server.tls_certificate_file.as_os_str().is_empty() {
            faults.push(("server.tls_certificate_file", "is of no use without tls.enabled".to_owned()));
        }
        let (redis, most) = (&self.redis, shell.server.request_timeout_seconds);
        if !(redis.timeout_seconds > 0.0 && redis.timeout_seconds < most) {
            let fault = format!("must be above 0 and below server.request_timeout_seconds ({most})");
            faults.push(("redis.timeout_seconds", fault));
        }
        if redis.host.0.len() > 1 && !redis.cluster {
            faults.push(("redis.host", "names several hosts, which needs redis.cluster".to_owned()));
        }
        if redis.cluster && !redis.read_hosts.0.is_empty() {
            faults.push(("redis.read_hosts", "a cluster has redis.cluster_read_replicas instead".to_owned()));
        }
        if !redis.host.0.is_empty()
            && let Err(failure) = redis.password()
        {
            faults.push(("redis.password_file", failure.to_string()));
        }
        faults
    }
}
