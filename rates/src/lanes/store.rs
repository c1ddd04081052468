//! Lanes by months: those in memory that are current, and the rest from the database.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::WeakShared};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokio::time::sleep;

use super::{
    freshness::{Freshness, Listening},
    lane::{Lane, LaneRange},
    memory::Memory,
    reader::{LaneReader, ReadError},
    sql::{DataVersion, LaneDays},
};

/// When this instance gets no notifications, the database may be unreachable: a request that has a stale answer waits
/// this long for a fresh one. Well above the time of a read, well below what a person notices.
const STALE_AFTER: Duration = Duration::from_millis(250);

/// Where lanes came from. In order: what is made of several has the greatest of their sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// From memory, and up to date.
    Hit,
    /// Read now.
    Miss,
    /// From memory, while the database is unreachable or overloaded; the data may have changed since.
    Stale {
        /// For how long it may have been outdated.
        seconds: u64,
    },
}

/// Lanes of one state of the data, unless they are stale.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// In the order of the ranges.
    pub(crate) lanes: Vec<Lane>,
    pub(crate) source: Source,
    /// The version of the places, if it was read.
    pub(crate) places_version: i64,
}

/// Lanes that were read by one statement.
#[derive(Debug)]
struct ReadLanes {
    version: DataVersion,
    lanes: Vec<Lane>,
}

type Reading = Pin<Box<dyn Future<Output = Result<Arc<ReadLanes>, ReadError>> + Send>>;

/// The ranges that are read, and the oldest data that their requests may get.
type ReadingKey = (Vec<LaneRange>, i64);

/// Keeps months of lanes in memory, limited by their bytes, and reads those that it has not.
#[derive(Debug)]
pub struct LaneStore {
    memory: Memory,
    reader: Arc<LaneReader>,
    freshness: Arc<Freshness>,
    /// How long stale answers may be given while the database is unreachable or overloaded.
    stale: Duration,
    /// Reads that run, for requests that want the same.
    readings: Mutex<HashMap<ReadingKey, WeakShared<Reading>>>,
    /// Lookups of lanes that were all in memory.
    pub hits: Counter,
    /// Lookups for which something was read.
    pub misses: Counter,
}

impl LaneStore {
    /// An empty store that keeps so many bytes; 0 turns it off.
    pub(crate) fn new(
        size_bytes: u64,
        stale_seconds: f64,
        reader: Arc<LaneReader>,
        freshness: Arc<Freshness>,
    ) -> Self {
        Self {
            memory: Memory::new(size_bytes, Arc::clone(&freshness)),
            reader,
            freshness,
            stale: Duration::from_secs_f64(stale_seconds),
            readings: Mutex::default(),
            hits: Counter::default(),
            misses: Counter::default(),
        }
    }

    /// These ranges, if all of their months are in memory and current.
    pub(crate) fn find(&self, ranges: &[LaneRange]) -> Option<Found> {
        let lanes = self.memory.find(ranges)?;
        self.hits.inc();
        Some(Found { lanes, source: Source::Hit, places_version: 0 })
    }

    /// These ranges, from memory or read now.
    pub(crate) async fn read(self: &Arc<Self>, ranges: &[LaneRange]) -> Result<Found, ReadError> {
        if let Some(found) = self.find(ranges) {
            return Ok(found);
        }
        // Boxed; otherwise every hit's future would be as large as a read needs, and be copied from layer to layer.
        Box::pin(self.read_missing(ranges)).await
    }

    async fn read_missing(self: &Arc<Self>, ranges: &[LaneRange]) -> Result<Found, ReadError> {
        self.misses.inc();
        let Some(stale) = self.find_stale(ranges) else {
            return self.read_now(ranges).await;
        };
        // The database is unreachable; trying to read would only delay the stale answer.
        if self.freshness.listening() == Listening::Away {
            return Ok(stale);
        }
        let outage = async {
            self.freshness.ended().await;
            sleep(STALE_AFTER).await;
        };
        tokio::select! {
            found = self.read_now(ranges) => match found {
                Err(error) if error.allows_stale_answer() => Ok(stale),
                found => found,
            },
            () = outage => Ok(stale),
        }
    }

    /// These ranges as they last were, if that is not too long ago.
    fn find_stale(&self, ranges: &[LaneRange]) -> Option<Found> {
        let (lanes, age) = self.memory.find_stale(ranges)?;
        let source = Source::Stale { seconds: age.as_secs() };
        (age < self.stale).then_some(Found { lanes, source, places_version: 0 })
    }

    /// Reads the months that are not in memory; all of them, if they are of another state than those in memory.
    async fn read_now(self: &Arc<Self>, ranges: &[LaneRange]) -> Result<Found, ReadError> {
        let oldest = self.freshness.oldest_usable();
        if ranges.iter().all(|range| range.percentile_interval.is_none())
            && let Some(version) = self.freshness.current()
            && let Some(missing) = self.memory.missing(ranges, version)
        {
            let read = self.read_together(missing, oldest).await?;
            if read.version.version == version
                && let Some(lanes) = self.memory.join(ranges, version, &read.lanes)
            {
                return Ok(Found::read(lanes, read.version));
            }
        }
        let whole: Vec<LaneRange> = ranges.iter().map(|range| range.to_read()).collect();
        let read = self.read_together(whole, oldest).await?;
        Ok(Found::read(read.lanes.clone(), read.version))
    }

    /// Reads these ranges of whole months, and keeps them; together with others that want the same.
    async fn read_together(
        self: &Arc<Self>,
        ranges: Vec<LaneRange>,
        oldest: i64,
    ) -> Result<Arc<ReadLanes>, ReadError> {
        let key = (ranges, oldest);
        let reading = {
            let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
            let running = readings.get(&key).and_then(WeakShared::upgrade);
            running.unwrap_or_else(|| {
                let store = Arc::clone(self);
                let reading: Reading = Box::pin(store.read_and_keep(key.clone()));
                let reading = reading.shared();
                readings.extend(reading.downgrade().map(|weak| (key, weak)));
                reading
            })
        };
        reading.await
    }

    async fn read_and_keep(self: Arc<Self>, key: ReadingKey) -> Result<Arc<ReadLanes>, ReadError> {
        /// Removes a read that has ended, or that nobody waits for any more.
        struct Ended<'a>(&'a LaneStore, &'a ReadingKey);
        impl Drop for Ended<'_> {
            fn drop(&mut self) {
                self.0.readings.lock().unwrap_or_else(PoisonError::into_inner).remove(self.1);
            }
        }
        let _ended = Ended(&self, &key);
        let (ranges, oldest) = &key;
        let read = self.reader.read(ranges, *oldest).await?;
        let version = read[0].version;
        let lane = |(read, range): (&LaneDays, &LaneRange)| {
            let mut lane = Lane::of_days(*range, version.version, &read.days);
            lane.interval_percentiles.clone_from(&read.interval_percentiles);
            self.memory.keep(*range, &lane, version.version);
            lane
        };
        let lanes: Vec<Lane> = read.iter().zip(ranges).map(lane).collect();
        Ok(Arc::new(ReadLanes { version, lanes }))
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let (hits, misses) = (self.hits.clone(), self.misses.clone());
        registry.register("rates_cache_hits", "Lookups of lanes that were all in memory", hits);
        registry.register("rates_cache_misses", "Lookups for which something was read", misses);
    }

    /// The bytes that lanes take in memory.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.memory.size()
    }
}

impl Found {
    fn read(lanes: Vec<Lane>, version: DataVersion) -> Self {
        Self { lanes, source: Source::Miss, places_version: version.places_version }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgPoolOptions;

    use super::*;
    use crate::{Rates, database::Database};

    #[tokio::test]
    async fn a_read_that_has_ended_is_forgotten() {
        let api = chassis::testing::settings::<Rates>(&[]).service.api;
        let pool = PgPoolOptions::new().acquire_timeout(Duration::from_millis(200));
        let database = Database::of(pool.connect_lazy("postgres://rates@127.0.0.1:1/rates").unwrap());
        let freshness = Arc::<Freshness>::default();
        let reader = Arc::new(LaneReader::new(&database, &api, Arc::clone(&freshness)));
        let store = Arc::new(LaneStore::new(0, 0.0, reader, freshness));
        store.read(&[LaneRange::probe()]).await.unwrap_err();
        assert!(store.readings.lock().unwrap().is_empty());
    }
}
