//! The months of lanes that are in memory, and which of them may be used.

use std::{collections::HashMap, sync::Arc, time::Duration};

use quick_cache::{Weighter, sync::Cache as QuickCache};

use super::{
    freshness::Freshness,
    lane::{IntervalPercentiles, Lane, LaneRange},
    month::{LaneMonth, MonthKey, uptime},
};

/// Months of lanes and percentiles of intervals, limited by their bytes.
#[derive(Debug)]
pub(super) struct Memory {
    /// None if it is turned off.
    months: Option<QuickCache<MonthKey, Arc<LaneMonth>, BySize>>,
    /// By the ranges that want them: the percentiles of intervals, and the version of the data that they are of.
    interval_percentiles: Option<QuickCache<LaneRange, (i64, IntervalPercentiles), BySize>>,
    freshness: Arc<Freshness>,
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

impl Memory {
    /// An empty one of so many bytes; 0 turns it off.
    pub(super) fn new(size_bytes: u64, freshness: Arc<Freshness>) -> Self {
        // A month and the percentiles of a few years have some 2 kB.
        let entries = |bytes: u64| usize::try_from(bytes / 2048).unwrap_or(usize::MAX).clamp(16, 10_000_000);
        let for_percentiles = size_bytes / 16;
        let for_months = size_bytes - for_percentiles;
        Self {
            months: (size_bytes > 0)
                .then(|| QuickCache::with_weighter(entries(for_months), for_months, BySize)),
            interval_percentiles: (for_percentiles > 0)
                .then(|| QuickCache::with_weighter(entries(for_percentiles), for_percentiles, BySize)),
            freshness,
        }
    }

    /// Keeps a lane that was read at this version.
    pub(super) fn keep(&self, range: LaneRange, lane: &Lane, version: i64) {
        if let (Some(known), Some(percentiles)) = (&self.interval_percentiles, &lane.interval_percentiles) {
            known.insert(range, (version, Arc::clone(percentiles)));
        }
        if let Some(months) = &self.months {
            for month in lane.months() {
                months.insert(month.key, Arc::clone(month));
            }
        }
    }

    /// The bytes that it takes.
    pub(super) fn size(&self) -> u64 {
        self.months.as_ref().map_or(0, QuickCache::weight)
            + self.interval_percentiles.as_ref().map_or(0, QuickCache::weight)
    }

    /// These ranges, if all of their months are here and current.
    pub(super) fn find(&self, ranges: &[LaneRange]) -> Option<Vec<Lane>> {
        let version = self.freshness.current()?;
        let mut lanes = Vec::with_capacity(ranges.len());
        for range in ranges {
            let months = range.months().map(|key| self.current_month(key)).collect::<Option<Vec<_>>>()?;
            let mut lane = Lane::new(months);
            if range.percentile_interval.is_some() {
                lane.interval_percentiles = Some(self.percentiles_at(range, version)?);
            }
            lanes.push(lane);
        }
        // Several months show one state of the data if each was read at this version or an earlier one.
        let mut months = lanes.iter().flat_map(Lane::months);
        let is_single = matches!(ranges, [range] if range.months().nth(1).is_none() && range.percentile_interval.is_none());
        if !is_single && months.any(|month| month.version > version) {
            return None;
        }
        let now = uptime();
        for month in lanes.iter().flat_map(Lane::months) {
            month.confirm(now);
        }
        Some(lanes)
    }

    /// These ranges as they last were, and for how long they may have been outdated.
    pub(super) fn find_stale(&self, ranges: &[LaneRange]) -> Option<(Vec<Lane>, Duration)> {
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
            if range.percentile_interval.is_some() {
                // Those from before a change may be far older than the months, which any query may have read since.
                lane.interval_percentiles = Some(self.percentiles_at(range, i64::MAX)?);
            }
            Some(lane)
        };
        let lanes = ranges.iter().map(&mut lane).collect::<Option<Vec<_>>>()?;
        Some((lanes, age))
    }

    /// The ranges of months that are not in memory; none if all months are missing.
    pub(super) fn missing(&self, ranges: &[LaneRange], version: i64) -> Option<Vec<LaneRange>> {
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
    pub(super) fn join(&self, ranges: &[LaneRange], version: i64, read: &[Lane]) -> Option<Vec<Lane>> {
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

    /// The month if it is in memory and has not changed.
    fn current_month(&self, key: MonthKey) -> Option<Arc<LaneMonth>> {
        let month = self.months.as_ref()?.get(&key)?;
        self.freshness.is_unchanged(key.pair, key.month, month.version).then_some(month)
    }

    /// The percentiles of the intervals of this range as they are at this version, if they are in memory and its months
    /// have not changed since.
    fn percentiles_at(&self, range: &LaneRange, version: i64) -> Option<IntervalPercentiles> {
        let (of_version, percentiles) = self.interval_percentiles.as_ref()?.get(range)?;
        let is_unchanged = |key: MonthKey| self.freshness.is_unchanged(key.pair, key.month, of_version);
        (of_version <= version && range.months().all(is_unchanged)).then_some(percentiles)
    }

    /// The month as it is at this version, if it is in memory.
    fn month_at(&self, key: MonthKey, version: i64) -> Option<Arc<LaneMonth>> {
        self.current_month(key).filter(|month| month.version <= version)
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;
    use crate::{
        lanes::{month::Month, query::Interval},
        places::PlaceId,
    };

    /// An empty memory that knows of every change up to version 5.
    fn memory() -> Memory {
        let memory = Memory::new(1 << 20, Arc::default());
        memory.freshness.apply(5, []);
        memory.freshness.begin();
        memory
    }

    fn range(from: &str, to: &str) -> LaneRange {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let pair = (PlaceId(1), PlaceId(2));
        LaneRange { pair, from: day(from), to: day(to), with_percentiles: false, percentile_interval: None }
    }

    /// Months of this range as they were read at this version.
    fn keep(memory: &Memory, range: LaneRange, version: i64) {
        memory.keep(range, &Lane::of_days(range, version, &[]), version);
    }

    #[test]
    fn months_in_memory_are_put_together_only_if_they_are_of_one_state() {
        let (january, february) = (range("2021-01-20", "2021-01-31"), range("2021-02-01", "2021-02-03"));
        let both = range("2021-01-20", "2021-02-03");
        let memory = memory();
        keep(&memory, january, 3);
        assert!(memory.find(&[both]).is_none(), "February is missing");
        keep(&memory, february, 5);
        assert!(memory.find(&[both]).is_some(), "nothing has changed from 3 to 5");
        // Read before this instance has heard of 7, which may have changed January, too.
        keep(&memory, february, 7);
        assert!(memory.find(&[both]).is_none());
        assert!(memory.find(&[january, february]).is_none());
        assert!(memory.find(&[february]).is_some() && memory.find(&[january]).is_some(), "each by itself");
        memory.freshness.apply(7, [(february.pair, Month::of(february.from))]);
        assert!(memory.find(&[both]).is_some(), "7 has not changed January");
        memory.freshness.apply(8, [(january.pair, Month::of(january.from))]);
        assert!(memory.find(&[both]).is_none());
    }

    #[test]
    fn percentiles_from_before_a_change_do_not_stand_in_beside_newer_months() {
        let january = range("2021-01-01", "2021-01-31");
        let by_month = LaneRange { percentile_interval: Some(Interval::Month), ..january };
        let memory = memory();
        let mut lane = Lane::of_days(by_month, 3, &[]);
        lane.interval_percentiles = Some([None].into());
        memory.keep(by_month, &lane, 3);
        assert!(memory.find_stale(&[by_month]).is_some());
        memory.freshness.apply(6, [(january.pair, Month::of(january.from))]);
        keep(&memory, january, 6);
        assert!(memory.find_stale(&[january]).is_some());
        assert!(memory.find_stale(&[by_month]).is_none());
    }

    #[test]
    fn what_was_read_is_joined_only_with_what_has_not_changed() {
        let (january, both) = (range("2021-01-20", "2021-01-31"), range("2021-01-20", "2021-02-03"));
        let memory = memory();
        keep(&memory, january, 3);
        let missing = memory.missing(&[both], 5).unwrap();
        assert_eq!(missing, [range("2021-02-01", "2021-02-28")]);
        let read = [Lane::of_days(missing[0], 5, &[])];
        assert!(memory.join(&[both], 5, &read).is_some());
        keep(&memory, january, 7);
        assert!(memory.join(&[both], 5, &read).is_none(), "January is of a newer state");
        keep(&memory, january, 3);
        memory.freshness.apply(6, [(january.pair, Month::of(january.from))]);
        assert!(memory.join(&[both], 5, &read).is_none(), "January has changed meanwhile");
        assert!(memory.missing(&[both], 6).is_none(), "all is read again");
    }
}
