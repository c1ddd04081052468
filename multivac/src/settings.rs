//! The settings of `multivac`. `settings.toml`, which is compiled in, has their defaults and meanings.

use chassis::{
    embedded::FileSettings,
    jobs::{self, RedisSettings, WorkerSettings},
    postgres::{self, DatabaseSettings},
    settings::{Fault, Flat, ShellSettings},
    users::{self, AuthSettings},
};
use serde::Deserialize;

/// The settings of `multivac`, in addition to those of every service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Who may post and delete.
    pub auth: AuthSettings,
    /// The database of the store.
    pub database: DatabaseSettings,
    /// The queue in Redis.
    pub redis: RedisSettings,
    /// The embedded queue and store.
    pub store: FileSettings,
    /// The work on the queue.
    pub worker: WorkerSettings,
}

const FLAT: &[Flat] =
    &[Flat::new("MULTIVAC_FILE", "store.file"), Flat::new("MULTIVAC_LOG_DIR", "logs.folder").empty_counts()];

impl chassis::settings::Settings for Settings {
    const DEFAULTS: &'static [&'static str] =
        &[users::DEFAULTS, postgres::DEFAULTS, jobs::DEFAULTS, include_str!("settings.toml")];
    const FLAT: &'static [&'static [Flat]] = &[users::FLAT, postgres::FLAT, jobs::FLAT, FLAT];

    fn faults(&self, shell: &ShellSettings) -> Vec<Fault> {
        let mut faults =
            [self.database.faults(shell), self.redis.faults(shell), self.worker.faults()].concat();
        if self.redis.is_configured() && !self.database.is_configured() {
            let fault = "is for the queue only: set database.url (DATABASE_URL) as well, for the store";
            faults.push(("redis.url", fault.to_owned()));
        }
        faults
    }
}
