//! Connections to the database, its migrations, and whether it can be reached.

use std::{
    error::Error,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chassis::Problem;

use sqlx::{
    ConnectOptions, PgExecutor, PgPool, Postgres,
    migrate::Migrator,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{settings::DatabaseSettings, sql};

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

/// Whether the last use of the database worked, and if it cannot be reached, why.
#[derive(Debug, Default)]
pub struct Health {
    up: AtomicBool,
    unreachable: Mutex<Option<Arc<sqlx::Error>>>,
}

impl Health {
    /// Whether the last use worked.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// A use of the database worked.
    pub fn worked(&self) {
        // Written where it changes only: all requests share it.
        if !self.is_up() {
            self.up.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a connection could be made just now; if not, why.
    pub(crate) fn connected(&self, result: Result<(), Arc<sqlx::Error>>) {
        self.up.store(result.is_ok(), Ordering::Relaxed);
        *self.reason() = result.err();
    }

    /// The problem that this failed use of the database is. A pool reports only that it timed out; the cause is then what
    /// the last attempt to connect met.
    pub(crate) fn problem(&self, error: impl Into<Arc<sqlx::Error>>) -> Problem {
        let error = error.into();
        if chassis::postgres::is_outage(&error) {
            self.up.store(false, Ordering::Relaxed);
        }
        let reason = self.reason().clone().filter(|_| matches!(*error, sqlx::Error::PoolTimedOut));
        let problem = Problem::from(Arc::clone(&error));
        match reason {
            Some(reason) => problem.cause(Unreachable { error, reason }),
            None => problem,
        }
    }

    fn reason(&self) -> std::sync::MutexGuard<'_, Option<Arc<sqlx::Error>>> {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A failed use of the database, with why it cannot be reached.
#[derive(Debug)]
struct Unreachable {
    error: Arc<sqlx::Error>,
    reason: Arc<sqlx::Error>,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Unreachable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.reason)
    }
}

/// A setting that cannot be used.
#[derive(Debug)]
pub struct WrongSetting {
    setting: &'static str,
    fault: String,
}

impl From<(&'static str, String)> for WrongSetting {
    fn from((setting, fault): (&'static str, String)) -> Self {
        Self { setting, fault }
    }
}

impl fmt::Display for WrongSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.fault)
    }
}

impl Error for WrongSetting {}

impl Database {
    /// Connects when it is first asked, so that a server can start before its database.
    pub fn new(settings: &DatabaseSettings) -> Result<Self, WrongSetting> {
        let primary = pool(
            settings,
            settings.primary()?.application_name("rates").options(SAME_PLAN),
            settings.pool_size,
            settings.statement_timeout_seconds,
        );
        Ok(Self {
            primary,
            batches: pool(
                settings,
                settings.primary()?.application_name("rates batches"),
                settings.batch_pool_size,
                settings.batch_statement_timeout_seconds,
            ),
            replicas: settings
                .replicas()?
                .into_iter()
                .map(|options| {
                    let options = options.application_name("rates").options(SAME_PLAN);
                    let size = settings.pool_size;
                    pool(settings, options, size, settings.statement_timeout_seconds)
                })
                .collect(),
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

    /// A connection for one batch, closed after it. One that was left in the middle of COPY or of a long statement, since
    /// its client went away, must not meet the next batch; a new connection costs a hundredth of what a batch does.
    pub(crate) async fn for_batch(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let mut connection = self.batches.acquire().await?;
        connection.close_on_drop();
        Ok(connection)
    }
}

/// The reads of requests are planned once: there is one way to scan a primary key, and to find it anew for each statement
/// took PostgreSQL as long as the scan.
const SAME_PLAN: [(&str, &str); 1] = [("plan_cache_mode", "force_generic_plan")];

fn pool(
    settings: &DatabaseSettings,
    options: PgConnectOptions,
    size: u32,
    statement_timeout_seconds: f64,
) -> PgPool {
    let timeout_ms = format!("{}ms", (statement_timeout_seconds * 1000.0).ceil());
    // What is slow is said in proportion to what the pool is for: a second for a read.
    let slow = Duration::from_secs_f64(statement_timeout_seconds / 5.0);
    let options = options
        .options([("statement_timeout", timeout_ms.as_str()), ("jit", "off")])
        .log_slow_statements(tracing::log::LevelFilter::Warn, slow);
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(settings.acquire_timeout())
        // A ping before each use would double the round trips of a read. A connection that died in the pool costs one
        // request a retry (see `chassis::postgres::retry`).
        .test_before_acquire(false)
        .max_lifetime(Duration::from_mins(30))
        .connect_lazy_with(options)
}

/// The migrations of [`MIGRATOR`] that the database lacks, in order.
pub async fn pending_migrations(executor: impl PgExecutor<'_>) -> Result<Vec<String>, sqlx::Error> {
    let applied = sql::migrations::applied(executor).await?;
    Ok(MIGRATOR
        .iter()
        .filter(|migration| migration.migration_type.is_up_migration())
        .filter(|migration| !applied.contains(&migration.version))
        .map(|migration| format!("{} {}", migration.version, migration.description))
        .collect())
}
