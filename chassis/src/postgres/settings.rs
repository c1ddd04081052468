//! The `[database]` section. Meanings and defaults stand in `defaults.toml`.

use std::{fs, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::hosts;
use crate::settings::{Fault, Flat, List, ShellSettings, is_set};

/// The defaults, for [`crate::settings::Settings::DEFAULTS`].
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// The flat variables, for [`crate::settings::Settings::FLAT`].
pub const FLAT: &[Flat] = &[
    Flat::new("DATABASE_URL", "database.url"),
    Flat::new("DATABASE_DIRECT_URL", "database.direct_url"),
    Flat::new("DATABASE_READ_URL", "database.read_urls"),
    Flat::new("DB_HOST", "database.host"),
    Flat::new("DB_PORT", "database.port"),
    Flat::new("DB_NAME", "database.name"),
    Flat::new("DB_USER", "database.user"),
    Flat::new("DB_PASSWORD", "database.password"),
    Flat::new("DB_PASSWORD_FILE", "database.password_file"),
    Flat::new("DB_READ_HOSTS", "database.read_hosts"),
    Flat::new("DB_APP_USER", "database.app_user"),
    Flat::new("DB_APP_PASSWORD", "database.app_password"),
];

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
    direct_url: SecretString,
    read_urls: SecretString,
    read_hosts: List,
    /// Connections to each server.
    pub pool_size: u32,
    /// How long a request waits for a connection, in seconds.
    pub acquire_timeout_seconds: f64,
    /// How long a statement of a request may take, in seconds.
    pub statement_timeout_seconds: f64,
    /// Whether pending migrations are applied at start.
    pub migrate_at_start: bool,
    /// The role that `migrate` makes for the service; empty: none.
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

impl DatabaseSettings {
    /// What is wrong with the values.
    #[must_use]
    pub fn faults(&self, shell: &ShellSettings) -> Vec<Fault> {
        let mut faults = Vec::new();
        // A credentials fault applies to both; report it once.
        faults.extend(self.primary().and_then(|_| self.replicas()).err());
        faults.extend(self.has_pooler().then(|| self.direct().err()).flatten());
        if !(1..=1000).contains(&self.pool_size) {
            faults.push(("database.pool_size", "must be from 1 to 1000".into()));
        }
        let most = shell.server.request_timeout_seconds;
        for (setting, seconds) in [
            ("database.acquire_timeout_seconds", self.acquire_timeout_seconds),
            ("database.statement_timeout_seconds", self.statement_timeout_seconds),
        ] {
            if !(seconds > 0.0 && seconds < most) {
                let fault = format!("must be above 0 and below server.request_timeout_seconds ({most})");
                faults.push((setting, fault));
            }
        }
        if self.app_user.is_empty() == is_set(&self.app_password) {
            let fault = "database.app_user and database.app_password must be set together";
            faults.push(("database.app_password", fault.into()));
        }
        faults
    }

    /// Whether the settings name a database at all.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        is_set(&self.url) || !self.name.is_empty()
    }

    /// How to connect to the server that takes writes, where there are several to the first.
    pub fn primary(&self) -> Result<PgConnectOptions, Fault> {
        Ok(self.primaries()?.remove(0))
    }

    /// How to connect to each server that may be the one that takes writes; at least one.
    pub fn primaries(&self) -> Result<Vec<PgConnectOptions>, Fault> {
        if is_set(&self.url) {
            return self.parse_urls("database.url", &self.url);
        }
        let options = self.with_tls(self.with_credentials()?);
        Ok(self.host.split(',').map(|host| options.clone().host(host.trim())).collect())
    }

    /// How to connect to the same servers without a pooler between.
    pub fn direct(&self) -> Result<Vec<PgConnectOptions>, Fault> {
        if is_set(&self.direct_url) {
            self.parse_urls("database.direct_url", &self.direct_url)
        } else {
            self.primaries()
        }
    }

    /// Whether that is another way than [`Self::primaries`].
    #[must_use]
    pub fn has_pooler(&self) -> bool {
        is_set(&self.direct_url)
    }

    /// How to connect to each read replica.
    pub fn replicas(&self) -> Result<Vec<PgConnectOptions>, Fault> {
        let by_url = self.read_urls.expose_secret().split(',').map(str::trim).filter(|url| !url.is_empty());
        let by_host = self.read_hosts.0.iter().map(|host| {
            let primary = self.primary()?;
            // A socket wins over a host, and cannot be removed from the options.
            if primary.get_socket().is_none() {
                return Ok(primary.host(host));
            }
            let fault = "needs a database.url that names a host; set database.read_urls instead";
            Err(("database.read_hosts", fault.to_owned()))
        });
        by_url.map(|url| self.parse_url("database.read_urls", url)).chain(by_host).collect()
    }

    /// How long a request waits for a connection.
    #[must_use]
    pub fn acquire_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.acquire_timeout_seconds)
    }

    /// One for each server that the URL names.
    fn parse_urls(&self, setting: &'static str, url: &SecretString) -> Result<Vec<PgConnectOptions>, Fault> {
        let urls = hosts::one_url_each(url.expose_secret()).map_err(|fault| (setting, fault))?;
        urls.iter().map(|url| self.parse_url(setting, url)).collect()
    }

    fn parse_url(&self, setting: &'static str, url: &str) -> Result<PgConnectOptions, Fault> {
        // The parser takes any scheme, and its message may repeat the URL and with it the password.
        let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
        let options: Option<PgConnectOptions> = is_postgres.then(|| url.parse().ok()).flatten();
        let options = options
            .ok_or_else(|| (setting, "is not like postgres://USER:PASSWORD@HOST:PORT/NAME".to_owned()))?;
        // A URL that names its TLS mode means it.
        let names_mode = url.contains("sslmode=") || url.contains("ssl-mode=");
        Ok(if names_mode { options } else { self.with_tls(options) })
    }

    fn with_credentials(&self) -> Result<PgConnectOptions, Fault> {
        let mut options =
            PgConnectOptions::new_without_pgpass().port(self.port).database(&self.name).username(&self.user);
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
