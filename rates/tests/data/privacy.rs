//! Days behind which too few suppliers stand are answered like days without prices, whatever has happened before.

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use rates::database::Database;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, PgPool};

use crate::{
    statistics::{LANES, Step, add_batches, fill_all, fortieths, step},
    support::Instance,
    with_lane_prices,
};

const NAMES: [&str; 5] = ["low", "midlow", "median", "midhigh", "high"];

/// First day, mean, number of prices and of priced days, and the percentiles of days: of each element that has prices.
type Row = (String, Option<f64>, i64, i64, Option<Vec<f64>>);

/// The elements that have prices on days that are not hidden, as plain SQL has them.
async fn truth(pool: &PgPool, lane: (&str, &str), min_suppliers: i64, interval: &str) -> Vec<Value> {
    let statement = with_lane_prices!(
        ", told as (
             select * from lane_prices
             where day in (select day from lane_prices group by day having count(distinct supplier) >= $3)
         )
         select greatest(date_trunc($4, day), date '2020-12-20')::date::text,
                case when count(*) >= 3 then sum(price)::float8 / count(*) end, count(*), count(distinct day),
                case when count(*) >= 3 then
                    percentile_cont(array[0.025, 0.25, 0.5, 0.75, 0.975]::float8[]) within group (order by price)
                end
         from told group by 1 order by 1"
    );
    let query = sqlx::query_as(statement).bind(lane.0).bind(lane.1).bind(min_suppliers).bind(interval);
    let rows: Vec<Row> = query.fetch_all(pool).await.unwrap();
    let row = |(day, mean, count, days, percentiles): Row| {
        // Rounded, because `percentile_cont` computes with doubles, and the answer is exact.
        let percentiles = percentiles.map(|values| values.into_iter().map(fortieths).collect::<Vec<_>>());
        json!([day, mean, count, days, percentiles])
    };
    rows.into_iter().map(row).collect()
}

/// The same as this instance answers it.
async fn answer(instance: &Instance, (origin, destination): (&str, &str), interval: &str) -> Vec<Value> {
    let uri = format!(
        "/rates?date_from=2020-12-20&date_to=2021-03-05&origin={origin}&destination={destination}&order=asc\
         &statistics=full&interval={interval}"
    );
    let answer = instance.get(&uri).await.expect(200).json();
    let elements = answer["rates"].as_array().unwrap().iter().filter(|element| !element["count"].is_null());
    let row = |element: &Value| {
        let percentiles: Option<Vec<f64>> = NAMES.iter().map(|name| element[name].as_f64()).collect();
        let days = element["priced_days"].as_i64().unwrap_or(1);
        json!([element["day"], element["price"].as_f64(), element["count"], days, percentiles])
    };
    elements.map(row).collect()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn only_days_of_enough_suppliers_are_told_after_any_sequence_of_changes(pool: PgPool) {
    add_batches(&pool).await;
    let mut instances = Vec::new();
    for min_suppliers in ["1", "2", "3"] {
        let settings = [("RATES__API__MIN_SUPPLIERS", min_suppliers)];
        instances.push(Instance::with(Database::of(pool.clone()), &settings).listening().await);
    }
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let config =
            Config { cases: 25, max_shrink_iters: 100, failure_persistence: None, ..Config::default() };
        let steps = prop::collection::vec((step(), 0..4_usize), 1..16);
        let run = |steps: Vec<(Step, usize)>| {
            runtime.block_on(async {
                for (step, interval) in &steps {
                    if let Some(sql) = step.sql() {
                        pool.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
                        let version = sqlx::query_scalar("select version from data_version");
                        let version = version.fetch_one(&pool).await.unwrap();
                        for instance in &instances {
                            instance.app.lanes.freshness.acknowledge(version).await;
                        }
                    }
                    match step {
                        Step::FillIn => fill_all(&pool).await,
                        Step::Ask { lane } => {
                            let interval = ["day", "week", "month", "year"][*interval];
                            for (instance, min_suppliers) in instances.iter().zip(1..) {
                                let told = answer(instance, LANES[*lane], interval).await;
                                let wanted = truth(&pool, LANES[*lane], min_suppliers, interval).await;
                                prop_assert_eq!(told, wanted, "{} suppliers, {:?}", min_suppliers, steps);
                            }
                        }
                        _ => {}
                    }
                }
                Ok(())
            })
        };
        TestRunner::new(config).run(&steps, run).unwrap();
    })
    .await
    .unwrap();
}
