//! The body of an answer, written straight into bytes: it is the one thing done for every answer that is not cached.

use chrono::{Datelike, NaiveDate};

pub use crate::lanes::sql::{Lane, PricedDay};
use crate::{
    lanes::query::{Order, PlaceName, RatesQuery},
    lanes::sql::Percentiles,
};

/// A day's mean is given only where at least this many prices make it.
const PRICES_FOR_A_MEAN: i32 = 3;

/// The days of a range in the order asked for, each with where in the lane it is, if it has prices.
pub(crate) fn each_day<'a>(
    query: &RatesQuery<'_>,
    lane: &'a Lane,
) -> impl Iterator<Item = (NaiveDate, Option<usize>)> + use<'a> {
    let days = (query.to - query.from).num_days() + 1;
    let newest_first = query.order == Order::NewestFirst;
    let mut day = if newest_first { query.to } else { query.from };
    let mut left = 0..lane.days.len();
    (0..days).map(move |_| {
        let today = day;
        // Years have four digits, and the calendar goes on beyond them.
        day = if newest_first { day.pred_opt() } else { day.succ_opt() }.unwrap_or(day);
        let next = if newest_first { left.start } else { left.end.wrapping_sub(1) };
        if left.is_empty() || lane.days[next].day != today {
            return (today, None);
        }
        if newest_first {
            left.start += 1;
        } else {
            left.end -= 1;
        }
        (today, Some(next))
    })
}

/// The JSON of `GET /rates`: one element for each day of the range.
///
/// `count` is the number of prices, null where there is none; `price` their mean in US dollars, null where there are
/// fewer than three. A mean is the exact quotient rounded once to a double, in the shortest form that reads back to it.
#[must_use]
pub fn rates(query: &RatesQuery<'_>, lane: &Lane) -> Vec<u8> {
    let days = usize::try_from((query.to - query.from).num_days() + 1).unwrap_or(0);
    // An element has 43 bytes without values; a price and a count have some 20, the names of percentiles 57.
    let mut body = Vec::with_capacity(12 + days * if lane.percentiles.is_some() { 160 } else { 64 });
    body.extend_from_slice(b"{\"rates\":[");
    for (index, (day, found)) in each_day(query, lane).enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(b"{\"day\":\"");
        write_day(&mut body, day);
        body.extend_from_slice(b"\",\"price\":");
        write_or_null(&mut body, |body| write_mean(body, lane, found?));
        body.extend_from_slice(b",\"count\":");
        write_or_null(&mut body, |body| found.map(|index| write_integer(body, lane.days[index].count)));
        for (name, values) in lane.percentiles.iter().flat_map(named) {
            body.extend_from_slice(b",\"");
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(b"\":");
            write_or_null(&mut body, |body| values[found?].map(|number| write_number(body, number)));
        }
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    body
}

/// The CSV of `GET /rates.csv` (RFC 4180): a header, then one row for each day of the range; an empty field where the
/// JSON has null.
pub(crate) fn csv(query: &RatesQuery<'_>, lane: &Lane) -> Vec<u8> {
    let mut body = b"orig_code,dest_code,day,price,count".to_vec();
    for (name, _) in lane.percentiles.iter().flat_map(named) {
        body.push(b',');
        body.extend_from_slice(name.as_bytes());
    }
    body.extend_from_slice(b"\r\n");
    let places = [csv_place(&query.origin), csv_place(&query.destination)].concat();
    for (day, found) in each_day(query, lane) {
        body.extend_from_slice(&places);
        write_day(&mut body, day);
        body.push(b',');
        let _ = found.and_then(|index| write_mean(&mut body, lane, index));
        body.push(b',');
        if let Some(index) = found {
            write_integer(&mut body, lane.days[index].count);
        }
        for (_, values) in lane.percentiles.iter().flat_map(named) {
            body.push(b',');
            if let Some(number) = found.and_then(|index| values[index]) {
                write_number(&mut body, number);
            }
        }
        body.extend_from_slice(b"\r\n");
    }
    body
}

/// A name and the comma after it. Its characters need no quotes, but a spreadsheet would take one that starts with `-`
/// for a formula: a dump from elsewhere may hold such names.
fn csv_place(place: &PlaceName<'_>) -> Vec<u8> {
    let name = place.as_ref();
    let guard = if name.starts_with('-') { "'" } else { "" };
    format!("{guard}{name},").into_bytes()
}

/// The percentiles by their names in answers, from the lowest.
pub(crate) fn named(percentiles: &Percentiles) -> [(&'static str, &[Option<f64>]); 5] {
    [
        ("low", &percentiles.low),
        ("midlow", &percentiles.midlow),
        ("median", &percentiles.median),
        ("midhigh", &percentiles.midhigh),
        ("high", &percentiles.high),
    ]
}

fn write_or_null(body: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) {
    if write(body).is_none() {
        body.extend_from_slice(b"null");
    }
}

fn write_integer(body: &mut Vec<u8>, number: impl itoa::Integer) {
    body.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// `YYYY-MM-DD`, for years 1 to 9999.
fn write_day(body: &mut Vec<u8>, day: NaiveDate) {
    let mut text = *b"0000-00-00";
    let mut put = |at: usize, number: u32| {
        text[at] += (number / 10 % 10) as u8;
        text[at + 1] += (number % 10) as u8;
    };
    put(0, day.year().unsigned_abs() / 100);
    put(2, day.year().unsigned_abs());
    put(5, day.month());
    put(8, day.day());
    body.extend_from_slice(&text);
}

/// Nothing where there are too few prices for a mean.
fn write_mean(body: &mut Vec<u8>, lane: &Lane, index: usize) -> Option<()> {
    mean(lane, index).map(|mean| write_number(body, mean))
}

/// The mean of a day's prices, where there are enough.
///
/// Sums below 2^53 are exact as doubles, and IEEE division rounds once: a day would need four million prices of
/// 2^31 dollars to pass that.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(crate) fn mean(lane: &Lane, index: usize) -> Option<f64> {
    let PricedDay { sum, count, .. } = lane.days[index];
    (count >= PRICES_FOR_A_MEAN).then(|| sum as f64 / f64::from(count))
}

/// The shortest text that reads back to the same double; whole numbers without a point.
#[expect(clippy::cast_possible_truncation, reason = "only where it is exact")]
fn write_number(body: &mut Vec<u8>, number: f64) {
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        write_integer(body, number as i64);
    } else {
        body.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn body(from: &str, to: &str, order: &str, priced: &[(&str, i64, i32)]) -> String {
        let query = format!("date_from={from}&date_to={to}&origin=A&destination=B&order={order}");
        let query = RatesQuery::parse(&query, 3660).unwrap();
        let days =
            priced.iter().map(|(text, sum, count)| PricedDay { day: day(text), count: *count, sum: *sum });
        let lane = Lane::of(days.collect());
        String::from_utf8(rates(&query, &lane)).unwrap()
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

    proptest! {
        #[test]
        fn a_mean_reads_back_to_the_quotient(sum in 3_i64..1 << 50, count in 3_i32..1_000_000) {
            let body = body("2021-01-01", "2021-01-01", "desc", &[("2021-01-01", sum, count)]);
            let read: Value = serde_json::from_str(&body).unwrap();
            #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
            let mean = sum as f64 / f64::from(count);
            // serde_json reads doubles faster than exactly.
            let price: f64 = body.split("\"price\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
            prop_assert_eq!(price.to_bits(), mean.to_bits());
            prop_assert_eq!(&read["rates"][0]["count"], &json!(count));
        }
    }
}
