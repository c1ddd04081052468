//! Lanes by months: those in memory that are current, and the rest from the database.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::WeakShared};
use quick_cache::{Weighter, sync::Cache as QuickCache};
use tokio::time::sleep;

use super::{
    freshness::{Freshness, Listening},
    lane::{IntervalPercentiles, Lane, LaneRange},
    month::{LaneMonth, MonthKey, uptime},
    reader::{LaneReader, ReadError},
    sql::{DataVersion, LaneDays},
};

/// When this instance gets no notifications, the database may be unreachable: a request that has a stale answer waits
/// this long for a fresh one. Well above the time of a read, well below what a person notices.
const STALE_AFTER: Duration = Duration::from_millis(250);

/// Where lanes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From memory, and up to date.
    Hit,
    /// Read now.
    Miss,
    /// From memory, while the database is unreachable; the data may have changed since.
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
    /// None if it is turned off.
    months: Option<QuickCache<MonthKey, Arc<LaneMonth>, BySize>>,
    /// By the ranges that want them: the percentiles of intervals, and the version of the data that they are of.
    interval_percentiles: Option<QuickCache<LaneRange, (i64, IntervalPercentiles), BySize>>,
    reader: Arc<LaneReader>,
    freshness: Arc<Freshness>,
    /// How long stale answers may be given while the database is unreachable.
    stale: Duration,
    /// Reads that run, for requests that want the same.
    readings: Mutex<HashMap<ReadingKey, WeakShared<Reading>>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug, Clone)]
struct BySize;

impl Weighter<MonthKey, Arc<LaneMonth>> for BySize {
    fn weight(&self, _: &MonthKey, month: &Arc<LaneMonth>) -> u64 {
        // The overhead of an entry: key, table slot, and the headers of its allocations.
        const OVERHEAD: usize = 160;
        (month.size() + OVERHEAD) as u64
    }
}

impl Weighter<LaneRange, (i64, IntervalPercentiles)> for BySize {
    fn weight(&self, _: &LaneRange, (_, percentiles): &(i64, IntervalPercentiles)) -> u64 {
        const OVERHEAD: usize = 120;
        (size_of_val(&**percentiles) + OVERHEAD) as u64
    }
}

impl LaneStore {
    /// An empty store that keeps so many bytes; 0 turns it off.
    pub(crate) fn new(
        size_bytes: u64,
        stale_seconds: f64,
        reader: Arc<LaneReader>,
        freshness: Arc<Freshness>,
    ) -> Self {
        // A month and the percentiles of a few years have some 2 kB.
        let entries = |bytes: u64| usize::try_from(bytes / 2048).unwrap_or(usize::MAX).clamp(16, 10_000_000);
        let for_percentiles = size_bytes / 16;
        let for_months = size_bytes - for_percentiles;
        Self {
            months: (size_bytes > 0)
                .then(|| QuickCache::with_weighter(entries(for_months), for_months, BySize)),
            interval_percentiles: (for_percentiles > 0)
                .then(|| QuickCache::with_weighter(entries(for_percentiles), for_percentiles, BySize)),
            reader,
            freshness,
            stale: Duration::from_secs_f64(stale_seconds),
            readings: Mutex::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// These ranges, if all of their months are in memory and current.
    pub(crate) fn find(&self, ranges: &[LaneRange]) -> Option<Found> {
        let version = self.freshness.current()?;
        let mut lanes = Vec::with_capacity(ranges.len());
        for range in ranges {
            let months = range.months().map(|key| self.current_month(key)).collect::<Option<Vec<_>>>()?;
            let mut lane = Lane::new(months);
            if range.interval.is_some() {
                lane.interval_percentiles = Some(self.percentiles_at(range, version)?);
            }
            lanes.push(lane);
        }
        // Several months show one state of the data if each was read at this version or an earlier one.
        let mut months = lanes.iter().flat_map(Lane::months);
        let is_single =
            matches!(ranges, [range] if range.months().nth(1).is_none() && range.interval.is_none());
        if !is_single && months.any(|month| month.version > version) {
            return None;
        }
        let now = uptime();
        for month in lanes.iter().flat_map(Lane::months) {
            month.confirm(now);
        }
        self.hits.fetch_add(1, Ordering::Relaxed);
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
        self.misses.fetch_add(1, Ordering::Relaxed);
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
                Err(error) if error.is_outage() => Ok(stale),
                found => found,
            },
            () = outage => Ok(stale),
        }
    }

    /// Reads the months that are not in memory; all of them, if they are of another state than those in memory.
    async fn read_now(self: &Arc<Self>, ranges: &[LaneRange]) -> Result<Found, ReadError> {
        let oldest = self.freshness.oldest_usable();
        if ranges.iter().all(|range| range.interval.is_none())
            && let Some(version) = self.freshness.current()
            && let Some(missing) = self.missing(ranges, version)
        {
            let read = self.read_together(missing, oldest).await?;
            if read.version.version == version
                && let Some(lanes) = self.join(ranges, version, &read.lanes)
            {
                return Ok(Found::read(lanes, read.version));
            }
        }
        let whole: Vec<LaneRange> = ranges.iter().map(|range| range.to_read()).collect();
        let read = self.read_together(whole, oldest).await?;
        Ok(Found::read(read.lanes.clone(), read.version))
    }

    /// The ranges of months that are not in memory; none if all months are missing.
    fn missing(&self, ranges: &[LaneRange], version: i64) -> Option<Vec<LaneRange>> {
        let is_missing = |key: &MonthKey| self.month_at(*key, version).is_none();
        let missing: Vec<LaneRange> = ranges
            .iter()
            .filter_map(|range| {
                let last = range.months().find(is_missing)?;
                let first = range.months().filter(is_missing).last()?;
                Some(LaneRange { from: first.month.first_day(), to: last.month.last_day(), ..*range })
            })
            .collect();
        let is_all = missing.len() == ranges.len()
            && missing.iter().zip(ranges).all(|(missing, range)| *missing == range.whole_months());
        (!missing.is_empty() && !is_all).then_some(missing)
    }

    /// Lanes from what was read at this version, and from memory.
    fn join(&self, ranges: &[LaneRange], version: i64, read: &[Lane]) -> Option<Vec<Lane>> {
        let just_read: HashMap<MonthKey, &Arc<LaneMonth>> =
            read.iter().flat_map(Lane::months).map(|month| (month.key, month)).collect();
        let lane = |range: &LaneRange| {
            let month = |key| {
                just_read.get(&key).map(|month| Arc::clone(month)).or_else(|| self.month_at(key, version))
            };
            range.months().map(month).collect::<Option<Vec<_>>>().map(Lane::new)
        };
        ranges.iter().map(lane).collect()
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
            if let (Some(known), Some(percentiles)) = (&self.interval_percentiles, &read.interval_percentiles)
            {
                known.insert(*range, (version.version, Arc::clone(percentiles)));
            }
            lane
        };
        let lanes: Vec<Lane> = read.iter().zip(ranges).map(lane).collect();
        if let Some(months) = &self.months {
            for month in lanes.iter().flat_map(Lane::months) {
                months.insert(month.key, Arc::clone(month));
            }
        }
        Ok(Arc::new(ReadLanes { version, lanes }))
    }

    /// The month if it is in memory and has not changed.
    fn current_month(&self, key: MonthKey) -> Option<Arc<LaneMonth>> {
        let month = self.months.as_ref()?.get(&key)?;
        self.freshness.is_unchanged(key.pair, key.month, month.version).then_some(month)
    }

    /// The percentiles of the intervals of this range as they are at this version, if they are in memory.
    fn percentiles_at(&self, range: &LaneRange, version: i64) -> Option<IntervalPercentiles> {
        let (of_version, percentiles) = self.interval_percentiles.as_ref()?.get(range)?;
        let is_unchanged = |key: MonthKey| self.freshness.is_unchanged(key.pair, key.month, of_version);
        (of_version <= version && range.months().all(is_unchanged)).then_some(percentiles)
    }

    /// The month as it is at this version, if it is in memory.
    fn month_at(&self, key: MonthKey, version: i64) -> Option<Arc<LaneMonth>> {
        self.current_month(key).filter(|month| month.version <= version)
    }

    /// The ranges as they last were, if that is not too long ago.
    fn find_stale(&self, ranges: &[LaneRange]) -> Option<Found> {
        let all = self.months.as_ref()?;
        let mut age = Duration::ZERO;
        let mut month = |key: MonthKey| {
            let month = all.get(&key)?;
            let is_unchanged = self.freshness.is_unchanged(key.pair, key.month, month.version);
            let outdated = if is_unchanged { self.freshness.silent_for() } else { month.unconfirmed_for() };
            age = age.max(outdated);
            Some(month)
        };
        let mut lane = |range: &LaneRange| {
            let months = range.months().map(&mut month).collect::<Option<Vec<_>>>()?;
            let mut lane = Lane::new(months);
            if range.interval.is_some() {
                lane.interval_percentiles = Some(self.interval_percentiles.as_ref()?.get(range)?.1);
            }
            Some(lane)
        };
        let lanes = ranges.iter().map(&mut lane).collect::<Option<Vec<_>>>()?;
        let source = Source::Stale { seconds: age.as_secs() };
        (age < self.stale).then_some(Found { lanes, source, places_version: 0 })
    }

    /// Requests whose lanes were all in memory.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Requests for which something was read.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// The bytes that the months take.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.months.as_ref().map_or(0, QuickCache::weight)
            + self.interval_percentiles.as_ref().map_or(0, QuickCache::weight)
    }
}

impl Found {
    fn read(lanes: Vec<Lane>, version: DataVersion) -> Self {
        Self { lanes, source: Source::Miss, places_version: version.places_version }
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

    use super::*;
    use crate::{Rates, database::Database, lanes::month::Month, places::PlaceId};

    /// A store without a database, which knows of every change up to version 5.
    fn store() -> LaneStore {
        let nowhere = PgPoolOptions::new().connect_lazy_with(PgConnectOptions::new_without_pgpass());
        let freshness = Arc::new(Freshness::default());
        let api = chassis::testing::settings::<Rates>(&[]).service.api;
        let reader = Arc::new(LaneReader::new(&Database::of(nowhere), &api, Arc::clone(&freshness)));
        let store = LaneStore::new(1 << 20, 600.0, reader, freshness);
        store.freshness.apply(5, []);
        store.freshness.begin();
        store
    }

    fn range(from: &str, to: &str) -> LaneRange {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let pair = (PlaceId(1), PlaceId(2));
        LaneRange { pair, from: day(from), to: day(to), with_percentiles: false, interval: None }
    }

    /// Months of this range as they were read at this version.
    fn keep(store: &LaneStore, range: LaneRange, version: i64) -> Lane {
        let lane = Lane::of_days(range, version, &[]);
        for month in lane.months() {
            store.months.as_ref().unwrap().insert(month.key, Arc::clone(month));
        }
        lane
    }

    #[tokio::test]
    async fn months_in_memory_are_put_together_only_if_they_are_of_one_state() {
        let (january, february) = (range("2021-01-20", "2021-01-31"), range("2021-02-01", "2021-02-03"));
        let both = range("2021-01-20", "2021-02-03");
        let store = store();
        keep(&store, january, 3);
        assert!(store.find(&[both]).is_none(), "February is missing");
        keep(&store, february, 5);
        assert!(store.find(&[both]).is_some(), "nothing has changed from 3 to 5");
        // Read before this instance has heard of 7, which may have changed January, too.
        keep(&store, february, 7);
        assert!(store.find(&[both]).is_none());
        assert!(store.find(&[january, february]).is_none());
        assert!(store.find(&[february]).is_some() && store.find(&[january]).is_some(), "each by itself");
        store.freshness.apply(7, [(february.pair, Month::of(february.from))]);
        assert!(store.find(&[both]).is_some(), "7 has not changed January");
        store.freshness.apply(8, [(january.pair, Month::of(january.from))]);
        assert!(store.find(&[both]).is_none());
    }

    #[tokio::test]
    async fn what_was_read_is_joined_only_with_what_has_not_changed() {
        let (january, both) = (range("2021-01-20", "2021-01-31"), range("2021-01-20", "2021-02-03"));
        let store = store();
        keep(&store, january, 3);
        let missing = store.missing(&[both], 5).unwrap();
        assert_eq!(missing, [range("2021-02-01", "2021-02-28")]);
        let read = [Lane::of_days(missing[0], 5, &[])];
        assert!(store.join(&[both], 5, &read).is_some());
        keep(&store, january, 7);
        assert!(store.join(&[both], 5, &read).is_none(), "January is of a newer state");
        keep(&store, january, 3);
        store.freshness.apply(6, [(january.pair, Month::of(january.from))]);
        assert!(store.join(&[both], 5, &read).is_none(), "January has changed meanwhile");
        assert!(store.missing(&[both], 6).is_none(), "all is read again");
    }
}
