//! The elements of an answer: days, or longer intervals put together from days.

use chrono::{Datelike, Days, Months, NaiveDate};

use super::{
    day::{Day, Percentiles},
    query::{Interval, RatesQuery, Statistics, Widen},
};
use crate::{places::Pair, privacy::Privacy};

/// A day or a longer interval of a lane.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    pub(crate) first: NaiveDate,
    pub(crate) last: NaiveDate,
    /// The mean of its prices, rounded as answers show it, if there are enough.
    pub(crate) mean: Option<f64>,
    /// How many prices, rounded as answers show it.
    pub(crate) count: i64,
    /// The exact sum and number of its prices, which answers do not show.
    pub(super) total: Total,
    /// The number of days with prices.
    pub(crate) priced_days: u16,
    /// If it has enough prices: in US dollars, rounded as answers show them.
    pub(crate) percentiles: Option<[f64; Percentiles::NAMES.len()]>,
}

/// Prices that were added up.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Total {
    /// In US dollars.
    sum: i64,
    count: i64,
}

/// An element, and the places that its prices are of.
#[derive(Debug, Clone)]
pub(crate) struct PlacedElement {
    pub(crate) element: Element,
    pub(crate) pair: Pair,
}

/// What an answer says of each element beside day, mean and count.
#[derive(Debug, Default, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is there or not")]
pub(crate) struct Columns {
    /// The last day, and the number of days with prices.
    pub(crate) interval: bool,
    pub(crate) percentiles: bool,
    /// The places of its lane.
    pub(crate) lane: bool,
    /// The places that its prices are of.
    pub(crate) used: bool,
}

impl Columns {
    pub(crate) fn of(query: &RatesQuery<'_>) -> Self {
        Self {
            interval: query.interval != Interval::Day,
            percentiles: query.statistics == Statistics::Full,
            lane: !query.lane.is_empty(),
            used: query.widen != Widen::No,
        }
    }
}

impl Interval {
    /// The first and last day of each interval of this range, oldest first.
    pub(super) fn cut(self, from: NaiveDate, to: NaiveDate) -> impl Iterator<Item = (NaiveDate, NaiveDate)> {
        let piece = move |first: NaiveDate| (first, self.last_day(first).min(to));
        // The calendar goes beyond the years of four digits that queries have.
        std::iter::successors(Some(piece(from)), move |(_, last)| {
            last.succ_opt().filter(|day| *day <= to).map(piece)
        })
    }

    /// The last day of the interval with this day.
    fn last_day(self, day: NaiveDate) -> NaiveDate {
        let end_of_months = |months: u32| {
            let next = day.month0() / months * months + months;
            let first =
                day.with_day(1).and_then(|day| day.checked_add_months(Months::new(next - day.month0())));
            first.and_then(|day| day.pred_opt()).unwrap_or(day)
        };
        match self {
            Self::Day => day,
            // Weeks of ISO 8601 begin on Monday.
            Self::Week => day + Days::new(u64::from(6 - day.weekday().num_days_from_monday())),
            Self::Month => end_of_months(1),
            Self::Quarter => end_of_months(3),
            Self::Year => end_of_months(12),
        }
    }
}

impl Total {
    pub(super) fn add(self, other: Self) -> Self {
        Self { sum: self.sum + other.sum, count: self.count + other.count }
    }

    /// The mean, if there are enough prices.
    ///
    /// Sums below 2^53 are exact as doubles, and IEEE division rounds once. To exceed that, an interval would need four
    /// million prices of 2^31 dollars.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    pub(super) fn mean(self, min_count: i64, privacy: Privacy) -> Option<f64> {
        let is_enough = self.count >= privacy.least_count(min_count);
        is_enough.then(|| privacy.round_price(self.sum as f64 / self.count as f64))
    }
}

impl Element {
    /// A day with its prices, if it has any.
    pub(crate) fn of_day(day: NaiveDate, priced: Option<&Day>, min_count: i64, privacy: Privacy) -> Self {
        Self::sum_up((day, day), priced, min_count, privacy)
    }

    /// The days with prices of an interval.
    pub(super) fn sum_up<'a>(
        (first, last): (NaiveDate, NaiveDate),
        priced: impl IntoIterator<Item = &'a Day>,
        min_count: i64,
        privacy: Privacy,
    ) -> Self {
        let (mut total, mut priced_days, mut percentiles) = (Total::default(), 0, None);
        for day in priced {
            total = total.add(Total { sum: day.sum, count: day.count.into() });
            priced_days += 1;
            percentiles = day.percentiles.as_deref();
        }
        let (mean, count) = (total.mean(min_count, privacy), privacy.round_count(total.count));
        let mut element = Self { first, last, mean, count, total, priced_days, percentiles: None };
        element.set_percentiles(percentiles, privacy);
        element
    }

    pub(super) fn set_percentiles(&mut self, percentiles: Option<&Percentiles>, privacy: Privacy) {
        let rounded =
            |percentiles: &Percentiles| percentiles.dollars().map(|exact| privacy.round_price(exact));
        self.percentiles = percentiles.filter(|_| self.mean.is_some()).map(rounded);
    }
}
