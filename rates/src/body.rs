//! The body of an answer, written straight into bytes: it is the one thing done for every answer that is not cached.

use chrono::{Datelike, NaiveDate};

use crate::{
    params::{Order, RatesQuery},
    sql::rates::Lane,
};

/// A day's mean is given only where at least this many prices make it.
const PRICES_FOR_A_MEAN: i32 = 3;

/// The JSON of `GET /rates`: one element for each day of the range.
///
/// `count` is the number of prices, null where there is none; `price` their mean in US dollars, null where there are
/// fewer than three. A mean is the exact quotient rounded once to a double, in the shortest form that reads back to it.
pub(crate) fn rates(query: &RatesQuery<'_>, lane: &Lane) -> Vec<u8> {
    let days = usize::try_from((query.to - query.from).num_days() + 1).unwrap_or(0);
    // An element has 43 bytes without values; a price and a count have some 20.
    let mut body = Vec::with_capacity(12 + days * 64);
    body.extend_from_slice(b"{\"rates\":[");
    let mut priced = lane.days.iter().zip(lane.price_sums.iter().zip(&lane.price_counts)).peekable();
    let mut priced_from_oldest =
        lane.days.iter().zip(lane.price_sums.iter().zip(&lane.price_counts)).rev().peekable();
    let mut day = match query.order {
        Order::NewestFirst => query.to,
        Order::OldestFirst => query.from,
    };
    for index in 0..days {
        if index > 0 {
            body.push(b',');
        }
        let found = match query.order {
            Order::NewestFirst => priced.next_if(|(priced_day, _)| **priced_day == day),
            Order::OldestFirst => priced_from_oldest.next_if(|(priced_day, _)| **priced_day == day),
        };
        write_element(&mut body, day, found.map(|(_, (sum, count))| (*sum, *count)));
        day = match query.order {
            Order::NewestFirst => day.pred_opt(),
            Order::OldestFirst => day.succ_opt(),
        }
        // Years have four digits, and the calendar goes on beyond them.
        .unwrap_or(day);
    }
    body.extend_from_slice(b"]}");
    body
}

fn write_element(body: &mut Vec<u8>, day: NaiveDate, sum_and_count: Option<(i64, i32)>) {
    body.extend_from_slice(b"{\"day\":\"");
    write_day(body, day);
    body.extend_from_slice(b"\",\"price\":");
    let mut digits = itoa::Buffer::new();
    match sum_and_count {
        Some((sum, count)) if count >= PRICES_FOR_A_MEAN => write_mean(body, sum, count),
        _ => body.extend_from_slice(b"null"),
    }
    body.extend_from_slice(b",\"count\":");
    match sum_and_count {
        Some((_, count)) => body.extend_from_slice(digits.format(count).as_bytes()),
        None => body.extend_from_slice(b"null"),
    }
    body.push(b'}');
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

/// Sums below 2^53 are exact as doubles, and IEEE division rounds once: a day would need four million prices of
/// 2^31 dollars to pass that.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn write_mean(body: &mut Vec<u8>, sum: i64, count: i32) {
    if sum % i64::from(count) == 0 {
        body.extend_from_slice(itoa::Buffer::new().format(sum / i64::from(count)).as_bytes());
    } else {
        body.extend_from_slice(zmij::Buffer::new().format_finite(sum as f64 / f64::from(count)).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::sql::version::DataVersion;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn body(from: &str, to: &str, order: &str, priced: &[(&str, i64, i32)]) -> String {
        let query = format!("date_from={from}&date_to={to}&origin=A&destination=B&order={order}");
        let query = RatesQuery::parse(&query, 3660).unwrap();
        let lane = Lane {
            version: DataVersion { version: 1, places_version: 1 },
            days: priced.iter().map(|(text, ..)| day(text)).collect(),
            price_sums: priced.iter().map(|(_, sum, _)| *sum).collect(),
            price_counts: priced.iter().map(|(_, _, count)| *count).collect(),
        };
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
