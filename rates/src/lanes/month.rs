//! A month of a lane, the unit that is cached.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{Datelike, Days, Months, NaiveDate};

use super::{
    day::Day,
    json::DayTexts,
    query::{Fingerprint, Hash},
};
use crate::places::Pair;

/// A month of the calendar, as the number of months since the year 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(i32);

/// Which month of which lane, and with percentiles or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MonthKey {
    pub(crate) pair: Pair,
    pub(crate) month: Month,
    pub(crate) with_percentiles: bool,
}

/// The days of a lane in a month that have prices, and their JSON.
#[derive(Debug)]
pub struct LaneMonth {
    pub(super) key: MonthKey,
    /// The version of the data that it was read from.
    pub(super) version: i64,
    /// Newest first.
    pub(super) days: Box<[Day]>,
    pub(super) texts: DayTexts,
    /// Of its content: different content has a different hash.
    pub(super) hash: Hash,
    /// When it was last known to be what the database has, in seconds of [`uptime`].
    confirmed_at: AtomicU64,
}

/// Seconds since this was first asked.
pub(super) fn uptime() -> u64 {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGIN.elapsed().as_secs()
}

impl Month {
    /// The month of this day.
    #[must_use]
    pub fn of(day: NaiveDate) -> Self {
        Self(day.year() * 12 + day.month0().cast_signed())
    }

    /// The months from that of the last day back to that of the first, newest first.
    pub(crate) fn newest_first(from: NaiveDate, to: NaiveDate) -> impl Iterator<Item = Self> {
        (Self::of(from).0..=Self::of(to).0).rev().map(Self)
    }

    /// Another number for each month.
    pub(super) fn number(self) -> u64 {
        u64::from(self.0.cast_unsigned())
    }

    /// Its first day.
    pub(crate) fn first_day(self) -> NaiveDate {
        NaiveDate::from_ymd_opt(self.0.div_euclid(12), self.0.rem_euclid(12).unsigned_abs() + 1, 1)
            .expect("a month of the calendar, since it is that of a day")
    }

    /// Its last day.
    pub(crate) fn last_day(self) -> NaiveDate {
        self.first_day() + Months::new(1) - Days::new(1)
    }
}

impl LaneMonth {
    /// Takes the days that have prices, newest first.
    pub(super) fn new(key: MonthKey, version: i64, days: &[Day]) -> Self {
        let mut hash = Fingerprint::empty();
        for Day { day, sum, count, percentiles } in days {
            hash.add(u64::from(day.to_epoch_days().cast_unsigned()));
            hash.add(sum.cast_unsigned());
            hash.add(u64::from(count.cast_unsigned()));
            // Other prices may have the same sum.
            for fortieths in percentiles.iter().flat_map(|percentiles| percentiles.0) {
                hash.add(fortieths.cast_unsigned());
            }
        }
        let mut left = days;
        let mut calendar: Vec<NaiveDate> =
            key.month.first_day().iter_days().take_while(|day| Month::of(*day) == key.month).collect();
        calendar.reverse();
        let calendar = calendar.into_iter().map(|today| match left {
            [next, rest @ ..] if next.day == today => {
                left = rest;
                (today, Some(next))
            }
            _ => (today, None),
        });
        let texts = DayTexts::write(calendar, key.with_percentiles);
        Self { key, version, days: days.into(), texts, hash: hash.hash(), confirmed_at: uptime().into() }
    }

    /// Notes that the database has the same at this [`uptime`].
    pub(super) fn confirm(&self, now: u64) {
        // Written where it changes only: all requests share it.
        if self.confirmed_at.load(Ordering::Relaxed) != now {
            self.confirmed_at.store(now, Ordering::Relaxed);
        }
    }

    /// For how long it has not been confirmed.
    pub(super) fn unconfirmed_for(&self) -> Duration {
        Duration::from_secs(uptime().saturating_sub(self.confirmed_at.load(Ordering::Relaxed)))
    }

    /// The memory that it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        let of_percentiles = |day: &Day| day.percentiles.as_deref().map_or(0, size_of_val);
        size_of_val(self)
            + self.texts.size()
            + size_of_val(&*self.days)
            + self.days.iter().map(of_percentiles).sum::<usize>()
    }
}
