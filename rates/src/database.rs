//! The pools of the primary and of its replicas, and the schema.

use std::sync::Arc;

use chassis::{
    Failure,
    postgres::{self, DatabaseSettings, Health},
};
use sqlx::{PgPool, Postgres, migrate::Migrator, pool::PoolConnection};

use crate::settings::BatchSettings;

/// The schema, compiled in. A database with newer migrations is accepted, so that a release can be rolled back.
pub static MIGRATOR: Migrator = {
    let mut migrator = sqlx::migrate!("../db/migrations");
    migrator.ignore_missing = true;
    migrator
};

/// The pools of the primary and of its read replicas.
#[derive(Debug)]
pub struct Database {
    /// For writes, and for reads that must not lag.
    pub primary: PgPool,
    /// Also to the primary, for batches: long transactions, some of which last as long as the client sends.
    pub batches: PgPool,
    /// For reads of lanes.
    pub replicas: Vec<PgPool>,
    /// Whether the primary can be reached.
    pub health: Arc<Health>,
}

impl Database {
    /// Creates pools that connect when they are first used, so that a server can start before its database.
    pub fn new(settings: &DatabaseSettings, batches: &BatchSettings) -> Result<Self, Failure> {
        let primary = settings.primary().map_err(postgres::failure_of)?;
        let replicas = settings.replicas().map_err(postgres::failure_of)?;
        let reads = |options: sqlx::postgres::PgConnectOptions| {
            let options = options.application_name("rates").options(SAME_PLAN);
            postgres::pool(settings, options, settings.pool_size, settings.statement_timeout_seconds)
        };
        Ok(Self {
            batches: postgres::pool(
                settings,
                primary.clone().application_name("rates batches"),
                batches.pool_size,
                batches.statement_timeout_seconds,
            ),
            primary: reads(primary),
            replicas: replicas.into_iter().map(reads).collect(),
            health: Arc::default(),
        })
    }

    /// A database with one pool, for tests.
    #[must_use]
    pub fn of(primary: PgPool) -> Self {
        Self { batches: primary.clone(), primary, replicas: Vec::new(), health: Arc::default() }
    }

    /// The same with these replicas.
    #[must_use]
    pub fn with_replicas(self, replicas: Vec<PgPool>) -> Self {
        Self { replicas, ..self }
    }

    /// A connection for one batch, closed afterwards. The next batch must not get a connection that is still in COPY or
    /// in a long statement because its client disconnected. A new connection costs little compared with a batch.
    pub(crate) async fn for_batch(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let mut connection = self.batches.acquire().await?;
        connection.close_on_drop();
        Ok(connection)
    }

    /// Closes the connections.
    pub(crate) async fn close(&self) {
        self.primary.close().await;
        self.batches.close().await;
        for replica in &self.replicas {
            replica.close().await;
        }
    }
}

/// Plans the reads of requests only once: there is one way to scan a primary key, and planning each statement takes
/// PostgreSQL as long as the scan.
const SAME_PLAN: [(&str, &str); 1] = [("plan_cache_mode", "force_generic_plan")];
