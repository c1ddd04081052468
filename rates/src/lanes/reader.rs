//! Reads lanes from the database: by statements that requests share, or from the prices, a few at a time.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chassis::postgres::{Health, Heartbeat, Pool, PooledConnection};
use futures_util::future::join_all;

use super::{
    expensive::ExpensiveReads,
    freshness::Freshness,
    lane::LaneRange,
    queue::{Queue, Statements},
    sql::{self, LaneDays},
};
use crate::{database::Database, privacy::Privacy, settings::ApiSettings};

/// How long a turn keeps its connection before returning it to the pool, where others may wait for it.
const KEEP_CONNECTION: Duration = Duration::from_millis(50);

/// Why lanes could not be read. Cheap to clone, because several requests may share a read.
#[derive(Debug, Clone)]
pub(crate) enum ReadError {
    /// The database failed.
    Database(Arc<sqlx::Error>),
    /// Too many expensive reads run; see [`ExpensiveReads`].
    TooManyExpensive,
}

impl ReadError {
    /// Whether a stale answer is better than this error: the database is unreachable, or too many expensive reads run.
    pub(crate) fn allows_stale_answer(&self) -> bool {
        match self {
            Self::Database(error) => chassis::postgres::is_outage(error),
            Self::TooManyExpensive => true,
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
        }
    }

    /// The days of these ranges that are not hidden, all from one state of the data, which is no older than `oldest`.
    pub(crate) async fn read(
        self: &Arc<Self>,
        ranges: &[LaneRange],
        oldest: i64,
    ) -> Result<Vec<LaneDays>, ReadError> {
        // Percentiles of intervals are never stored.
        let need_prices = ranges.iter().any(|range| range.percentile_interval.is_some());
        let mut lanes =
            if need_prices { Vec::new() } else { self.read_anywhere(Read::Shared(ranges), oldest).await? };
        if need_prices || ranges.iter().zip(&lanes).any(|(range, lane)| !lane.is_full(range)) {
            lanes = self.read_prices(ranges.to_vec(), oldest).await?;
        }
        for lane in &mut lanes {
            lane.hide_days(self.primary.pool.privacy);
        }
        Ok(lanes)
    }

    /// Reads prices, once the reads of this kind that run leave room for one more.
    async fn read_prices(
        self: &Arc<Self>,
        ranges: Vec<LaneRange>,
        oldest: i64,
    ) -> Result<Vec<LaneDays>, ReadError> {
        let permit = self.expensive.admit().await.ok_or(ReadError::TooManyExpensive)?;
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
                () = replica.heartbeat.is_down() => {}
            }
        }
        let lanes = self.primary.read(read).await?;
        self.health.worked();
        Ok(lanes)
    }

    fn next_replica(&self) -> Option<&PoolReader> {
        let up = || self.replicas.iter().filter(|replica| replica.heartbeat.is_up());
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        up().nth(turn.checked_rem(up().count())?)
    }

    /// Learns which replicas answer; does not return.
    pub(super) async fn watch_replicas(&self) {
        join_all(self.replicas.iter().map(|replica| replica.heartbeat.beat(&replica.pool.connections))).await;
    }

    /// How many replicas answer.
    #[must_use]
    pub fn replicas_up(&self) -> usize {
        self.replicas.iter().filter(|replica| replica.heartbeat.is_up()).count()
    }

    /// Reads from the primary as requests do, and waits behind them as they do.
    pub(crate) async fn probe(&self) -> Result<(), Arc<sqlx::Error>> {
        self.primary.queue.read(&[LaneRange::probe()]).await.map(drop)
    }
}

/// Reads lanes through the connections of one pool.
#[derive(Debug)]
struct PoolReader {
    pool: LanePool,
    /// Of a replica.
    heartbeat: Heartbeat,
    queue: Queue<LanePool>,
}

impl PoolReader {
    fn new(pool: Pool, api: &ApiSettings) -> Self {
        let connections = pool.max_size() as usize;
        // Leaves a quarter of the connections for everything else, beside those of expensive reads.
        let most = (connections - connections / 4).saturating_sub(api.expensive_reads).max(1);
        let pool = LanePool { connections: pool, privacy: api.privacy() };
        Self { heartbeat: Heartbeat::default(), queue: Queue::new(pool.clone(), most), pool }
    }

    async fn read(&self, read: Read<'_>) -> Result<Vec<LaneDays>, Arc<sqlx::Error>> {
        match read {
            Read::Shared(ranges) => self.queue.read(ranges).await,
            // Boxed; otherwise every answer's future would be as large as this needs.
            Read::Prices(ranges) => Box::pin(self.pool.read_prices(ranges)).await,
        }
    }
}

/// The pool that lanes are read through; cheap to clone.
#[derive(Debug, Clone)]
struct LanePool {
    connections: Pool,
    privacy: Privacy,
}

impl LanePool {
    async fn read_prices(&self, ranges: &[LaneRange]) -> Result<Vec<LaneDays>, Arc<sqlx::Error>> {
        let read = async || {
            let mut connection = self.connections.acquire().await?;
            connection.limited(async |it| sql::read_prices(it, ranges, self.privacy).await).await
        };
        Ok(self.connections.retry(read).await?)
    }
}

/// The statements that several requests share.
impl Statements for LanePool {
    type Range = LaneRange;
    type Answer = LaneDays;
    type Error = Arc<sqlx::Error>;
    type Turn = TurnConnection;

    fn days(range: &LaneRange) -> i64 {
        range.days()
    }

    async fn read(
        &self,
        turn: &TurnConnection,
        ranges: &[LaneRange],
    ) -> Result<Vec<LaneDays>, Arc<sqlx::Error>> {
        Ok(self.connections.retry(|| turn.read_lanes(self, ranges)).await?)
    }

    fn panicked() -> Arc<sqlx::Error> {
        Arc::new(sqlx::Error::WorkerCrashed)
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
    async fn read_lanes(&self, lanes: &LanePool, ranges: &[LaneRange]) -> Result<Vec<LaneDays>, sqlx::Error> {
        let free = self.free().take();
        let (mut connection, since) = match free {
            Some(free) => free,
            None => (lanes.connections.acquire().await?, Instant::now()),
        };
        let lanes = connection.limited(async |it| sql::read_lanes(it, ranges, lanes.privacy).await).await?;
        if since.elapsed() < KEEP_CONNECTION {
            *self.free() = Some((connection, since));
        }
        Ok(lanes)
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Option<(PooledConnection, Instant)>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_answer_stands_in_for_an_outage_and_not_for_a_wrong_statement() {
        assert!(ReadError::from(sqlx::Error::PoolTimedOut).allows_stale_answer());
        assert!(ReadError::TooManyExpensive.allows_stale_answer());
        assert!(!ReadError::from(sqlx::Error::RowNotFound).allows_stale_answer());
    }

    #[test]
    fn a_statement_counts_every_day_of_a_range() {
        let january_1970 = LaneRange { to: "1970-01-31".parse().unwrap(), ..LaneRange::probe() };
        assert_eq!(LanePool::days(&january_1970), 31);
    }
}
