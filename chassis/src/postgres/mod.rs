//! What a service with a PostgreSQL database needs: settings, pools, migrations, errors, and one place for the retry.

mod error;
mod health;
mod heartbeat;
mod hosts;
mod migrate;
mod pool;
mod primary;
mod settings;

#[cfg(test)]
mod tests;

pub use error::is_outage;
pub use health::Health;
pub use heartbeat::Heartbeat;
pub use migrate::{check_schema, migrate, pending_migrations};
pub use pool::{Pool, PooledConnection, in_time};
pub use primary::{Primary, connect, failure_of};
pub use settings::{DEFAULTS, DatabaseSettings, FLAT};
