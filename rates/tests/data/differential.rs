//! Random requests, answered as plain SQL over the raw prices answers them.

use std::path::Path;

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
