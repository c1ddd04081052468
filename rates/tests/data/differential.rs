//! Random requests, answered as plain SQL over the raw prices answers them.

use std::{fmt::Write as _, path::Path};

use chrono::{Days, NaiveDate};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use rates::load::{Mode, load_file};
use sqlx::PgPool;

use crate::{
    support::{Instance, rules},
    with_lane_prices,
};

/// What the answer must be, from the raw prices alone.
async fn truth(
    pool: &PgPool,
    origin: &str,
    destination: &str,
    from: NaiveDate,
    to: NaiveDate,
) -> Vec<(NaiveDate, Option<f64>, Option<i64>)> {
    let statement = with_lane_prices!(
        "select days.day::date, case when count(price) >= 3 then avg(price)::float8 end, nullif(count(price), 0)
         from generate_series($3::date, $4::date, '1 day') days(day)
         left join lane_prices on lane_prices.day = days.day
         group by 1 order by 1 desc"
    );
    sqlx::query_as(statement)
        .bind(origin)
        .bind(destination)
        .bind(from)
        .bind(to)
        .fetch_all(pool)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn random_requests_are_answered_as_the_raw_prices_say(pool: PgPool) {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../db/rates.sql");
    load_file(&mut pool.acquire().await.unwrap(), Path::new(sample), Mode::IntoEmpty, rules()).await.unwrap();
    let places: Vec<String> =
        sqlx::query_scalar("select code from ports union all select slug from regions order by 1")
            .fetch_all(&pool)
            .await
            .unwrap();
    let instance = Instance::new(&pool).listening().await;
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let place = prop::sample::select(places);
        let first = NaiveDate::from_ymd_opt(2015, 12, 1).unwrap();
        let request = (place.clone(), place, 0_u64..2250, 0_u64..45, any::<bool>());
        let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
        runner
            .run(&request, |(origin, destination, start, length, ascending)| {
                runtime.block_on(async {
                    let from = first + Days::new(start);
                    let to = from + Days::new(length);
                    let mut wanted = truth(&pool, &origin, &destination, from, to).await;
                    let order = if ascending { "asc" } else { "desc" };
                    if ascending {
                        wanted.reverse();
                    }
                    let uri = format!("/rates?date_from={from}&date_to={to}&origin={origin}&destination={destination}&order={order}");
                    let answer = instance.get(&uri).await.expect(200).json();
                    let got: Vec<_> = answer["rates"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|rate| (rate["day"].as_str().unwrap().parse().unwrap(), rate["price"].as_f64(), rate["count"].as_i64()))
                        .collect();
                    prop_assert_eq!(got, wanted, "{}", uri);
                    Ok(())
                })
            })
            .unwrap();
    })
    .await
    .unwrap();
}

/// An element as an answer has it: its first and last day, price, count and priced days.
type Interval = (NaiveDate, NaiveDate, Option<f64>, Option<i64>, i64);

/// A question of the second test.
#[derive(Debug, Clone)]
struct Question {
    from: NaiveDate,
    to: NaiveDate,
    interval: &'static str,
    min_count: i64,
    widen: &'static str,
}

/// What the elements must be, oldest first, from the raw prices alone.
async fn true_intervals(
    pool: &PgPool,
    (origin, destination): (&str, &str),
    asked: &Question,
) -> Vec<Interval> {
    let statement = with_lane_prices!(
        "select min(days.day)::date, max(days.day)::date,
                case when count(price) >= $6 then sum(price)::float8 / count(price) end, nullif(count(price), 0),
                count(distinct lane_prices.day)
         from generate_series($3::date, $4::date, '1 day') days(day)
         left join lane_prices on lane_prices.day = days.day
         group by date_trunc($5, days.day) order by 1"
    );
    let query = sqlx::query_as(statement).bind(origin).bind(destination).bind(asked.from).bind(asked.to);
    query.bind(asked.interval).bind(asked.min_count).fetch_all(pool).await.unwrap()
}

/// A place and the regions above it, innermost first, each with the number of its ports.
async fn above(pool: &PgPool, place: &str) -> Vec<(String, i64)> {
    sqlx::query_as(
        "with recursive above (slug, step) as (
             select $1::text, 0
             union
             select coalesce(p.parent_slug, r.parent_slug), step + 1
             from above
             left join ports p on p.code = slug
             left join regions r on r.slug = above.slug
             where coalesce(p.parent_slug, r.parent_slug) is not null
         )
         select slug, (
             with recursive below (slug) as (
                 select above.slug union select r.slug from regions r join below b on r.parent_slug = b.slug
             )
             select count(*) from ports where code = above.slug or parent_slug in (table below)
         )
         from above order by step",
    )
    .bind(place)
    .fetch_all(pool)
    .await
    .unwrap()
}

/// The elements that must be answered, each with the places that its prices are of.
async fn true_answer(
    pool: &PgPool,
    (origin, destination): (&str, &str),
    asked: &Question,
) -> Vec<(Interval, String)> {
    let mut pairs = Vec::new();
    for (up, (origin, ports)) in above(pool, origin).await.into_iter().enumerate() {
        for (also_up, (destination, more_ports)) in above(pool, destination).await.into_iter().enumerate() {
            pairs.push(((up + also_up, ports * more_ports, up), (origin.clone(), destination)));
        }
    }
    pairs.sort();
    let name = |(origin, destination): &(String, String)| format!("{origin} {destination}");
    let mut answer: Option<Vec<(Interval, String)>> = None;
    for (_, pair) in pairs {
        let wider: Vec<_> = true_intervals(pool, (&pair.0, &pair.1), asked)
            .await
            .into_iter()
            .map(|interval| (interval, name(&pair)))
            .collect();
        let has_price = |(interval, _): &(Interval, String)| interval.2.is_some();
        let Some(answer) = &mut answer else {
            answer = Some(wider);
            continue;
        };
        match asked.widen {
            "each" => {
                for (element, wider) in answer.iter_mut().zip(wider) {
                    if !has_price(element) && has_price(&wider) {
                        *element = wider;
                    }
                }
            }
            "true" if !answer.iter().any(has_price) && wider.iter().any(has_price) => *answer = wider,
            _ => {}
        }
    }
    answer.unwrap()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn intervals_and_wider_places_are_what_the_raw_prices_say(pool: PgPool) {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../db/rates.sql");
    load_file(&mut pool.acquire().await.unwrap(), Path::new(sample), Mode::IntoEmpty, rules()).await.unwrap();
    // Half of the prices, so that many lanes have few.
    sqlx::query("delete from prices where (day - date '2000-01-01') % 2 = 0").execute(&pool).await.unwrap();
    // Half of the questions are of lanes that have prices.
    let places =
        "select code, slug from (select code from ports union all select slug from regions) a (code),
                         (select code from ports union all select slug from regions) b (slug)";
    let priced = "select distinct orig_code, dest_code from prices order by 1, 2";
    let places: Vec<(String, String)> = sqlx::query_as(places).fetch_all(&pool).await.unwrap();
    let priced: Vec<(String, String)> = sqlx::query_as(priced).fetch_all(&pool).await.unwrap();
    let instance = Instance::new(&pool).listening().await;
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let pair = prop_oneof![prop::sample::select(places), prop::sample::select(priced)];
        let first = NaiveDate::from_ymd_opt(2015, 12, 1).unwrap();
        let question = (
            0_u64..2250,
            0_u64..400,
            prop::sample::select(vec!["day", "week", "month", "quarter", "year"]),
            prop::sample::select(vec![3, 4, 20]),
            prop::sample::select(vec!["false", "true", "each"]),
        );
        let question = question.prop_map(move |(start, length, interval, min_count, widen)| {
            let from = first + Days::new(start);
            Question { from, to: from + Days::new(length), interval, min_count, widen }
        });
        let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
        let pairs = prop::collection::vec(pair, 1..3);
        runner
            .run(&(pairs, question, any::<bool>()), |(pairs, asked, ascending)| {
                runtime.block_on(async {
                    let mut wanted = Vec::new();
                    let mut lanes = String::new();
                    for (origin, destination) in &pairs {
                        let mut answer = true_answer(&pool, (origin, destination), &asked).await;
                        if !ascending {
                            answer.reverse();
                        }
                        wanted.extend(answer);
                        let _ = write!(lanes, "&lane={origin}:{destination}");
                    }
                    let Question { from, to, interval, min_count, widen } = &asked;
                    let order = if ascending { "asc" } else { "desc" };
                    let query = format!(
                        "date_from={from}&date_to={to}{lanes}&order={order}&interval={interval}&min_count={min_count}&widen={widen}"
                    );
                    let answer = instance.get(&format!("/rates?{query}")).await.expect(200).json();
                    let got: Vec<_> = answer["rates"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|rate| {
                            let text = |name: &str| rate[name].as_str().map(str::to_owned);
                            let day = |name: &str| text(name).map(|day| day.parse::<NaiveDate>().unwrap());
                            let first = day("day").unwrap();
                            let count = rate["count"].as_i64();
                            let priced_days = rate["priced_days"].as_i64().unwrap_or(i64::from(count.is_some()));
                            let last = day("last_day").unwrap_or(first);
                            let place = |end: &str| text(&format!("used_{end}")).or_else(|| text(end)).unwrap();
                            let used = format!("{} {}", place("orig_code"), place("dest_code"));
                            ((first, last, rate["price"].as_f64(), count, priced_days), used)
                        })
                        .collect();
                    prop_assert_eq!(&got, &wanted, "{}", query);
                    let csv = instance.get(&format!("/rates.csv?{query}&decimals=20")).await.expect(200);
                    let mut rows = csv::Reader::from_reader(csv.body.as_slice());
                    let headers = rows.headers().unwrap().clone();
                    let price = headers.iter().position(|name| name == "price").unwrap();
                    let of_csv: Vec<Option<f64>> =
                        rows.records().map(|row| row.unwrap()[price].parse().ok()).collect();
                    let of_json: Vec<Option<f64>> = got.iter().map(|((_, _, price, ..), _)| *price).collect();
                    prop_assert_eq!(of_csv, of_json, "{}", query);
                    Ok(())
                })
            })
            .unwrap();
    })
    .await
    .unwrap();
}
