//! The pools of the primary and of its replicas, and the schema.

use std::sync::Arc;

use chassis::{
    Failure,
    postgres::{self, DatabaseSettings, Health},
};
use sqlx::{PgPool, Postgres, migrate::Migrator, pool::PoolConnection};

use crate::settings::BatchSettings;

/// The schema, compiled in. Newer migrations than these are accepted, or a release could not be rolled back.
pub static MIGRATOR: Migrator = {
    let mut migrator = sqlx::migrate!("../db/migrations");
    migrator.ignore_missing = true;
    migrator
};

/// The pools of the primary and of its read replicas.
#[derive(Debug)]
pub struct Database {
    /// Takes writes, and the reads that must not lag.
    pub primary: PgPool,
    /// To the primary as well, for batches: long transactions, some as long as a client sends.
    pub batches: PgPool,
    /// Take reads of lanes.
    pub replicas: Vec<PgPool>,
    /// Whether the primary can be reached.
    pub health: Arc<Health>,
}

impl Database {
    /// Pools that connect when they are first used, so that a server can start before its database.
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

    /// A database of one pool, as tests have it.
    #[must_use]
    pub fn of(primary: PgPool) -> Self {
        Self { batches: primary.clone(), primary, replicas: Vec::new(), health: Arc::default() }
    }

    /// The same with these replicas.
    #[must_use]
    pub fn with_replicas(self, replicas: Vec<PgPool>) -> Self {
        Self { replicas, ..self }
    }

    /// A connection for one batch, closed after it. One that was left in the middle of COPY or of a long statement,
    /// since its client went away, must not meet the next batch; a new connection costs little beside a batch.
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

/// The reads of requests are planned once: there is one way to scan a primary key, and planning anew for each statement
/// takes PostgreSQL as long as the scan.
const SAME_PLAN: [(&str, &str); 1] = [("plan_cache_mode", "force_generic_plan")];
