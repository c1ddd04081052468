//! What is done for each request apart from network and database: its query is read, the key of its answer made and
//! looked up, and where the answer is not there, its body written.

use std::fmt;

use divan::{Bencher, black_box};
use rates::{
    http::answer::Form,
    lanes::{
        cache::{Answer, Cache, Key},
        json::{self as body, Lane, PricedDay},
        query::RatesQuery,
    },
};

const MAX_DAYS: u32 = 3660;

/// A query string by what is special about it.
struct Asked {
    name: &'static str,
    query: &'static str,
}

const MONTH: Asked =
    Asked { name: "month", query: "date_from=2021-01-01&date_to=2021-01-31&orig_code=CNGGZ&dest_code=EETLL" };
/// The longest range that the defaults allow.
const TEN_YEARS: Asked = Asked {
    name: "ten_years",
    query: "date_from=2012-01-01&date_to=2022-01-07&orig_code=CNGGZ&dest_code=EETLL",
};
/// Escapes take the slower way through the parser.
const ESCAPED: Asked = Asked {
    name: "escaped",
    query: "date_from=2021-01-01&date_to=2021-01-31&origin=china%5Fmain&destination=north%2Deurope",
};

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

fn main() {
    divan::main();
}

fn parsed(asked: &Asked) -> RatesQuery<'static> {
    RatesQuery::parse(asked.query, MAX_DAYS).expect("a right query")
}

/// Every day has a mean that needs all its digits: the dearest body there is.
fn lane(query: &RatesQuery<'_>) -> Lane {
    let days = query.from.iter_days().take_while(|day| *day <= query.to).zip(0..);
    let mut priced: Vec<_> = days
        .map(|(day, number)| PricedDay {
            day,
            sum: 3463 + 3 * number,
            count: if number % 2 == 0 { 3 } else { 7 },
        })
        .collect();
    priced.reverse();
    Lane::of(priced)
}

#[divan::bench(args = [MONTH, ESCAPED])]
fn parse_query(bencher: Bencher, asked: &Asked) {
    bencher.bench(|| RatesQuery::parse(black_box(asked.query), MAX_DAYS).is_ok());
}

#[divan::bench]
fn make_key(bencher: Bencher) {
    let query = parsed(&MONTH);
    bencher.bench(|| Key::new(black_box(7), black_box(&query), &Form::Json));
}

#[divan::bench]
fn make_etag(bencher: Bencher) {
    let key = Key::new(7, &parsed(&MONTH), &Form::Json);
    bencher.bench(|| black_box(&key).etag());
}

#[divan::bench]
fn find_in_cache(bencher: Bencher) {
    let query = parsed(&MONTH);
    let key = Key::new(7, &query, &Form::Json);
    let cache = Cache::new(1 << 20);
    let body = body::rates(&query, &lane(&query)).into();
    cache.put(&key, &Answer { body, etag: key.etag(), version: 7 });
    assert!(cache.get(&key).is_some());
    bencher.bench(|| cache.get(black_box(&key)));
}

#[divan::bench(args = [MONTH, TEN_YEARS])]
fn write_body(bencher: Bencher, asked: &Asked) {
    let query = parsed(asked);
    let lane = lane(&query);
    bencher.bench(|| body::rates(black_box(&query), black_box(&lane)));
}
