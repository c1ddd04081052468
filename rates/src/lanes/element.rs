//! The elements of an answer: days, or longer intervals put together from days.

use chrono::{Datelike, Days, Months, NaiveDate};

use super::{
    day::{Day, Percentiles},
    lane::Lane,
    query::{Interval, Order, RatesQuery, Statistics, Widen},
};
use crate::{places::Pair, privacy::Privacy};

/// A day or a longer interval of a lane.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    pub(crate) first: NaiveDate,
    pub(crate) last: NaiveDate,
    /// The mean of its prices as it is told, if there are enough.
    pub(crate) mean: Option<f64>,
    /// How many prices, as it is told.
    pub(crate) count: i64,
    /// Its prices, exactly; not to be told.
    pub(super) total: Total,
    /// The number of days with prices.
    pub(crate) priced_days: u16,
    /// If it has enough prices, in US dollars as they are told.
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

/// The lane of a query, and the lanes that its answer is made from.
#[derive(Debug)]
pub struct FoundLane {
    /// The places of the query.
    pub(crate) pair: Pair,
    /// Nearest first; never empty. Several only if each element is of the first that has enough prices for it.
    pub(crate) sources: Vec<(Pair, Lane)>,
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
        is_enough.then(|| privacy.price(self.sum as f64 / self.count as f64))
    }
}

impl Element {
    /// A day with its prices, if it has any.
    pub(crate) fn of_day(day: NaiveDate, priced: Option<&Day>, min_count: i64, privacy: Privacy) -> Self {
        Self::sum_up((day, day), priced, min_count, privacy)
    }

    /// The days with prices of an interval.
    fn sum_up<'a>(
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
        let (mean, count) = (total.mean(min_count, privacy), privacy.count(total.count));
        let mut element = Self { first, last, mean, count, total, priced_days, percentiles: None };
        element.set_percentiles(percentiles, privacy);
        element
    }

    fn set_percentiles(&mut self, percentiles: Option<&Percentiles>, privacy: Privacy) {
        let told = |percentiles: &Percentiles| percentiles.dollars().map(|exact| privacy.price(exact));
        self.percentiles = percentiles.filter(|_| self.mean.is_some()).map(told);
    }
}

impl Lane {
    /// The elements of the query's range, in its order. Intervals that the range cuts count only the days in it.
    pub(crate) fn elements(&self, query: &RatesQuery<'_>) -> Vec<Element> {
        let RatesQuery { from, to, interval, .. } = *query;
        let oldest_first = self.months().iter().rev().flat_map(|month| month.days.iter().rev());
        let mut priced = oldest_first.filter(|day| (from..=to).contains(&day.day)).peekable();
        let sum_up = |(first, last)| {
            let days = std::iter::from_fn(|| priced.next_if(|day| day.day <= last));
            Element::sum_up((first, last), days, query.min_count, query.privacy)
        };
        let mut elements: Vec<Element> = interval.cut(from, to).map(sum_up).collect();
        if let Some(percentiles) = &self.interval_percentiles {
            for (element, percentiles) in elements.iter_mut().zip(percentiles.iter()) {
                element.set_percentiles(percentiles.as_ref(), query.privacy);
            }
        }
        if query.order == Order::NewestFirst {
            elements.reverse();
        }
        elements
    }
}

impl FoundLane {
    /// The elements of the query's range, in its order.
    pub(crate) fn elements(&self, query: &RatesQuery<'_>) -> Vec<PlacedElement> {
        let mut sources = self.sources.iter().map(|(pair, lane)| {
            let placed = |element| PlacedElement { element, pair: *pair };
            lane.elements(query).into_iter().map(placed)
        });
        let mut elements: Vec<PlacedElement> = sources.next().into_iter().flatten().collect();
        for wider in sources {
            for (element, wider) in elements.iter_mut().zip(wider) {
                if element.element.mean.is_none() && wider.element.mean.is_some() {
                    *element = wider;
                }
            }
        }
        elements
    }

    /// Whether the query wants wider places, because the lane has too few prices.
    pub(crate) fn is_too_narrow(&self, query: &RatesQuery<'_>) -> bool {
        let elements = || self.elements(query).into_iter();
        match query.widen {
            Widen::No => false,
            Widen::WholeRange => elements().all(|element| element.element.mean.is_none()),
            Widen::Each => elements().any(|element| element.element.mean.is_none()),
        }
    }

    /// Keeps only the lanes that the answer is made from.
    pub(crate) fn choose(&mut self, query: &RatesQuery<'_>) {
        if query.widen == Widen::Each {
            let mut used: Vec<Pair> = self.elements(query).iter().map(|element| element.pair).collect();
            used.push(self.pair);
            self.sources.retain(|(pair, _)| used.contains(pair));
            return;
        }
        let has_mean = |(_, lane): &(Pair, Lane)| lane.elements(query).iter().any(|one| one.mean.is_some());
        let chosen = self.sources.iter().position(has_mean).unwrap_or(0);
        self.sources.swap(0, chosen);
        self.sources.truncate(1);
    }
}
