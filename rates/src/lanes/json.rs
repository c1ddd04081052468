//! The JSON of `GET /rates`, written directly into bytes for speed.

use chrono::{Datelike, NaiveDate};

use super::{
    query::{RatesQuery, Statistics},
    sql::{Day, Lane, Percentiles},
};

/// One element for each day of the range.
///
/// `count` is the number of prices, null where there is none; `price` their mean in US dollars, null where there are
/// fewer than three. A mean is the exact quotient rounded once to a double, in the shortest form that reads back to it.
#[must_use]
pub fn write(query: &RatesQuery<'_>, lane: &Lane) -> Vec<u8> {
    let full = query.statistics == Statistics::Full;
    // An element has 43 bytes without values; a price and a count have some 20, the names of percentiles 57.
    let mut body = Vec::with_capacity(12 + query.days() * if full { 160 } else { 64 });
    body.extend_from_slice(b"{\"rates\":[");
    for (index, (day, priced)) in lane.each_day(query).enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(b"{\"day\":\"");
        write_day(&mut body, day);
        body.extend_from_slice(b"\",\"price\":");
        write_or_null(&mut body, priced.and_then(Day::mean), write_number);
        body.extend_from_slice(b",\"count\":");
        write_or_null(&mut body, priced.map(|day| day.count), write_integer);
        if full {
            let values = priced.and_then(|day| day.percentiles.as_deref()).map(Percentiles::values);
            for (at, name) in Percentiles::NAMES.into_iter().enumerate() {
                body.extend_from_slice(b",\"");
                body.extend_from_slice(name.as_bytes());
                body.extend_from_slice(b"\":");
                write_or_null(&mut body, values.map(|values| values[at]), write_number);
            }
        }
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    body
}

fn write_or_null<T>(body: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        Some(value) => write(body, value),
        None => body.extend_from_slice(b"null"),
    }
}

pub(super) fn write_integer(body: &mut Vec<u8>, number: impl itoa::Integer) {
    body.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// `YYYY-MM-DD`, for years 1 to 9999.
pub(super) fn write_day(body: &mut Vec<u8>, day: NaiveDate) {
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

/// The shortest text that reads back to the same double; whole numbers without a point.
#[expect(clippy::cast_possible_truncation, reason = "only where it is exact")]
pub(super) fn write_number(body: &mut Vec<u8>, number: f64) {
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
        let days = priced.iter().map(|(text, sum, count)| Day {
            day: day(text),
            sum: *sum,
            count: *count,
            percentiles: None,
        });
        let lane = Lane::of(days.collect());
        String::from_utf8(write(&query, &lane)).unwrap()
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
            // By default serde_json parses doubles fast but not exactly.
            let price: f64 = body.split("\"price\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
            prop_assert_eq!(price.to_bits(), mean.to_bits());
            prop_assert_eq!(&read["rates"][0]["count"], &json!(count));
        }
    }
}
