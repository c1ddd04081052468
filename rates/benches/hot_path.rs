//! What is done for each request apart from network and database: its query is read, the key of its answer made and
//! looked up, and where the answer is not there, its body written.

use std::{fmt, sync::Arc};

use chassis::compression::CompressibleBody;
use divan::{Bencher, black_box};
use rates::{
    lanes::{
        cache::{AnswerCache, CachedAnswer},
        json,
        query::{Form, RatesQuery},
        sql::{Day, Lane},
    },
    settings::CacheSettings,
};

const MAX_DAYS: u32 = 3660;

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
    RatesQuery::parse(query.text, MAX_DAYS).expect("a right query")
}

/// Every day has a mean that needs all its digits: the dearest body there is.
fn lane(query: &RatesQuery<'_>) -> Lane {
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
    Lane::of(priced)
}

#[divan::bench(args = [MONTH, ESCAPED])]
fn parse_query(bencher: Bencher, query: &Query) {
    bencher.bench(|| RatesQuery::parse(black_box(query.text), MAX_DAYS).is_ok());
}

#[divan::bench]
fn make_key(bencher: Bencher) {
    let query = parsed(&MONTH);
    bencher.bench(|| black_box(&query).key(&Form::Json).at(black_box(7)));
}

#[divan::bench]
fn make_etag(bencher: Bencher) {
    let key = parsed(&MONTH).key(&Form::Json).at(7);
    bencher.bench(|| black_box(&key).etag());
}

#[divan::bench]
fn find_in_cache(bencher: Bencher) {
    let query = parsed(&MONTH);
    let key = query.key(&Form::Json).at(7);
    let settings = CacheSettings { size_bytes: 1 << 20, control: String::new(), stale_seconds: 0.0 };
    let cache = AnswerCache::new(&settings, Arc::default());
    let body = CompressibleBody::from(json::write(&query, &lane(&query)));
    cache.put(&key, &CachedAnswer { body, etag: key.etag(), version: 7 });
    assert!(cache.get(&key).is_some());
    bencher.bench(|| cache.get(black_box(&key)));
}

#[divan::bench(args = [MONTH, TEN_YEARS])]
fn write_body(bencher: Bencher, query: &Query) {
    let query = parsed(query);
    let lane = lane(&query);
    bencher.bench(|| json::write(black_box(&query), black_box(&lane)));
}
