//! The queue and the store that the settings name.

use std::sync::Arc;

use chassis::{
    Exit, Failure,
    embedded::EmbeddedFile,
    exit::OrFail,
    jobs::{FileQueue, PostgresQueue, Queue},
    postgres::{self, Pool, Primary},
};
use sqlx::migrate::Migrator;

use crate::{
    settings::Settings,
    store::{FileStore, PostgresStore, Store},
};

/// The name of the queue, since others may share its server.
const QUEUE: &str = "multivac";

/// The schema, compiled in. A database with other migrations is accepted: those of a newer release, so that it can be
/// rolled back, and those of another service.
pub static MIGRATOR: Migrator = {
    let mut migrator = sqlx::migrate!();
    migrator.ignore_missing = true;
    migrator
};

/// What requests and workers share; cheap to clone.
#[derive(Clone)]
pub struct Backend {
    /// The queue of new data.
    pub queue: Arc<dyn Queue>,
    /// Where workers store data.
    pub store: Arc<dyn Store>,
    /// The file of both, if there is no database; only this process can use it.
    pub file: Option<EmbeddedFile>,
    /// The database server that takes writes, where there is a database.
    pub primary: Option<Arc<Primary>>,
    pools: Vec<Pool>,
}

impl Backend {
    /// Opens what the settings name. Fails if a file cannot be opened or a database lacks migrations, but not if a
    /// server does not answer.
    pub async fn open(settings: &Settings) -> Result<Self, Failure> {
        if !settings.database.is_configured() {
            return Self::open_file(settings);
        }
        let database = &settings.database;
        let servers = database.primaries().map_err(postgres::failure_of)?;
        let pool = |name, size| {
            let options = servers[0].clone().application_name(name);
            Pool::new(database, options, size, database.statement_timeout_seconds)
        };
        let store = pool("multivac", database.pool_size);
        let mut pools = vec![store.clone()];
        let queue: Arc<dyn Queue> = if settings.redis.is_configured() {
            Arc::new(settings.redis.queue(QUEUE)?)
        } else {
            let workers = pool("multivac work", settings.worker.count);
            pools.push(workers.clone());
            Arc::new(PostgresQueue::new(QUEUE, store.clone(), workers))
        };
        let primary = Primary::new(servers, pools.clone());
        // Points the pools to the server that takes writes. If none answers, `check_schema` reports it.
        let _ = primary.connect("multivac").await;
        postgres::check_schema(&store, database, &MIGRATOR, "multivac").await?;
        let (store, primary) = (Arc::new(PostgresStore(store)), Some(Arc::new(primary)));
        Ok(Self { queue, store, file: None, primary, pools })
    }

    fn open_file(settings: &Settings) -> Result<Self, Failure> {
        let path = &settings.store.file;
        let unusable = || {
            format!("cannot open {}; one process alone can use it: a server that runs has it", path.display())
        };
        let file =
            EmbeddedFile::open(path, settings.store.cache_bytes).or_fail(Exit::Unavailable, unusable)?;
        let store = FileStore::new(file.clone()).or_fail(Exit::Unavailable, unusable)?;
        Ok(Self {
            queue: Arc::new(FileQueue::new(file.clone())),
            store: Arc::new(store),
            file: Some(file),
            primary: None,
            pools: Vec::new(),
        })
    }

    /// Closes the connections.
    pub(crate) async fn close(&self) {
        for pool in &self.pools {
            pool.close().await;
        }
    }

    /// Whether requests can be answered now; if not, what does not answer.
    pub(crate) async fn ready(self) -> Result<(), String> {
        if let Some(Err(error)) = self.file.as_ref().map(EmbeddedFile::check_writable) {
            return Err(error.to_string());
        }
        let (queue, store) = tokio::join!(self.queue.depth(), self.store.oldest());
        for (name, problem) in [("the queue", queue.err()), ("the store", store.err())] {
            if let Some(problem) = problem {
                tracing::warn!(cause = problem.cause_chain(), "{name} does not answer");
                return Err(format!("{name} does not answer"));
            }
        }
        Ok(())
    }
}
