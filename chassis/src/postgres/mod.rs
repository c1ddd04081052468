//! What a service with a PostgreSQL database needs: settings, pools, migrations, errors, and one place for the retry.

mod error;
mod health;
mod migrate;
mod pool;
mod retry;
mod settings;

#[cfg(test)]
mod tests;

pub use error::is_outage;
pub use health::Health;
pub use migrate::{check_schema, migrate, pending_migrations};
pub use pool::{connect, failure_of, pool};
pub use retry::retry;
pub use settings::{DEFAULTS, DatabaseSettings, FLAT};
