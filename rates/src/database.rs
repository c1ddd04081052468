//! The pools of the primary and of its replicas, and the schema.

use std::{sync::Arc, time::Duration};

use chassis::{
    Failure,
    postgres::{self, DatabaseSettings, Health, Pool, Primary},
};
use futures_util::future::join_all;
use sqlx::{PgPool, migrate::Migrator};

use crate::settings::{BatchSettings, HookSettings};

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
    pub primary: Pool,
    /// Also to the primary, for long transactions: those that store, withdraw or list batches.
    pub batches: Pool,
    /// Also to the primary, for messages: a worker holds a transaction while a receiver answers.
    pub hooks: Pool,
    /// For reads of lanes.
    pub replicas: Vec<Pool>,
    /// The primary itself, also where there is a pooler; finds it again after a failover.
    pub primary_server: Arc<Primary>,
    /// Whether the primary can be reached.
    pub health: Arc<Health>,
}

impl Database {
    /// Creates pools that connect when they are first used, so that a server can start before its database.
    pub fn new(
        settings: &DatabaseSettings,
        batches: &BatchSettings,
        hooks: &HookSettings,
    ) -> Result<Self, Failure> {
        let servers = settings.primaries().map_err(postgres::failure_of)?;
        let replicas = settings.replicas().map_err(postgres::failure_of)?;
        let reads = |options: sqlx::postgres::PgConnectOptions| {
            let options = options.application_name("rates").options(SAME_PLAN);
            Pool::new(settings, options, settings.pool_size, settings.statement_timeout_seconds)
        };
        let batches = Pool::new(
            settings,
            servers[0].clone().application_name("rates batches"),
            batches.pool_size,
            batches.statement_timeout_seconds,
        );
        let hooks = Pool::new(
            settings,
            servers[0].clone().application_name("rates hooks"),
            hooks.workers,
            hooks.timeout_seconds + settings.statement_timeout_seconds,
        );
        let primary = reads(servers[0].clone());
        let primary_server = if settings.has_pooler() {
            // The pooler follows a failover itself.
            Primary::new(settings.direct().map_err(postgres::failure_of)?, Vec::new())
        } else {
            Primary::new(servers, vec![primary.clone(), batches.clone(), hooks.clone()])
        };
        Ok(Self {
            primary_server: Arc::new(primary_server),
            primary,
            batches,
            hooks,
            replicas: replicas.into_iter().map(reads).collect(),
            health: Arc::default(),
        })
    }

    /// A database with one pool, for tests.
    #[must_use]
    pub fn of(primary: PgPool) -> Self {
        let primary = Pool::of(primary, TEST_LIMIT);
        let primary_server = Arc::new(Primary::new(vec![(*primary.options()).clone()], Vec::new()));
        let (batches, hooks) = (primary.clone(), primary.clone());
        Self { primary_server, batches, hooks, primary, replicas: Vec::new(), health: Arc::default() }
    }

    /// The same with these replicas.
    #[must_use]
    pub fn with_replicas(self, replicas: Vec<PgPool>) -> Self {
        let replicas = replicas.into_iter().map(|replica| Pool::of(replica, TEST_LIMIT)).collect();
        Self { replicas, ..self }
    }

    /// Closes the connections.
    pub(crate) async fn close(&self) {
        join_all(self.replicas.iter().chain([&self.primary, &self.batches, &self.hooks]).map(Pool::close))
            .await;
    }
}

/// The limit of a use of a connection in tests, which have no settings for it.
const TEST_LIMIT: Duration = Duration::from_secs(10);

/// Plans the reads of requests only once: there is one way to scan a primary key, and planning each statement takes
/// PostgreSQL as long as the scan.
const SAME_PLAN: [(&str, &str); 1] = [("plan_cache_mode", "force_generic_plan")];
