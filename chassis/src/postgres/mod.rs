//! What a service with a PostgreSQL database needs: which errors mean "later", and one place for the retry.

mod error;
mod retry;

pub use error::is_outage;
pub use retry::retry;
