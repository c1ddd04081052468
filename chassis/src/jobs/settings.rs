//! The sections `[redis]` and `[worker]`. Meanings and defaults stand in `defaults.toml`.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{RedisQueue, WorkOptions};
use crate::{
    Failure,
    settings::{Fault, Flat, ShellSettings, is_set},
};

/// The defaults, for [`crate::settings::Settings::DEFAULTS`].
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// The flat variables, for [`crate::settings::Settings::FLAT`].
pub const FLAT: &[Flat] = &[Flat::new("REDIS_URL", "redis.url")];

/// A queue in Redis.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    url: SecretString,
    timeout_seconds: f64,
}

impl RedisSettings {
    /// Whether the settings name a server.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        is_set(&self.url)
    }

    /// What is wrong with the values.
    #[must_use]
    pub fn faults(&self, shell: &ShellSettings) -> Vec<Fault> {
        let most = shell.server.request_timeout_seconds;
        let is_right = self.timeout_seconds > 0.0 && self.timeout_seconds < most;
        let fault = || format!("must be above 0 and below server.request_timeout_seconds ({most})");
        (!is_right).then(|| ("redis.timeout_seconds", fault())).into_iter().collect()
    }

    /// The queue of this name.
    pub fn queue(&self, name: &str) -> Result<RedisQueue, Failure> {
        RedisQueue::new(self.url.expose_secret(), name, Duration::from_secs_f64(self.timeout_seconds))
    }
}

/// The work on a queue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerSettings {
    /// Whether the server has workers, too.
    pub in_server: bool,
    /// How many workers such a process has.
    pub count: u32,
    max_attempts: i32,
}

impl WorkerSettings {
    /// What is wrong with the values.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if !(1..=64).contains(&self.count) {
            faults.push(("worker.count", "must be from 1 to 64".to_owned()));
        }
        if !(1..=1000).contains(&self.max_attempts) {
            faults.push(("worker.max_attempts", "must be from 1 to 1000".to_owned()));
        }
        faults
    }

    /// For a process with workers, or one that only measures.
    #[must_use]
    pub fn options(&self, works: bool) -> WorkOptions {
        WorkOptions { workers: if works { self.count as usize } else { 0 }, max_attempts: self.max_attempts }
    }
}
