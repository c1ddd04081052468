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

use chassis::{
    Problem,
    postgres::{Health, Heartbeat, Pool, PooledConnection},
};
use futures_util::future::join_all;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

use super::{
    cache::Freshness,
    expensive::ExpensiveReads,
    places::{Places, UnknownPlace},
    query::{RatesQuery, Role, Statistics},
    sql::{self, Lane, LaneRange},
};
use crate::{database::Database, settings::ApiSettings};

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

/// Why lanes could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// The database failed.
    Failed(Problem),
    /// Places that do not exist.
    UnknownPlaces(Vec<UnknownPlace>),
}

impl From<Problem> for ReadError {
    fn from(problem: Problem) -> Self {
        Self::Failed(problem)
    }
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
    places: Arc<Places>,
    /// Admits reads that are not shared.
    pub(crate) expensive: ExpensiveReads,
}

impl LaneReader {
    pub(crate) fn new(
        database: &Database,
        api: &ApiSettings,
        freshness: Arc<Freshness>,
        places: Arc<Places>,
    ) -> Self {
        let reader = |pool| PoolReader::new(pool, api.expensive_reads);
        Self {
            expensive: ExpensiveReads::new(api),
            primary: reader(database.primary.clone()),
            replicas: database.replicas.iter().cloned().map(reader).collect(),
            turn: AtomicUsize::new(0),
            health: Arc::clone(&database.health),
            freshness,
            places,
        }
    }

    /// The lane of a query, from a state of the data no older than `newest_known`.
    pub async fn read(
        self: &Arc<Self>,
        query: &RatesQuery<'_>,
        newest_known: i64,
    ) -> Result<Lane, ReadError> {
        let mut lanes = self.read_all(std::slice::from_ref(query), newest_known).await?;
        Ok(lanes.remove(0))
    }

    /// The lanes of several queries, all from one state of the data. Percentiles are read for a single lane only.
    pub async fn read_all(
        self: &Arc<Self>,
        queries: &[RatesQuery<'_>],
        newest_known: i64,
    ) -> Result<Vec<Lane>, ReadError> {
        let lanes = if ExpensiveReads::include(queries) {
            self.read_expensive(queries, newest_known).await?
        } else {
            self.read_anywhere(queries, newest_known).await
        };
        let lanes = lanes.map_err(|error| self.health.problem(error))?;
        // A lane that has prices has both its places.
        if lanes.iter().any(|lane| lane.days.is_empty()) {
            self.check_places(queries, &lanes).await?;
        }
        Ok(lanes)
    }

    /// Reads once the reads of this kind that run leave room for one more.
    async fn read_expensive(
        self: &Arc<Self>,
        queries: &[RatesQuery<'_>],
        newest_known: i64,
    ) -> Result<Result<Vec<Lane>, Arc<sqlx::Error>>, Problem> {
        let permit = self.expensive.admit().await?;
        let reader = Arc::clone(self);
        let queries: Vec<RatesQuery<'static>> = queries.iter().map(RatesQuery::to_static).collect();
        // A separate task: when the client disconnects, its statement still runs, and so still counts.
        let reading = tokio::spawn(async move {
            let lanes = reader.read_anywhere(&queries, newest_known).await;
            drop(permit);
            lanes
        });
        Ok(reading.await.unwrap_or_else(|_| Err(Arc::new(sqlx::Error::WorkerCrashed))))
    }

    async fn read_anywhere(
        &self,
        queries: &[RatesQuery<'_>],
        newest_known: i64,
    ) -> Result<Vec<Lane>, Arc<sqlx::Error>> {
        // Without a known version, a replica could miss writes of this instance.
        if newest_known > 0
            && let Some(replica) = self.next_replica()
        {
            tokio::select! {
                lanes = replica.read(queries) => match lanes {
                    Ok(lanes) if lanes[0].version.version >= newest_known => return Ok(lanes),
                    Ok(_) => {}
                    Err(error) if chassis::postgres::is_outage(&error) => {
                        tracing::warn!(error = %error, "a read replica failed; the primary answers");
                    }
                    Err(error) => return Err(error),
                },
                () = replica.0.heartbeat.is_down() => {}
            }
        }
        let lanes = self.primary.read(queries).await?;
        self.health.worked();
        self.freshness.observe(lanes[0].version.version);
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
        self.primary.read_shared(LaneRange::default()).await.map(drop)
    }

    async fn check_places(&self, queries: &[RatesQuery<'_>], lanes: &[Lane]) -> Result<(), ReadError> {
        let catalogue = self.places.at(lanes[0].version).await?;
        let unknown: Vec<_> = queries
            .iter()
            .enumerate()
            .flat_map(|(lane, query)| {
                [(lane, Role::Origin, &query.origin), (lane, Role::Destination, &query.destination)]
            })
            .filter_map(|(lane, role, place)| UnknownPlace::check(&catalogue, lane, role, place))
            .collect();
        if unknown.is_empty() { Ok(()) } else { Err(ReadError::UnknownPlaces(unknown)) }
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
}

/// A request that waits for a statement.
#[derive(Debug)]
struct WaitingRead {
    range: LaneRange,
    reply: oneshot::Sender<Result<Lane, Arc<sqlx::Error>>>,
}

impl PoolReader {
    fn new(pool: Pool, expensive_reads: usize) -> Self {
        let connections = pool.max_size() as usize;
        // Leaves a quarter of the connections for everything else, beside those of expensive reads.
        let most = (connections - connections / 4).saturating_sub(expensive_reads).max(1);
        let quick = most.min(QUICK_STATEMENTS);
        Self(Arc::new(SharedReader {
            pool,
            heartbeat: Heartbeat::default(),
            waiting: Mutex::default(),
            turns: Arc::new(Semaphore::new(quick)),
            more_turns: Arc::new(Semaphore::new(most - quick)),
        }))
    }

    async fn read(&self, queries: &[RatesQuery<'_>]) -> Result<Vec<Lane>, Arc<sqlx::Error>> {
        match queries {
            [query] if query.statistics == Statistics::Mean => {
                Ok(vec![self.read_shared(LaneRange::from(query)).await?])
            }
            // Boxed; otherwise every answer's future would be as large as these need.
            queries => Box::pin(self.read_alone(queries)).await.map_err(Arc::new),
        }
    }

    /// Reads by a statement of its own.
    async fn read_alone(&self, queries: &[RatesQuery<'_>]) -> Result<Vec<Lane>, sqlx::Error> {
        let pool = &self.0.pool;
        if let [query] = queries {
            let read = async || {
                let mut connection = pool.acquire().await?;
                connection.limited(|connection| sql::read_lane_with_percentiles(connection, query)).await
            };
            return Ok(vec![pool.retry(read).await?]);
        }
        let ranges: Vec<LaneRange> = queries.iter().map(LaneRange::from).collect();
        pool.retry(|| sql::read_lanes(pool, &ranges)).await
    }

    /// Reads by a shared statement that begins after this call, so that it sees every earlier commit.
    async fn read_shared(&self, range: LaneRange) -> Result<Lane, Arc<sqlx::Error>> {
        let (reply, mut answered) = oneshot::channel();
        self.waiting().push_back(WaitingRead { range, reply });
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
            days += first.range.days();
            if reads.len() == MAX_REQUESTS || (days > MAX_DAYS && !reads.is_empty()) {
                break;
            }
            // Drops requests whose client has disconnected.
            reads.extend(waiting.pop_front().filter(|read| !read.reply.is_closed()));
        }
        reads
    }

    async fn answer(&self, reads: Vec<WaitingRead>, connection: &TurnConnection) {
        let (ranges, replies): (Vec<_>, Vec<_>) =
            reads.into_iter().map(|read| (read.range, read.reply)).unzip();
        let pool = &self.0.pool;
        // Sending fails if the client has disconnected.
        match pool.retry(|| connection.read_lanes(pool, &ranges)).await {
            Ok(lanes) => {
                for (reply, lane) in replies.into_iter().zip(lanes) {
                    let _ = reply.send(Ok(lane));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for reply in replies {
                    let _ = reply.send(Err(Arc::clone(&error)));
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
    async fn read_lanes(&self, pool: &Pool, ranges: &[LaneRange]) -> Result<Vec<Lane>, sqlx::Error> {
        let free = self.free().take();
        let (mut connection, since) = match free {
            Some(free) => free,
            None => (pool.acquire().await?, Instant::now()),
        };
        let lanes = sql::read_lanes(&mut connection, ranges).await?;
        if since.elapsed() < KEEP_CONNECTION {
            *self.free() = Some((connection, since));
        }
        Ok(lanes)
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Option<(PooledConnection, Instant)>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
