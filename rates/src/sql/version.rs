//! The version of the data.

use sqlx::PgExecutor;

/// Which state of the data an answer was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DataVersion {
    /// Moves with every change of prices or places.
    pub(crate) version: i64,
    /// The version at which ports or regions last changed.
    pub(crate) places_version: i64,
}

pub(crate) async fn current(executor: impl PgExecutor<'_>) -> Result<DataVersion, sqlx::Error> {
    sqlx::query_as!(DataVersion, "select version, places_version from data_version").fetch_one(executor).await
}
