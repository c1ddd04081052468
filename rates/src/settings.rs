//! The settings of `rates`. Their defaults and meanings stand in `settings.toml`, which is compiled in.

use std::{fs, num::NonZeroU32, time::Duration};

use chassis::{
    server::ServerSettings,
    settings::{List, Settings as ChassisSettings, is_set},
    telemetry::TelemetrySettings,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// Everything that can be configured.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where and how to listen.
    pub server: ServerSettings,
    /// Logs and traces.
    pub telemetry: TelemetrySettings,
    /// Where the data is.
    pub database: DatabaseSettings,
    /// What a request may ask for.
    pub api: ApiSettings,
    /// How answers are kept.
    pub cache: CacheSettings,
    /// How prices come in.
    pub batches: BatchSettings,
    /// What `rates push` sends.
    pub push: PushSettings,
}

/// Where the data is and how to reach it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    url: SecretString,
    host: String,
    port: u16,
    name: String,
    user: String,
    password: SecretString,
    password_file: String,
    tls_mode: TlsMode,
    tls_ca_file: String,
    read_urls: SecretString,
    read_hosts: List,
    /// Connections for each server.
    pub pool_size: u32,
    /// How long a request waits for a connection, in seconds.
    pub acquire_timeout_seconds: f64,
    /// How long a statement of a request may take, in seconds.
    pub statement_timeout_seconds: f64,
    /// Connections of their own for batches.
    pub batch_pool_size: u32,
    /// How long a statement of a batch may take, in seconds.
    pub batch_statement_timeout_seconds: f64,
    /// Whether `serve` applies pending migrations.
    pub migrate_at_start: bool,
    /// The role that `migrate` makes for `serve`; empty: none.
    pub app_user: String,
    /// Its password.
    pub app_password: SecretString,
}

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TlsMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// What a request may ask for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiSettings {
    /// The longest range of days, both ends included.
    pub max_days: u32,
    /// The most items on a page.
    pub page_limit: usize,
    /// Whether reads need a key.
    pub reads_need_key: bool,
}

/// How prices come in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchSettings {
    /// The largest content, unzipped.
    pub body_limit_bytes: usize,
    /// How long a batch may take, upload included, in seconds.
    pub timeout_seconds: f64,
    /// Within this time the same content is the same batch, in seconds.
    pub same_content_seconds: u32,
    /// Writes in a minute by one key.
    pub per_minute_by_key: NonZeroU32,
    /// Writes in a minute from one address.
    pub per_minute_by_address: NonZeroU32,
    /// How many batches that wait are put in at once.
    pub workers: usize,
    /// How often a batch is tried whose worker died.
    pub max_attempts: i32,
}

/// What `rates push` sends.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushSettings {
    /// The key.
    pub key: SecretString,
}

/// How answers are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSettings {
    /// Bytes of finished answers kept in memory.
    pub size_bytes: u64,
    /// `Cache-Control` of answers.
    pub control: String,
    /// How long an old answer may stand in for a database that is away, in seconds.
    pub stale_seconds: f64,
}

/// The flat names that platforms give.
#[derive(Debug, Deserialize)]
pub struct Platform {
    port: Option<String>,
    rust_log: Option<String>,
    otel_exporter_otlp_endpoint: Option<String>,
    database_url: Option<String>,
    database_read_url: Option<String>,
    db_host: Option<String>,
    db_port: Option<String>,
    db_name: Option<String>,
    db_user: Option<String>,
    db_password: Option<String>,
    db_password_file: Option<String>,
    db_read_hosts: Option<String>,
    db_app_user: Option<String>,
    db_app_password: Option<String>,
    rates_key: Option<String>,
}

impl ChassisSettings for Settings {
    type Platform = Platform;

    const SERVICE: &'static str = "rates";
    const DEFAULTS: &'static str = include_str!("settings.toml");

    fn platform_values(platform: Platform) -> Vec<(&'static str, &'static str, Option<String>)> {
        vec![
            ("PORT", "server.port", platform.port),
            ("RUST_LOG", "telemetry.log_filter", platform.rust_log),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint", platform.otel_exporter_otlp_endpoint),
            ("DATABASE_URL", "database.url", platform.database_url),
            ("DATABASE_READ_URL", "database.read_urls", platform.database_read_url),
            ("DB_HOST", "database.host", platform.db_host),
            ("DB_PORT", "database.port", platform.db_port),
            ("DB_NAME", "database.name", platform.db_name),
            ("DB_USER", "database.user", platform.db_user),
            ("DB_PASSWORD", "database.password", platform.db_password),
            ("DB_PASSWORD_FILE", "database.password_file", platform.db_password_file),
            ("DB_READ_HOSTS", "database.read_hosts", platform.db_read_hosts),
            ("DB_APP_USER", "database.app_user", platform.db_app_user),
            ("DB_APP_PASSWORD", "database.app_password", platform.db_app_password),
            ("RATES_KEY", "push.key", platform.rates_key),
        ]
    }

    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = self.server.faults();
        faults.extend(self.telemetry.faults());
        let database = &self.database;
        if let Err((setting, fault)) = database.primary() {
            faults.push((setting, fault));
        } else if let Err((setting, fault)) = database.replicas() {
            faults.push((setting, fault));
        }
        if database.pool_size == 0 || database.pool_size > 1000 {
            faults.push(("database.pool_size", "must be from 1 to 1000".into()));
        }
        for (setting, seconds) in [
            ("database.acquire_timeout_seconds", database.acquire_timeout_seconds),
            ("database.statement_timeout_seconds", database.statement_timeout_seconds),
        ] {
            if !(seconds > 0.0 && seconds < self.server.request_timeout_seconds) {
                faults.push((
                    setting,
                    format!(
                        "must be above 0 and below server.request_timeout_seconds ({})",
                        self.server.request_timeout_seconds
                    ),
                ));
            }
        }
        if !(1..=1000).contains(&database.batch_pool_size) {
            faults.push(("database.batch_pool_size", "must be from 1 to 1000".into()));
        }
        let batches = &self.batches;
        for (setting, seconds) in [
            ("database.batch_statement_timeout_seconds", database.batch_statement_timeout_seconds),
            ("batches.timeout_seconds", batches.timeout_seconds),
        ] {
            if !(1.0..=86_400.0).contains(&seconds) {
                faults.push((setting, "must be from 1 to 86400".into()));
            }
        }
        if !(1..=1 << 34).contains(&batches.body_limit_bytes) {
            faults.push(("batches.body_limit_bytes", "must be from 1 to 16 GiB".into()));
        }
        // Each worker holds a connection while it works; one at least must be left for those who upload.
        if batches.workers > 0 && batches.workers + 1 > database.batch_pool_size as usize {
            faults.push((
                "batches.workers",
                format!("must be below database.batch_pool_size ({})", database.batch_pool_size),
            ));
        }
        if batches.max_attempts < 1 {
            faults.push(("batches.max_attempts", "must be above 0".into()));
        }
        if database.app_user.is_empty() == is_set(&database.app_password) {
            faults.push(("database.app_password", "goes with database.app_user".into()));
        }
        if !(1..=100_000).contains(&self.api.max_days) {
            faults.push(("api.max_days", "must be from 1 to 100000".into()));
        }
        if !(1..=10_000).contains(&self.api.page_limit) {
            faults.push(("api.page_limit", "must be from 1 to 10000".into()));
        }
        if http::HeaderValue::from_str(&self.cache.control).is_err() {
            faults.push(("cache.control", "is not a header value".into()));
        }
        if !(0.0..=86_400.0).contains(&self.cache.stale_seconds) {
            faults.push(("cache.stale_seconds", "must be from 0 to 86400".into()));
        }
        faults
    }
}

impl DatabaseSettings {
    /// How to connect to the server that takes writes.
    pub fn primary(&self) -> Result<PgConnectOptions, (&'static str, String)> {
        if is_set(&self.url) {
            return self.parse_url("database.url", self.url.expose_secret());
        }
        Ok(self.with_tls(self.with_credentials(&self.host)?))
    }

    /// How to connect to each read replica.
    pub fn replicas(&self) -> Result<Vec<PgConnectOptions>, (&'static str, String)> {
        let by_url = self.read_urls.expose_secret().split(',').map(str::trim).filter(|url| !url.is_empty());
        let by_host = self.read_hosts.0.iter().map(|host| Ok(self.with_tls(self.with_credentials(host)?)));
        by_url.map(|url| self.parse_url("database.read_urls", url)).chain(by_host).collect()
    }

    /// How long a request waits for a connection.
    #[must_use]
    pub fn acquire_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.acquire_timeout_seconds)
    }

    fn parse_url(
        &self,
        setting: &'static str,
        url: &str,
    ) -> Result<PgConnectOptions, (&'static str, String)> {
        // The parser takes any scheme, and its message may repeat the URL and with it the password.
        let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
        let options: Option<PgConnectOptions> = is_postgres.then(|| url.parse().ok()).flatten();
        let options = options
            .ok_or_else(|| (setting, "is not like postgres://USER:PASSWORD@HOST:PORT/NAME".to_owned()))?;
        // A URL that names its TLS mode means it.
        Ok(if url.contains("sslmode=") || url.contains("ssl-mode=") {
            options
        } else {
            self.with_tls(options)
        })
    }

    fn with_credentials(&self, host: &str) -> Result<PgConnectOptions, (&'static str, String)> {
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(host)
            .port(self.port)
            .database(&self.name)
            .username(&self.user);
        if host.starts_with('/') {
            options = options.socket(host);
        }
        if is_set(&self.password) {
            options = options.password(self.password.expose_secret());
        } else if !self.password_file.is_empty() {
            let password = fs::read_to_string(&self.password_file).map_err(|error| {
                ("database.password_file", format!("cannot read {}: {error}", self.password_file))
            })?;
            options = options.password(password.trim_end_matches(['\r', '\n']));
        }
        Ok(options)
    }

    fn with_tls(&self, options: PgConnectOptions) -> PgConnectOptions {
        let options = options.ssl_mode(match self.tls_mode {
            TlsMode::Disable => PgSslMode::Disable,
            TlsMode::Prefer => PgSslMode::Prefer,
            TlsMode::Require => PgSslMode::Require,
            TlsMode::VerifyCa => PgSslMode::VerifyCa,
            TlsMode::VerifyFull => PgSslMode::VerifyFull,
        });
        if self.tls_ca_file.is_empty() { options } else { options.ssl_root_cert(&self.tls_ca_file) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let environment = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        chassis::settings::load::<Settings>(environment)
            .map(|loaded| loaded.settings)
            .map_err(|faults| faults.to_string())
    }

    #[test]
    fn the_defaults_are_valid() {
        load(&[]).unwrap();
    }

    #[test]
    fn the_parts_of_the_address_hold_where_no_url_is_given() {
        let parts = [
            ("DB_HOST", "db"),
            ("DB_PORT", "1"),
            ("DB_NAME", "n"),
            ("DB_USER", "u"),
            ("DB_PASSWORD", "p@:/"),
        ];
        let options = load(&parts).unwrap().database.primary().unwrap();
        let got = (options.get_host(), options.get_port(), options.get_database(), options.get_username());
        assert_eq!(got, ("db", 1, Some("n"), "u"));
        let with_url = [&parts[..], &[("DATABASE_URL", "postgres://me@other/x")]].concat();
        assert_eq!(load(&with_url).unwrap().database.primary().unwrap().get_host(), "other");
    }

    #[test]
    fn wrong_values_are_named_with_their_variable_and_without_the_password() {
        for (variable, value, setting) in [
            ("PORT", "70000", "server.port"),
            ("DATABASE_URL", "mysql//me:hush", "database.url"),
            ("DATABASE_READ_URL", "postgres://ok@db/x,nonsense:hush", "database.read_urls"),
            ("DB_PASSWORD_FILE", "/nowhere/hush", "database.password_file"),
            ("RATES__DATABASE__TLS_MODE", "maybe", "database.tls_mode"),
            ("RATES__DATABASE__POOL_SIZE", "0", "database.pool_size"),
            ("RATES__DATABASE__STATEMENT_TIMEOUT_SECONDS", "60", "database.statement_timeout_seconds"),
            ("RATES__SERVER__DRAIN_SECONDS", "1", "server.drain_seconds"),
            ("RATES__SERVER__TLS_KEY_FILE", "key.pem", "server.tls_key_file"),
            ("RATES__SERVER__CORS_ORIGINS", "example.com", "server.cors_origins"),
            ("RATES__TELEMETRY__LOG_FORMAT", "xml", "telemetry.log_format"),
            ("RATES__API__MAX_DAYS", "0", "api.max_days"),
            ("RATES__CACHE__CONTROL", "a\nb", "cache.control"),
            ("RATES__CACHE__STALE_SECONDS", "-1", "cache.stale_seconds"),
            ("DB_APP_USER", "app", "database.app_password"),
            ("RATES__DATABASE__BATCH_POOL_SIZE", "0", "database.batch_pool_size"),
            ("RATES__BATCHES__WORKERS", "4", "batches.workers"),
            ("RATES__BATCHES__PER_MINUTE_BY_KEY", "0", "batches.per_minute_by_key"),
            ("RATES__BATCHES__TIMEOUT_SECONDS", "0", "batches.timeout_seconds"),
            ("RATES__BATCHES__BODY_LIMIT_BYTES", "0", "batches.body_limit_bytes"),
            ("RATES__BATCHES__MAX_ATTEMPTS", "0", "batches.max_attempts"),
        ] {
            let faults = load(&[(variable, value)]).expect_err(variable);
            assert!(faults.contains(setting), "{variable}={value}: {faults}");
            assert!(!faults.contains(":hush"), "{variable}={value}: {faults}");
        }
    }
}
