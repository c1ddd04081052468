//! What is done for each request apart from network and database: its query is read, the tag of its answer made, and its
//! body put together from months.

use std::fmt;

use divan::{Bencher, black_box};
use rates::{
    lanes::{
        answers::Tag,
        day::Day,
        lane::{Lane, LaneRange},
        query::{Form, QueryLimits, RatesQuery},
    },
    places::Pair,
    privacy::Privacy,
};

const PRIVACY: Privacy = Privacy { min_suppliers: 1, price_step: 0, count_bands: false };
const LIMITS: QueryLimits = QueryLimits { max_days: 3660, min_count: 3, privacy: PRIVACY };

/// A query string by what is special about it.
struct Query {
    name: &'static str,
    text: &'static str,
}

const MONTH: Query =
    Query { name: "month", text: "date_from=2021-01-01&date_to=2021-01-31&orig_code=CNGGZ&dest_code=EETLL" };
/// The longest range that the defaults allow.
const TEN_YEARS: Query = Query {
    name: "ten_years",
    text: "date_from=2012-01-01&date_to=2022-01-07&orig_code=CNGGZ&dest_code=EETLL",
};
/// Escapes take the slower way through the parser.
const ESCAPED: Query = Query {
    name: "escaped",
    text: "date_from=2021-01-01&date_to=2021-01-31&origin=china%5Fmain&destination=north%2Deurope",
};

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

fn main() {
    divan::main();
}

fn parsed(query: &Query) -> RatesQuery<'static> {
    RatesQuery::parse(query.text, LIMITS).expect("a right query")
}

/// Every day has a mean that needs all its digits: the dearest body there is.
fn days(query: &RatesQuery<'_>) -> Vec<Day> {
    let days = query.from.iter_days().take_while(|day| *day <= query.to).zip(0..);
    let mut priced: Vec<_> = days
        .map(|(day, number)| Day {
            day,
            sum: 3463 + 3 * number,
            count: if number % 2 == 0 { 3 } else { 7 },
            percentiles: None,
        })
        .collect();
    priced.reverse();
    priced
}

fn lane(query: &RatesQuery<'_>) -> Lane {
    Lane::of_days(LaneRange::new(Pair::default(), query), 1, &days(query))
}

#[divan::bench(args = [MONTH, ESCAPED])]
fn parse_query(bencher: Bencher, query: &Query) {
    bencher.bench(|| RatesQuery::parse(black_box(query.text), LIMITS).is_ok());
}

#[divan::bench(args = [MONTH, TEN_YEARS])]
fn make_etag(bencher: Bencher, query: &Query) {
    let query = parsed(query);
    let lane = lane(&query);
    bencher.bench(|| {
        let mut fingerprint = black_box(&query).fingerprint(&Form::Json);
        black_box(&lane).add_to(&mut fingerprint);
        Tag::from(fingerprint).etag()
    });
}

/// What is done once for each month that was read.
#[divan::bench(args = [MONTH, TEN_YEARS])]
fn write_months(bencher: Bencher, query: &Query) {
    let query = parsed(query);
    let (range, days) = (LaneRange::new(Pair::default(), &query), days(&query));
    bencher.bench(|| Lane::of_days(range, 1, black_box(&days)));
}

#[divan::bench(args = [MONTH, TEN_YEARS])]
fn write_body(bencher: Bencher, query: &Query) {
    let query = parsed(query);
    let lane = lane(&query);
    bencher.bench(|| black_box(&lane).to_json(black_box(&query)));
}
