//! What the handlers of all routes share.

use std::{sync::Arc, time::Duration};

use axum::extract::FromRef;
use chassis::{Problem, postgres, worker::Queue};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
    registry::Registry,
};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    batches::{QUEUE, outcomes::Outcomes, parse::Rules, slots::UploadSlots, spool::PieceStore},
    database::{Database, MIGRATOR},
    hooks,
    lanes::Lanes,
    places::Catalogue,
    settings::{ApiSettings, BatchSettings, HookSettings, Settings},
    summaries::LaneLists,
    suppliers::limits::{ReadLimit, WriteLimits, WrongKeyLimit},
};

/// Less than the limit of the whole check in `service.rs`, so that the reason can be logged.
const READY_TIMEOUT: Duration = Duration::from_millis(1500);

/// The state of the service; cheap to clone. Handlers of lanes take only [`Lanes`].
#[derive(Debug, Clone)]
pub struct App(Arc<AppState>);

/// See [`App`].
#[derive(Debug)]
pub struct AppState {
    /// The state of the handlers of lanes.
    pub lanes: Lanes,
    /// The pools of the database.
    pub database: Database,
    /// Settings of requests.
    pub api_settings: ApiSettings,
    /// Settings of batches.
    pub batch_settings: BatchSettings,
    /// Settings of webhooks.
    pub hook_settings: HookSettings,
    /// What the content of batches may have.
    pub rules: Rules,
    /// Rate limits of writes.
    pub write_limits: WriteLimits,
    /// Counts and limits reads by key.
    pub read_limit: ReadLimit,
    /// How many wrong keys an address may send.
    pub wrong_keys: WrongKeyLimit,
    /// The turn to read a workbook: one at a time, because it must be in memory.
    pub workbook_turn: Semaphore,
    /// Counters of how batches end.
    pub outcomes: Outcomes,
    /// The uploads that run.
    pub uploads: UploadSlots,
    /// Where uploads are kept until they have ended.
    pub pieces: PieceStore,
    /// The lanes that have prices.
    pub summaries: LaneLists,
    /// The queue of batches.
    pub batch_queue: Queue,
    /// The queue of messages to receivers.
    pub hook_queue: Queue,
}

impl std::ops::Deref for App {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.0
    }
}

impl FromRef<App> for Lanes {
    fn from_ref(app: &App) -> Self {
        app.lanes.clone()
    }
}

impl App {
    /// The state for this database. Reads nothing yet.
    #[must_use]
    pub fn new(database: Database, settings: &Settings) -> Self {
        let Settings { api, cache, batches, hooks: hook_settings, .. } = settings;
        let lanes = Lanes::new(&database, api, cache);
        Self(Arc::new(AppState {
            summaries: LaneLists::new(api.privacy(), cache.stale_seconds, Arc::clone(&lanes.freshness)),
            lanes,
            batch_queue: Queue::new(QUEUE, database.primary.clone()),
            hook_queue: Queue::new(hooks::QUEUE, database.primary.clone()),
            hook_settings: hook_settings.clone(),
            uploads: UploadSlots::new(batches),
            workbook_turn: Semaphore::new(1),
            pieces: PieceStore::new(database.primary.clone()),
            database,
            api_settings: api.clone(),
            outcomes: Outcomes::default(),
            read_limit: ReadLimit::new(api.reads_per_minute_by_key),
            wrong_keys: WrongKeyLimit::new(api.wrong_keys_per_minute),
            write_limits: WriteLimits::new(batches.per_minute_by_key, batches.per_minute_by_address),
            rules: batches.rules(),
            batch_settings: batches.clone(),
        }))
    }

    /// The places as they are now.
    pub async fn catalogue(&self) -> Result<Arc<Catalogue>, Problem> {
        self.lanes.places.now().await
    }

    /// Registers the metrics of this service.
    pub fn register_metrics(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Instruments(self.clone())));
        self.outcomes.register(registry);
        self.read_limit.register(registry);
        self.lanes.reader.expensive.register(registry);
        self.lanes.store.register(registry);
    }

    /// The check of `/readyz`: the database has the schema that this program needs, and answers as it does to readers.
    pub async fn ready(&self) -> Result<(), String> {
        let check = async {
            let pending = postgres::pending_migrations(&self.database.primary, &MIGRATOR).await?;
            if pending.is_empty() {
                self.lanes.reader.probe().await?;
            }
            Ok::<_, Arc<sqlx::Error>>(pending)
        };
        match timeout(READY_TIMEOUT, check).await.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into())) {
            Ok(pending) if pending.is_empty() => Ok(()),
            Ok(pending) => Err(format!("{} migrations are pending; run `rates migrate`", pending.len())),
            Err(error) => {
                let problem = self.database.health.problem(error);
                tracing::warn!(cause = problem.cause_chain(), "not ready: the database does not answer");
                Err("the database does not answer".into())
            }
        }
    }
}

/// Metrics that are read only when they are scraped, so they cost requests nothing.
#[derive(Debug)]
struct Instruments(App);

impl Collector for Instruments {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let app = &self.0;
        let pool = &app.database.primary;
        let lanes = &app.lanes;
        #[expect(clippy::cast_possible_wrap, reason = "bytes and connections are far below 2^63")]
        let gauges = [
            (
                "cache_bytes",
                "Bytes of lanes and answers in memory",
                (lanes.store.size() + lanes.answers.size()) as i64,
            ),
            ("database_connections", "Connections to the primary", i64::from(pool.size())),
            ("database_connections_idle", "Of these, idle", pool.num_idle() as i64),
            ("uploads", "Uploads of batches that run", app.uploads.running() as i64),
            (
                "database_up",
                "1 if the last read of the primary worked, else 0",
                i64::from(app.database.health.is_up()),
            ),
            ("replicas_up", "Read replicas that answer", app.lanes.reader.replicas_up() as i64),
            (
                "database_listening",
                "1 while notifications of data changes arrive",
                i64::from(app.lanes.freshness.current().is_some()),
            ),
        ];
        // The version is the time of the last change in microseconds. Until it is known there is no age.
        let age = Some(lanes.freshness.version()).filter(|version| *version > 0).map(|version| {
            let age = chrono::Utc::now().timestamp() - version / 1_000_000;
            ("data_age_seconds", "Time since prices or places last changed", age)
        });
        for (name, help, value) in gauges.into_iter().chain(age) {
            let gauge = ConstGauge::new(value);
            let name = format!("rates_{name}");
            let metric = encoder.encode_descriptor(&name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}
