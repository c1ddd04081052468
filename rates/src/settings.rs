//! The settings of `rates`. Their defaults and descriptions are in `settings.toml`, which is compiled in.

use std::{num::NonZeroU32, sync::Arc};

use chassis::{
    postgres::{self, DatabaseSettings},
    settings::{Fault, Flat, List, Settings as ServiceSettings, ShellSettings},
};
use secrecy::SecretString;
use serde::Deserialize;

use crate::{
    batches::parse::{ColumnNames, Rules},
    privacy::Privacy,
};

/// The settings of `rates`, in addition to those of every service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The database.
    pub database: DatabaseSettings,
    /// Limits of requests.
    pub api: ApiSettings,
    /// What is kept in memory.
    pub cache: CacheSettings,
    /// The processing of batches.
    pub batches: BatchSettings,
    /// Messages to receivers.
    pub hooks: HookSettings,
    /// The settings of `rates push`.
    pub push: PushSettings,
}

/// Limits of requests.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiSettings {
    /// The longest range of days, both ends included.
    pub max_days: u32,
    /// The most items on a page.
    pub page_limit: usize,
    /// The fewest prices for a mean.
    pub min_count: i64,
    /// How many suppliers must stand behind a day's prices.
    pub min_suppliers: u8,
    /// What means and percentiles are rounded to, in dollars; 0: not at all.
    pub price_step: u16,
    /// Whether the number of prices is rounded down.
    pub count_bands: bool,
    /// What a price is for, in words; empty: a container.
    pub unit: String,
    /// Whether reads need a key.
    pub reads_need_key: bool,
    /// Reads in a minute with one key.
    pub reads_per_minute_by_key: NonZeroU32,
    /// Wrong keys in a minute from one address.
    pub wrong_keys_per_minute: NonZeroU32,
    /// How many reads may compute percentiles from prices at a time.
    pub expensive_reads: usize,
    /// How long another one waits before it is refused, in seconds.
    pub expensive_wait_seconds: f64,
}

/// What is kept in memory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSettings {
    /// Bytes of lanes and answers kept in memory.
    pub size_bytes: u64,
    /// `Cache-Control` of answers.
    pub control: String,
    /// How long cached answers may be given while the database is unreachable, in seconds.
    pub stale_seconds: f64,
}

/// The processing of batches.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchSettings {
    /// Database connections for batches.
    pub pool_size: u32,
    /// How many uploads may run at a time.
    pub uploads: usize,
    /// How many of one supplier.
    pub uploads_by_supplier: usize,
    /// The least rate of an upload.
    pub upload_bytes_per_second: u32,
    /// The time over which the rate is an average, in seconds.
    pub upload_period_seconds: f64,
    /// How long a statement of a batch may take, in seconds.
    pub statement_timeout_seconds: f64,
    /// The largest content, unzipped.
    pub body_limit_bytes: usize,
    /// How many days in the future a day may be.
    pub max_days_ahead: u32,
    /// The highest price in US dollars.
    pub max_price: i32,
    /// The largest workbook, unzipped.
    pub sheet_limit_bytes: u64,
    /// The most prices of a batch.
    pub most_prices: u64,
    /// The most days of a row with a window.
    pub window_days: u32,
    /// Further names of columns in sheets.
    pub column_names: List,
    /// How long a batch may take, upload included, in seconds; an attempt, if it is queued.
    pub timeout_seconds: f64,
    /// Within this time the same content is the same batch, in seconds.
    pub same_content_seconds: u32,
    /// Writes in a minute with one key.
    pub per_minute_by_key: NonZeroU32,
    /// Writes in a minute from one address.
    pub per_minute_by_address: NonZeroU32,
    /// How many queued batches are stored at a time.
    pub workers: usize,
    /// How often a queued batch is tried.
    pub max_attempts: i32,
}

impl ApiSettings {
    /// What answers show of prices.
    #[must_use]
    pub const fn privacy(&self) -> Privacy {
        let Self { min_suppliers, price_step, count_bands, .. } = *self;
        Privacy { min_suppliers, price_step, count_bands }
    }

    /// How many prices a mean needs, as numbers of prices are shown.
    pub(crate) fn min_count_in_bands(&self) -> i64 {
        self.privacy().least_count(self.min_count)
    }
}

impl BatchSettings {
    /// What content may have.
    #[must_use]
    pub fn rules(&self) -> Rules {
        // `Settings::faults` has checked them.
        let column_names = ColumnNames::parse(self.column_names.0.iter().map(String::as_str));
        Rules {
            bytes: self.body_limit_bytes as u64,
            sheet_bytes: self.sheet_limit_bytes,
            prices: self.most_prices,
            window_days: self.window_days,
            days_ahead: self.max_days_ahead,
            max_price: self.max_price,
            column_names: Arc::new(column_names.unwrap_or_default()),
        }
    }
}

/// Messages to receivers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookSettings {
    /// Whether messages may go over http.
    pub allow_http: bool,
    /// Whether they may go to addresses that are not of the internet.
    pub allow_private_addresses: bool,
    /// How long a receiver may take to answer, in seconds.
    pub timeout_seconds: f64,
    /// How many messages a process sends at a time.
    pub workers: u32,
    /// How often a message is sent.
    pub max_attempts: i32,
    /// The least time between two messages of changes, in seconds.
    pub data_changed_seconds: f64,
}

/// The settings of `rates push`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushSettings {
    /// The key.
    pub key: SecretString,
}

impl ServiceSettings for Settings {
    const DEFAULTS: &'static [&'static str] = &[postgres::DEFAULTS, include_str!("settings.toml")];
    const FLAT: &'static [&'static [Flat]] = &[postgres::FLAT, &[Flat::new("RATES_KEY", "push.key")]];

    fn faults(&self, shell: &ShellSettings) -> Vec<Fault> {
        let mut faults = self.database.faults(shell);
        let mut check = |is_right: bool, setting: &'static str, fault: &str| {
            if !is_right {
                faults.push((setting, fault.to_owned()));
            }
        };
        let Self { api, cache, batches, hooks, .. } = self;
        check((1..=100_000).contains(&api.max_days), "api.max_days", "must be from 1 to 100000");
        check((1..=10_000).contains(&api.page_limit), "api.page_limit", "must be from 1 to 10000");
        check((3..=1_000_000).contains(&api.min_count), "api.min_count", "must be from 3 to 1000000");
        check(api.min_suppliers > 0, "api.min_suppliers", "must be from 1 to 255");
        check(api.price_step <= 10_000, "api.price_step", "must be from 0 to 10000");
        // Of one connection there is no share to give away.
        let most = (self.database.pool_size as usize / 2).max(1);
        let share_is_right = (1..=most).contains(&api.expensive_reads);
        let fault = format!("must be from 1 to half of database.pool_size ({most})");
        check(share_is_right, "api.expensive_reads", &fault);
        let wait_is_right = (0.0..=60.0).contains(&api.expensive_wait_seconds);
        check(wait_is_right, "api.expensive_wait_seconds", "must be from 0 to 60");
        let is_header = http::HeaderValue::from_str(&cache.control).is_ok();
        check(is_header, "cache.control", "is not a header value");
        let stale_is_right = (0.0..=86_400.0).contains(&cache.stale_seconds);
        check(stale_is_right, "cache.stale_seconds", "must be from 0 to 86400");
        check((1..=1000).contains(&batches.pool_size), "batches.pool_size", "must be from 1 to 1000");
        for (setting, seconds) in [
            ("batches.statement_timeout_seconds", batches.statement_timeout_seconds),
            ("batches.timeout_seconds", batches.timeout_seconds),
        ] {
            check((1.0..=86_400.0).contains(&seconds), setting, "must be from 1 to 86400");
        }
        check((1..=10_000).contains(&batches.uploads), "batches.uploads", "must be from 1 to 10000");
        let share_is_right = (1..=batches.uploads).contains(&batches.uploads_by_supplier);
        let fault = format!("must be from 1 to batches.uploads ({})", batches.uploads);
        check(share_is_right, "batches.uploads_by_supplier", &fault);
        let period_is_right = (0.1..=3600.0).contains(&batches.upload_period_seconds);
        check(period_is_right, "batches.upload_period_seconds", "must be from 0.1 to 3600");
        let size_is_right = (1..=1 << 34).contains(&batches.body_limit_bytes);
        check(size_is_right, "batches.body_limit_bytes", "must be from 1 to 16 GiB");
        let days_are_right = batches.max_days_ahead <= 100_000;
        check(days_are_right, "batches.max_days_ahead", "must be from 0 to 100000");
        check(batches.max_price > 0, "batches.max_price", "must be above 0");
        check(
            (1..=1_000_000_000).contains(&batches.most_prices),
            "batches.most_prices",
            "must be from 1 to 1000000000",
        );
        check((1..=36_600).contains(&batches.window_days), "batches.window_days", "must be from 1 to 36600");
        let size_is_right = (1..=1 << 30).contains(&batches.sheet_limit_bytes);
        check(size_is_right, "batches.sheet_limit_bytes", "must be from 1 to 1 GiB");
        if let Err(item) = ColumnNames::parse(batches.column_names.0.iter().map(String::as_str)) {
            let fault = format!(
                "must be names like pol=orig_code, note=- or cost=price@acme, separated by commas; {item:?} is none"
            );
            check(false, "batches.column_names", &fault);
        }
        // Each worker holds a connection while it works; one at least must be left for uploads.
        let leave_one = batches.workers == 0 || batches.workers < batches.pool_size as usize;
        let fault = format!("must be below batches.pool_size ({})", batches.pool_size);
        check(leave_one, "batches.workers", &fault);
        check(batches.max_attempts > 0, "batches.max_attempts", "must be above 0");
        let timeout_is_right = (0.1..=20.0).contains(&hooks.timeout_seconds);
        check(timeout_is_right, "hooks.timeout_seconds", "must be from 0.1 to 20");
        check((1..=64).contains(&hooks.workers), "hooks.workers", "must be from 1 to 64");
        check(hooks.max_attempts > 0, "hooks.max_attempts", "must be above 0");
        let pause_is_right = (0.0..=86_400.0).contains(&hooks.data_changed_seconds);
        check(pause_is_right, "hooks.data_changed_seconds", "must be from 0 to 86400");
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let environment = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        chassis::settings::load::<Settings>("rates", environment)
            .map(|loaded| loaded.service)
            .map_err(|faults| faults.to_string())
    }

    #[test]
    fn the_defaults_are_valid() {
        load(&[]).unwrap();
    }

    #[test]
    fn the_parts_of_the_address_apply_where_no_url_is_given() {
        let parts = [
            ("DB_HOST", "db"),
            ("DB_PORT", "1"),
            ("DB_NAME", "n"),
            ("DB_USER", "u"),
            ("DB_PASSWORD", "p@:/"),
        ];
        let options = load(&parts).unwrap().database.primary().unwrap();
        let read = (options.get_host(), options.get_port(), options.get_database(), options.get_username());
        assert_eq!(read, ("db", 1, Some("n"), "u"));
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
            ("RUST_LOG", "info,rates=loud", "\"rates=loud\""),
            ("RATES__API__MAX_DAYS", "0", "api.max_days"),
            ("RATES__API__MIN_COUNT", "2", "api.min_count"),
            ("RATES__API__MIN_SUPPLIERS", "0", "api.min_suppliers"),
            ("RATES__API__PRICE_STEP", "10001", "api.price_step"),
            ("RATES__API__READS_PER_MINUTE_BY_KEY", "0", "api.reads_per_minute_by_key"),
            ("RATES__API__WRONG_KEYS_PER_MINUTE", "0", "api.wrong_keys_per_minute"),
            ("RATES__API__EXPENSIVE_READS", "0", "api.expensive_reads"),
            ("RATES__API__EXPENSIVE_READS", "6", "api.expensive_reads"),
            ("RATES__API__EXPENSIVE_WAIT_SECONDS", "-1", "api.expensive_wait_seconds"),
            ("RATES__CACHE__CONTROL", "a\nb", "cache.control"),
            ("RATES__CACHE__STALE_SECONDS", "-1", "cache.stale_seconds"),
            ("DB_APP_USER", "app", "database.app_password"),
            ("RATES__BATCHES__POOL_SIZE", "0", "batches.pool_size"),
            ("RATES__BATCHES__UPLOADS", "0", "batches.uploads"),
            ("RATES__BATCHES__UPLOADS_BY_SUPPLIER", "17", "batches.uploads_by_supplier"),
            ("RATES__BATCHES__UPLOAD_PERIOD_SECONDS", "0", "batches.upload_period_seconds"),
            ("RATES__BATCHES__WORKERS", "4", "batches.workers"),
            ("RATES__BATCHES__PER_MINUTE_BY_KEY", "0", "batches.per_minute_by_key"),
            ("RATES__BATCHES__TIMEOUT_SECONDS", "0", "batches.timeout_seconds"),
            ("RATES__BATCHES__BODY_LIMIT_BYTES", "0", "batches.body_limit_bytes"),
            ("RATES__BATCHES__MAX_DAYS_AHEAD", "100001", "batches.max_days_ahead"),
            ("RATES__BATCHES__MAX_PRICE", "0", "batches.max_price"),
            ("RATES__BATCHES__MAX_ATTEMPTS", "0", "batches.max_attempts"),
            ("RATES__BATCHES__SHEET_LIMIT_BYTES", "0", "batches.sheet_limit_bytes"),
            ("RATES__BATCHES__MOST_PRICES", "0", "batches.most_prices"),
            ("RATES__BATCHES__WINDOW_DAYS", "0", "batches.window_days"),
            ("RATES__BATCHES__COLUMN_NAMES", "pol=port", "batches.column_names"),
            ("RATES__HOOKS__TIMEOUT_SECONDS", "21", "hooks.timeout_seconds"),
            ("RATES__HOOKS__WORKERS", "0", "hooks.workers"),
            ("RATES__HOOKS__MAX_ATTEMPTS", "0", "hooks.max_attempts"),
            ("RATES__HOOKS__DATA_CHANGED_SECONDS", "-1", "hooks.data_changed_seconds"),
        ] {
            let faults = load(&[(variable, value)]).expect_err(variable);
            assert!(faults.contains(setting), "{variable}={value}: {faults}");
            assert!(!faults.contains(":hush"), "{variable}={value}: {faults}");
        }
    }
}
