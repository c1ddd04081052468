//! Reads lanes. Requests that arrive while statements run share the next statement.
//!
//! A statement costs PostgreSQL and the service more than the lane that it reads: a message, two wake-ups, a message
//! back. Under load several requests share a statement and its cost. A single request gets its own statement without
//! waiting. No request is delayed to make a statement larger.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chassis::postgres::{Health, Heartbeat, Pool, PooledConnection};
use futures_util::future::join_all;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

use super::{
    expensive::ExpensiveReads,
    freshness::Freshness,
    lane::LaneRange,
    sql::{self, LaneDays},
};
use crate::{database::Database, privacy::Privacy, settings::ApiSettings};

/// Concurrent statements, as long as they are fast. With one, PostgreSQL would idle while answers are written; with
/// many, each would serve only one request.
const QUICK_STATEMENTS: usize = 2;

/// A request that has waited this long starts one more statement, if the pool has a connection: the running ones are
/// slow, and other requests should not wait for them. Well above the time of a fast statement.
const PATIENCE: Duration = Duration::from_millis(20);

/// The maximum number of requests in a statement, and of days in all of them, so that the first request does not wait
/// long for the last. A single request may have more days.
const MAX_REQUESTS: usize = 32;
const MAX_DAYS: i64 = 4_000;

/// How long a turn keeps its connection before returning it to the pool, where others may wait for it.
const KEEP_CONNECTION: Duration = Duration::from_millis(50);

/// Why lanes could not be read. Cheap to clone, because several requests may share a read.
#[derive(Debug, Clone)]
pub(crate) enum ReadError {
    /// The database failed.
    Database(Arc<sqlx::Error>),
    /// Too many reads of this kind run.
    TooMany,
}

impl ReadError {
    /// Whether the database may be unreachable, so that a stale answer is better than none.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::Database(error) => chassis::postgres::is_outage(error),
            Self::TooMany => true,
        }
    }
}

impl<E: Into<Arc<sqlx::Error>>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

/// What is read.
#[derive(Debug, Clone, Copy)]
enum Read<'a> {
    /// These ranges, by a statement that others share.
    Shared(&'a [LaneRange]),
    /// These ranges, with statistics from the prices where they are not stored.
    Prices(&'a [LaneRange]),
}

/// Reads lanes from a replica if there is one that does not lag, else from the primary.
#[derive(Debug)]
pub struct LaneReader {
    primary: PoolReader,
    replicas: Vec<PoolReader>,
    /// Counts reads, so that replicas take turns.
    turn: AtomicUsize,
    health: Arc<Health>,
    freshness: Arc<Freshness>,
    privacy: Privacy,
    /// Admits reads of prices.
    pub(crate) expensive: ExpensiveReads,
}

impl LaneReader {
    pub(crate) fn new(database: &Database, api: &ApiSettings, freshness: Arc<Freshness>) -> Self {
        let reader = |pool| PoolReader::new(pool, api);
        Self {
            expensive: ExpensiveReads::new(api),
            primary: reader(database.primary.clone()),
            replicas: database.replicas.iter().cloned().map(reader).collect(),
            turn: AtomicUsize::new(0),
            health: Arc::clone(&database.health),
            freshness,
            privacy: api.privacy(),
        }
    }

    /// The days of these ranges that are not hidden, all from one state of the data, which is no older than `oldest`.
    pub(crate) async fn read(
        self: &Arc<Self>,
        ranges: &[LaneRange],
        oldest: i64,
    ) -> Result<Vec<LaneDays>, ReadError> {
        // Percentiles of intervals are never stored.
        let need_prices = ranges.iter().any(|range| range.interval.is_some());
        let mut lanes =
            if need_prices { Vec::new() } else { self.read_anywhere(Read::Shared(ranges), oldest).await? };
        if need_prices || ranges.iter().zip(&lanes).any(|(range, lane)| !lane.is_full(range)) {
            lanes = self.read_prices(ranges.to_vec(), oldest).await?;
        }
        for lane in &mut lanes {
            lane.hide_days(self.privacy);
        }
        Ok(lanes)
    }

    /// Reads prices, once the reads of this kind that run leave room for one more.
    async fn read_prices(
        self: &Arc<Self>,
        ranges: Vec<LaneRange>,
        oldest: i64,
    ) -> Result<Vec<LaneDays>, ReadError> {
        let permit = self.expensive.admit().await.ok_or(ReadError::TooMany)?;
        let reader = Arc::clone(self);
        // A separate task: when the client disconnects, its statement still runs, and so still counts.
        let reading = tokio::spawn(async move {
            let lanes = reader.read_anywhere(Read::Prices(&ranges), oldest).await;
            drop(permit);
            lanes
        });
        Ok(reading.await.unwrap_or_else(|_| Err(sqlx::Error::WorkerCrashed.into()))?)
    }

    async fn read_anywhere(&self, read: Read<'_>, oldest: i64) -> Result<Vec<LaneDays>, Arc<sqlx::Error>> {
        // Without notifications nobody knows how far a replica lags.
        if self.freshness.current().is_some()
            && let Some(replica) = self.next_replica()
        {
            tokio::select! {
                lanes = replica.read(read) => match lanes {
                    Ok(lanes) if lanes[0].version.version >= oldest => return Ok(lanes),
                    Ok(_) => {}
                    Err(error) if chassis::postgres::is_outage(&error) => {
                        tracing::warn!(error = %error, "a read replica failed; the primary answers");
                    }
                    Err(error) => return Err(error),
                },
                () = replica.0.heartbeat.is_down() => {}
            }
        }
        let lanes = self.primary.read(read).await?;
        self.health.worked();
        Ok(lanes)
    }

    fn next_replica(&self) -> Option<&PoolReader> {
        let up = || self.replicas.iter().filter(|replica| replica.0.heartbeat.is_up());
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        up().nth(turn.checked_rem(up().count())?)
    }

    /// Learns which replicas answer; does not return.
    pub(super) async fn watch_replicas(&self) {
        join_all(self.replicas.iter().map(|replica| replica.0.heartbeat.beat(&replica.0.pool))).await;
    }

    /// How many replicas answer.
    #[must_use]
    pub fn replicas_up(&self) -> usize {
        self.replicas.iter().filter(|replica| replica.0.heartbeat.is_up()).count()
    }

    /// Reads from the primary as requests do, and waits behind them as they do.
    pub(crate) async fn probe(&self) -> Result<(), Arc<sqlx::Error>> {
        self.primary.read_shared(&[LaneRange::probe()]).await.map(drop)
    }
}

/// Reads lanes through the connections of one pool; cheap to clone.
#[derive(Debug, Clone)]
struct PoolReader(Arc<SharedReader>);

#[derive(Debug)]
struct SharedReader {
    pool: Pool,
    /// Of a replica.
    heartbeat: Heartbeat,
    waiting: Mutex<VecDeque<WaitingRead>>,
    turns: Arc<Semaphore>,
    /// Further turns, for when the statements of the others are slow.
    more_turns: Arc<Semaphore>,
    privacy: Privacy,
}

/// A request that waits for a statement.
#[derive(Debug)]
struct WaitingRead {
    ranges: Vec<LaneRange>,
    reply: oneshot::Sender<Result<Vec<LaneDays>, Arc<sqlx::Error>>>,
}

impl PoolReader {
    fn new(pool: Pool, api: &ApiSettings) -> Self {
        let connections = pool.max_size() as usize;
        // Leaves a quarter of the connections for everything else, beside those of expensive reads.
        let most = (connections - connections / 4).saturating_sub(api.expensive_reads).max(1);
        let quick = most.min(QUICK_STATEMENTS);
        Self(Arc::new(SharedReader {
            pool,
            heartbeat: Heartbeat::default(),
            waiting: Mutex::default(),
            turns: Arc::new(Semaphore::new(quick)),
            more_turns: Arc::new(Semaphore::new(most - quick)),
            privacy: api.privacy(),
        }))
    }

    async fn read(&self, read: Read<'_>) -> Result<Vec<LaneDays>, Arc<sqlx::Error>> {
        match read {
            Read::Shared(ranges) => self.read_shared(ranges).await,
            // Boxed; otherwise every answer's future would be as large as this needs.
            Read::Prices(ranges) => Box::pin(self.read_prices(ranges)).await,
        }
    }

    async fn read_prices(&self, ranges: &[LaneRange]) -> Result<Vec<LaneDays>, Arc<sqlx::Error>> {
        let SharedReader { pool, privacy, .. } = &*self.0;
        let read = async || {
            let mut connection = pool.acquire().await?;
            connection.limited(async |connection| sql::read_prices(connection, ranges, *privacy).await).await
        };
        Ok(pool.retry(read).await?)
    }

    /// Reads by a shared statement that begins after this call, so that it sees every earlier commit.
    async fn read_shared(&self, ranges: &[LaneRange]) -> Result<Vec<LaneDays>, Arc<sqlx::Error>> {
        let (reply, mut answered) = oneshot::channel();
        self.waiting().push_back(WaitingRead { ranges: ranges.to_vec(), reply });
        let mut answer = None;
        if !self.start_turn(&self.0.turns) {
            answer = timeout(PATIENCE, &mut answered).await.ok();
            if answer.is_none() {
                self.start_turn(&self.0.more_turns);
            }
        }
        let answer = match answer {
            Some(answer) => answer,
            None => answered.await,
        };
        answer.unwrap_or_else(|_| Err(Arc::new(sqlx::Error::WorkerCrashed)))
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<WaitingRead>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the waiting requests if one of these turns is free; false if none is.
    fn start_turn(&self, turns: &Arc<Semaphore>) -> bool {
        let Ok(turn) = Arc::clone(turns).try_acquire_owned() else {
            return false;
        };
        // A separate task: when a client disconnects, the other requests of its statement must still be answered.
        tokio::spawn(self.clone().work(Arc::clone(turns), turn));
        true
    }

    /// Runs one statement after another until no request waits.
    async fn work(self, turns: Arc<Semaphore>, mut turn: OwnedSemaphorePermit) {
        loop {
            let connection = TurnConnection::default();
            loop {
                // Tasks that are ready can add their requests before the statement is closed.
                tokio::task::yield_now().await;
                let reads = self.next_reads();
                if reads.is_empty() {
                    break;
                }
                self.answer(reads, &connection).await;
            }
            drop(connection);
            drop(turn);
            // A request that arrived between the last check and the drop found no turn free, so check again.
            if self.waiting().is_empty() {
                return;
            }
            match Arc::clone(&turns).try_acquire_owned() {
                Ok(again) => turn = again,
                Err(_) => return,
            }
        }
    }

    /// The requests of the next statement.
    fn next_reads(&self) -> Vec<WaitingRead> {
        let mut waiting = self.waiting();
        let mut reads = Vec::new();
        let mut days = 0;
        while let Some(first) = waiting.front() {
            days += first.ranges.iter().map(LaneRange::days).sum::<i64>();
            if reads.len() == MAX_REQUESTS || (days > MAX_DAYS && !reads.is_empty()) {
                break;
            }
            // Drops requests whose client has disconnected.
            reads.extend(waiting.pop_front().filter(|read| !read.reply.is_closed()));
        }
        reads
    }

    async fn answer(&self, reads: Vec<WaitingRead>, connection: &TurnConnection) {
        let ranges: Vec<LaneRange> = reads.iter().flat_map(|read| read.ranges.iter().copied()).collect();
        let SharedReader { pool, privacy, .. } = &*self.0;
        // Sending fails if the client has disconnected.
        match pool.retry(|| connection.read_lanes(pool, &ranges, *privacy)).await {
            Ok(lanes) => {
                let mut lanes = lanes.into_iter();
                for read in reads {
                    let _ = read.reply.send(Ok(lanes.by_ref().take(read.ranges.len()).collect()));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for read in reads {
                    let _ = read.reply.send(Err(Arc::clone(&error)));
                }
            }
        }
    }
}

/// The connection of a turn, kept from statement to statement, because the pool would check each returned connection
/// with one more round trip.
#[derive(Default)]
struct TurnConnection {
    /// With the time when it was taken from the pool. None while a statement runs, and after a failed one.
    free: Mutex<Option<(PooledConnection, Instant)>>,
}

impl TurnConnection {
    async fn read_lanes(
        &self,
        pool: &Pool,
        ranges: &[LaneRange],
        privacy: Privacy,
    ) -> Result<Vec<LaneDays>, sqlx::Error> {
        let free = self.free().take();
        let (mut connection, since) = match free {
            Some(free) => free,
            None => (pool.acquire().await?, Instant::now()),
        };
        let lanes = connection.limited(async |it| sql::read_lanes(it, ranges, privacy).await).await?;
        if since.elapsed() < KEEP_CONNECTION {
            *self.free() = Some((connection, since));
        }
        Ok(lanes)
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Option<(PooledConnection, Instant)>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
