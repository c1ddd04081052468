//! Connections: pools for requests, and single ones for commands.

use std::time::Duration;

use sqlx::{
    ConnectOptions, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::DatabaseSettings;
use crate::{Exit, Failure, exit::OrFail, settings::Fault};

/// A pool that connects when it is first used, so that a process can start before its database.
#[must_use]
pub fn pool(
    settings: &DatabaseSettings,
    options: PgConnectOptions,
    size: u32,
    statement_timeout_seconds: f64,
) -> PgPool {
    let timeout_ms = format!("{}ms", (statement_timeout_seconds * 1000.0).ceil());
    // What counts as slow depends on what the pool is for: a second for reads of requests.
    let slow = Duration::from_secs_f64(statement_timeout_seconds / 5.0);
    let options = options
        .options([("statement_timeout", timeout_ms.as_str()), ("jit", "off")])
        .log_slow_statements(tracing::log::LevelFilter::Warn, slow);
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(settings.acquire_timeout())
        // A ping before each use would double the round trips of a read. A connection that died in the pool costs one
        // request a retry (see [`super::retry`]).
        .test_before_acquire(false)
        .max_lifetime(Duration::from_mins(30))
        .connect_lazy_with(options)
}

/// A connection for a command: without the time limits of requests.
pub async fn connect(settings: &DatabaseSettings) -> Result<PgConnection, Failure> {
    let options = settings.primary().map_err(failure_of)?;
    let database = options.get_database().unwrap_or_default();
    let address = format!("{}:{}/{database}", options.get_host(), options.get_port());
    let options = options.application_name("command").options([("jit", "off")]);
    options
        .connect()
        .await
        .or_fail(Exit::Unavailable, || format!("cannot connect to the database at {address}"))
}

/// A fault of the database settings as the failure of a start.
#[must_use]
pub fn failure_of((setting, fault): Fault) -> Failure {
    Failure::new(Exit::Usage, format!("{setting}: {fault}"))
}
