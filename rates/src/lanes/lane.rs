//! The rates of a lane over a range of days: what every form of an answer is written from.

use std::sync::Arc;

use chrono::{Datelike, NaiveDate};

use super::{
    day::{Day, Percentiles},
    element::Element,
    month::{LaneMonth, Month, MonthKey},
    query::{Fingerprint, Interval, Order, RatesQuery, Statistics},
};
use crate::places::{Pair, PlaceId};

/// Days of a pair of places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LaneRange {
    pub(crate) pair: Pair,
    pub(crate) from: NaiveDate,
    pub(crate) to: NaiveDate,
    /// Whether the percentiles of each day are wanted.
    pub(crate) with_percentiles: bool,
    /// Also wanted: the percentiles of each interval of this length. None for a query by days, or for means only.
    pub(crate) percentile_interval: Option<Interval>,
}

/// The percentiles of each interval of a range, oldest first.
pub(crate) type IntervalPercentiles = Arc<[Option<Percentiles>]>;

/// The whole months of a range; cheap to clone.
#[derive(Debug, Clone)]
pub struct Lane {
    /// Newest first, one for each month of the range.
    months: Vec<Arc<LaneMonth>>,
    /// If they were wanted.
    pub(super) interval_percentiles: Option<IntervalPercentiles>,
}

impl LaneRange {
    /// A day of a lane that does not exist.
    pub(crate) fn probe() -> Self {
        let day = NaiveDate::default();
        Self {
            pair: (PlaceId(0), PlaceId(0)),
            from: day,
            to: day,
            with_percentiles: false,
            percentile_interval: None,
        }
    }

    /// The days of this query between these places.
    #[must_use]
    pub fn new(pair: Pair, query: &RatesQuery<'_>) -> Self {
        let in_full = query.statistics == Statistics::Full;
        let with_percentiles = in_full && query.interval == Interval::Day;
        let percentile_interval = Some(query.interval).filter(|_| in_full && !with_percentiles);
        Self { pair, from: query.from, to: query.to, with_percentiles, percentile_interval }
    }

    /// The months that it touches, newest first.
    pub(crate) fn months(self) -> impl Iterator<Item = MonthKey> {
        let Self { pair, with_percentiles, .. } = self;
        Month::newest_first(self.from, self.to).map(move |month| MonthKey { pair, month, with_percentiles })
    }

    /// The range of the whole months that it touches.
    pub(crate) fn whole_months(self) -> Self {
        Self { from: Month::of(self.from).first_day(), to: Month::of(self.to).last_day(), ..self }
    }

    /// The range that is read for it: only the percentiles of its intervals depend on its first and last day.
    pub(super) fn to_read(self) -> Self {
        if self.percentile_interval.is_some() { self } else { self.whole_months() }
    }

    /// How many days, both ends included.
    pub(crate) fn days(&self) -> i64 {
        (self.to - self.from).num_days() + 1
    }
}

impl Lane {
    /// Takes the months newest first.
    pub(super) fn new(months: Vec<Arc<LaneMonth>>) -> Self {
        Self { months, interval_percentiles: None }
    }

    /// Cuts days with prices, newest first, into the months of this range.
    #[must_use]
    pub fn of_days(range: LaneRange, version: i64, days: &[Day]) -> Self {
        let mut left = days;
        let months = range.months().map(|key| {
            let end = left.partition_point(|day| Month::of(day.day) >= key.month);
            let (of_month, older) = left.split_at(end);
            left = older;
            Arc::new(LaneMonth::new(key, version, of_month))
        });
        Self::new(months.collect())
    }

    /// Adds its content.
    pub fn add_to(&self, fingerprint: &mut Fingerprint) {
        for month in &self.months {
            fingerprint.add_hash(month.hash);
        }
        for percentiles in self.interval_percentiles.iter().flat_map(|all| all.iter()) {
            // No percentile is 0, because no price is.
            for fortieths in percentiles.map_or([0; Percentiles::NAMES.len()], |percentiles| percentiles.0) {
                fingerprint.add(fortieths.cast_unsigned());
            }
        }
    }

    pub(super) fn months(&self) -> &[Arc<LaneMonth>] {
        &self.months
    }

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

    /// The JSON of `GET /rates` for a plain query (without `interval`, `lane` and `widen`): an element for each day of the range, in its order.
    #[must_use]
    pub fn to_json(&self, query: &RatesQuery<'_>) -> Vec<u8> {
        let mut body =
            Vec::with_capacity(16 + self.months.iter().map(|month| month.texts.size()).sum::<usize>());
        body.extend_from_slice(b"{\"rates\":[");
        let (oldest_month, newest_month) = (Month::of(query.from), Month::of(query.to));
        // The positions in a month, counted from its last day, of the newest and the oldest day in the range.
        let positions = |LaneMonth { key: MonthKey { month, .. }, texts, .. }: &LaneMonth| {
            let last = texts.len() - 1;
            let position = |day: NaiveDate| last - day.day0() as usize;
            (
                if *month == newest_month { position(query.to) } else { 0 },
                if *month == oldest_month { position(query.from) } else { last },
            )
        };
        let mut add = |part: &[u8]| {
            body.extend_from_slice(part);
            body.push(b',');
        };
        match query.order {
            Order::NewestFirst => {
                for month in &self.months {
                    let (newest, oldest) = positions(month);
                    add(month.texts.between(newest, oldest));
                }
            }
            Order::OldestFirst => {
                for month in self.months.iter().rev() {
                    let (newest, oldest) = positions(month);
                    for at in (newest..=oldest).rev() {
                        add(month.texts.between(at, at));
                    }
                }
            }
        }
        // The last comma.
        body.pop();
        body.extend_from_slice(b"]}");
        body
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{lanes::query::QueryLimits, privacy::Privacy};

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn body(from: &str, to: &str, order: &str, priced: &[(&str, i64, i32)]) -> String {
        let query = format!("date_from={from}&date_to={to}&origin=A&destination=B&order={order}");
        let query = RatesQuery::parse(
            &query,
            QueryLimits { max_days: 3660, min_count: 3, privacy: Privacy::default() },
        )
        .unwrap();
        let days: Vec<Day> = priced
            .iter()
            .map(|(text, sum, count)| Day { day: day(text), sum: *sum, count: *count, percentiles: None })
            .collect();
        let range = LaneRange::new((PlaceId(1), PlaceId(2)), &query);
        String::from_utf8(Lane::of_days(range, 1, &days).to_json(&query)).unwrap()
    }

    #[test]
    fn every_day_is_there_newest_first_or_as_asked() {
        let priced = [("2021-03-01", 3463, 3), ("2021-02-27", 400, 2)];
        let newest_first = r#"{"rates":[{"day":"2021-03-01","price":1154.3333333333333,"count":3},{"day":"2021-02-28","price":null,"count":null},{"day":"2021-02-27","price":null,"count":2}]}"#;
        assert_eq!(body("2021-02-27", "2021-03-01", "desc", &priced), newest_first);
        let oldest_first = r#"{"rates":[{"day":"2021-02-27","price":null,"count":2},{"day":"2021-02-28","price":null,"count":null},{"day":"2021-03-01","price":1154.3333333333333,"count":3}]}"#;
        assert_eq!(body("2021-02-27", "2021-03-01", "asc", &priced), oldest_first);
    }

    #[test]
    fn the_ends_of_the_calendar_are_days_like_others() {
        assert!(body("9999-12-31", "9999-12-31", "asc", &[]).contains("9999-12-31"));
        assert!(
            body("0001-01-01", "0001-01-02", "desc", &[])
                .ends_with(r#""0001-01-01","price":null,"count":null}]}"#)
        );
    }

    #[test]
    fn both_ends_of_a_range_count_as_days() {
        let range = LaneRange { from: day("2021-02-27"), to: day("2021-03-01"), ..LaneRange::probe() };
        assert_eq!(range.days(), 3);
    }

    #[test]
    fn ranges_are_cut_from_months() {
        let text = body("2020-11-29", "2021-02-02", "desc", &[("2021-02-03", 9, 3), ("2021-01-01", 7, 1)]);
        assert!(
            text.starts_with(
                r#"{"rates":[{"day":"2021-02-02","price":null,"count":null},{"day":"2021-02-01","#
            ),
            "{text}"
        );
        assert!(
            text.contains(r#"{"day":"2021-01-01","price":null,"count":1},{"day":"2020-12-31","price":null,"#),
            "{text}"
        );
        assert!(text.ends_with(r#"{"day":"2020-11-29","price":null,"count":null}]}"#), "{text}");
        assert_eq!(text.matches("day").count(), 66);
        let reversed = body("2020-11-29", "2021-02-02", "asc", &[("2021-02-03", 9, 3), ("2021-01-01", 7, 1)]);
        let elements = |text: &str| {
            text[10..text.len() - 2]
                .split("},")
                .map(|one| one.trim_end_matches('}').to_owned())
                .collect::<Vec<_>>()
        };
        let mut wanted = elements(&text);
        wanted.reverse();
        assert_eq!(elements(&reversed), wanted);
    }

    proptest! {
        #[test]
        fn a_mean_reads_back_to_the_quotient(sum in 3_i64..1 << 50, count in 3_i32..1_000_000) {
            let body = body("2021-01-01", "2021-01-01", "desc", &[("2021-01-01", sum, count)]);
            let read: Value = serde_json::from_str(&body).unwrap();
            #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
            let mean = sum as f64 / f64::from(count);
            // By default serde_json parses doubles fast but not exactly.
            let price: f64 = body.split("\"price\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
            prop_assert_eq!(price.to_bits(), mean.to_bits());
            prop_assert_eq!(&read["rates"][0]["count"], &json!(count));
        }
    }
}
