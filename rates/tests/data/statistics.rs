//! Percentiles are those of the prices at every moment, whether they are filled in or not.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use rates::statistics::fill_in;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, PgPool};

use crate::{support::Instance, with_lane_prices};

pub const LANES: [(&str, &str); 4] =
    [("CNGGZ", "EETLL"), ("china", "europe"), ("asia", "baltic"), ("CNSZX", "north_europe")];

/// The days of a lane with three or more prices, as plain SQL has them. Rounded, because `percentile_cont` computes with
/// doubles, and the answer is exact.
async fn truth(pool: &PgPool, origin: &str, destination: &str) -> Vec<Value> {
    let statement = with_lane_prices!(
        "select day::text,
                percentile_cont(array[0.025, 0.25, 0.5, 0.75, 0.975]::float8[]) within group (order by price)
         from lane_prices group by day having count(*) >= 3 order by day"
    );
    let days: Vec<(String, Vec<f64>)> =
        sqlx::query_as(statement).bind(origin).bind(destination).fetch_all(pool).await.unwrap();
    days.into_iter()
        .map(|(day, values)| json!([day, values.into_iter().map(fortieths).collect::<Vec<_>>()]))
        .collect()
}

pub fn fortieths(dollars: f64) -> f64 {
    (dollars * 40.0).round() / 40.0
}

async fn answer(instance: &Instance, origin: &str, destination: &str) -> Vec<Value> {
    let uri = format!(
        "/rates?statistics=full&order=asc&date_from=2020-12-20&date_to=2021-03-05&orig_code={origin}&dest_code={destination}"
    );
    let answer = instance.get(&uri).await.expect(200).json();
    let names = ["low", "midlow", "median", "midhigh", "high"];
    let days = answer["rates"].as_array().unwrap().iter().filter(|day| !day["low"].is_null());
    days.map(|day| json!([day["day"], names.map(|name| day[name].as_f64().unwrap())])).collect()
}

/// Fills in a month that has been left alone for so long; false if there is none.
async fn fill_one(pool: &PgPool, settled: Duration) -> bool {
    fill_in(&mut pool.acquire().await.unwrap(), settled).await.unwrap()
}

pub async fn fill_all(pool: &PgPool) {
    while fill_one(pool, Duration::ZERO).await {}
}

/// Adds the batches that steps insert prices of: the first two are of one supplier.
pub async fn add_batches(pool: &PgPool) {
    let batches = "insert into suppliers values ('acme'), ('other');
                   insert into batches (id, supplier, state, content_sha256, content_bytes, prices, days, lanes, data_version, ended_at)
                   overriding system value
                   select id, case id when 3 then 'other' else 'acme' end, 'done', sha256('x'), 1, 1, 1, 1, 1, now()
                   from generate_series(1, 3) id";
    pool.execute(sqlx::raw_sql(batches)).await.unwrap();
}

#[derive(Debug, Clone)]
pub enum Step {
    Insert { lane: usize, day: u8, prices: Vec<u16>, batch: u8 },
    DeleteDay(u8),
    Withdraw(u8),
    Raise { lane: usize },
    MovePort { to: usize },
    Truncate,
    FillIn,
    Ask { lane: usize },
}

const PORTS: [(&str, &str); 4] =
    [("CNGGZ", "EETLL"), ("CNSZX", "SESTO"), ("CNGGZ", "NLRTM"), ("CNSGH", "EETLL")];
const REGIONS: [&str; 3] = ["china_south", "baltic", "empty"];

pub fn step() -> impl Strategy<Value = Step> {
    use Step as S;
    let prices = prop::collection::vec(1_u16.., 1..7);
    prop_oneof![
        5 => (0..PORTS.len(), 0_u8..4, prices, 0_u8..4)
            .prop_map(|(lane, day, prices, batch)| S::Insert { lane, day: day * 20, prices, batch }),
        1 => (1_u8..4).prop_map(S::Withdraw),
        1 => (0_u8..4).prop_map(|day| S::DeleteDay(day * 20)),
        1 => (0..PORTS.len()).prop_map(|lane| S::Raise { lane }),
        1 => (0..REGIONS.len()).prop_map(|to| S::MovePort { to }),
        1 => Just(S::Truncate),
        3 => Just(S::FillIn),
        4 => (0..LANES.len()).prop_map(|lane| S::Ask { lane }),
    ]
}

impl Step {
    pub fn sql(&self) -> Option<String> {
        Some(match self {
            Self::Insert { lane, day, prices, batch } => {
                let (origin, destination) = PORTS[*lane];
                let rows: Vec<_> = prices
                    .iter()
                    .map(|price| {
                        format!("('{origin}', '{destination}', date '2020-12-25' + {day}, {price}, nullif({batch}, 0))")
                    })
                    .collect();
                format!("insert into prices values {}", rows.join(","))
            }
            Self::DeleteDay(day) => format!("delete from prices where day = date '2020-12-25' + {day}"),
            Self::Withdraw(batch) => format!("delete from prices where batch_id = {batch}"),
            Self::Raise { lane } => {
                let (origin, destination) = PORTS[*lane];
                format!(
                    "update prices set price = price + 3 where (orig_code, dest_code) = ('{origin}', '{destination}')"
                )
            }
            Self::MovePort { to } => {
                format!("update ports set parent_slug = '{}' where code = 'CNSZX'", REGIONS[*to])
            }
            Self::Truncate => "truncate prices".into(),
            Self::FillIn | Self::Ask { .. } => return None,
        })
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn percentiles_are_right_after_any_sequence_of_changes_and_fills(pool: PgPool) {
    add_batches(&pool).await;
    let instance = Instance::new(&pool).listening().await;
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut runner = TestRunner::new(Config {
            cases: 25,
            max_shrink_iters: 100,
            failure_persistence: None,
            ..Config::default()
        });
        let steps = prop::collection::vec(step(), 1..16);
        runner
            .run(&steps, |steps| {
                runtime.block_on(async {
                    for step in &steps {
                        if let Some(sql) = step.sql() {
                            pool.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
                            let version =
                                sqlx::query_scalar("select version from data_version").fetch_one(&pool);
                            instance.app.lanes.freshness.acknowledge(version.await.unwrap()).await;
                        }
                        match step {
                            Step::FillIn => fill_all(&pool).await,
                            Step::Ask { lane } => {
                                let (origin, destination) = LANES[*lane];
                                let wanted = truth(&pool, origin, destination).await;
                                prop_assert_eq!(
                                    answer(&instance, origin, destination).await,
                                    wanted,
                                    "{:?}",
                                    steps
                                );
                            }
                            _ => {}
                        }
                    }
                    fill_all(&pool).await;
                    for (origin, destination) in LANES {
                        let wanted = truth(&pool, origin, destination).await;
                        prop_assert_eq!(
                            answer(&instance, origin, destination).await,
                            wanted,
                            "at the end of {:?}",
                            steps
                        );
                    }
                    Ok(())
                })
            })
            .unwrap();
    })
    .await
    .unwrap();
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn what_is_filled_in_needs_no_prices(pool: PgPool) {
    // A second month.
    pool.execute("insert into prices select 'CNGGZ', 'EETLL', '2020-12-25', 7 from generate_series(1, 3)")
        .await
        .unwrap();
    let instance = Instance::with(
        rates::database::Database::of(pool.clone()),
        &[("RATES__CACHE__SIZE_BYTES", "0"), ("RATES__API__EXPENSIVE_WAIT_SECONDS", "0.05")],
    );
    let admitted = async || {
        let metrics = instance.metrics().await;
        let line = metrics.lines().find(|line| line.starts_with("rates_expensive_reads_admitted_total"));
        line.and_then(|line| line.split(' ').nth(1)?.parse::<u32>().ok()).unwrap()
    };
    let first = answer(&instance, "china", "europe").await;
    assert_eq!(admitted().await, 1, "computed from prices");
    fill_all(&pool).await;
    assert_eq!(answer(&instance, "china", "europe").await, first);
    assert_eq!(admitted().await, 1, "stored");
    pool.execute("insert into prices values ('CNGGZ', 'EETLL', '2021-01-05', 1)").await.unwrap();
    assert_ne!(answer(&instance, "china", "europe").await, first);
    assert_eq!(admitted().await, 2, "computed again");
    assert!(!fill_one(&pool, Duration::from_mins(1)).await, "what has just changed is left alone");
    // Too large to store in four bytes each.
    pool.execute(
        "insert into prices select 'CNGGZ', 'EETLL', '2021-02-05', 2147483647 from generate_series(1, 3)",
    )
    .await
    .unwrap();
    fill_all(&pool).await;
    let large = answer(&instance, "china", "europe").await;
    assert_eq!(large.last().unwrap(), &json!(["2021-02-05", vec![2_147_483_647.0; 5]]));
    assert_eq!(large, truth(&pool, "china", "europe").await);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn of_wider_places_only_the_chosen_ones_have_their_percentiles_computed(pool: PgPool) {
    let uncached = [("RATES__CACHE__SIZE_BYTES", "0")];
    let instance = Instance::with(rates::database::Database::of(pool), &uncached);
    let lane = "date_from=2021-01-01&date_to=2021-01-05&orig_code=CNSZX&dest_code=EETLL";
    // The lane itself has no prices. Percentiles of weeks are computed even so, which is one read more.
    for (interval, reads) in [("day", 1), ("week", 3)] {
        let uri = format!("/rates?{lane}&widen=true&statistics=full&interval={interval}");
        instance.get(&uri).await.expect(200);
        let metrics = instance.metrics().await;
        let line = format!("rates_expensive_reads_admitted_total {reads}\n");
        assert!(metrics.contains(&line), "{interval}: {metrics}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_change_while_percentiles_are_computed_is_not_lost(pool: PgPool) {
    // The worker has computed, and waits for a writer that holds the version.
    let mut writer = pool.begin().await.unwrap();
    writer.execute("insert into prices values ('CNGGZ', 'EETLL', '2021-01-01', 9)").await.unwrap();
    let filling = tokio::spawn({
        let pool = pool.clone();
        async move { fill_one(&pool, Duration::ZERO).await }
    });
    let waits = "select count(*) from pg_stat_activity
                 where wait_event_type = 'Lock' and datname = current_database() and query like '%places_version%'";
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&pool).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    writer.commit().await.unwrap();
    assert!(filling.await.unwrap());
    let instance = Instance::new(&pool);
    for (origin, destination) in LANES {
        let wanted = truth(&pool, origin, destination).await;
        assert_eq!(answer(&instance, origin, destination).await, wanted, "{origin} {destination}");
    }
    fill_all(&pool).await;
    let due = "select count(*) from changed_months where statistics_due";
    assert_eq!(sqlx::query_scalar::<_, i64>(due).fetch_one(&pool).await.unwrap(), 0);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn means_and_percentiles_of_intervals_are_of_one_state_while_prices_change(pool: PgPool) {
    let prices = "truncate prices;
                  insert into prices select 'CNGGZ', 'EETLL', date '2021-01-01' + n / 3, 1 from generate_series(0, 200) n;
                  insert into prices select 'CNSGH', 'EETLL', date '2021-01-01' + n / 3, 1 from generate_series(0, 200) n";
    pool.execute(sqlx::raw_sql(prices)).await.unwrap();
    let instance = Instance::new(&pool).listening().await;
    let done = AtomicBool::new(false);
    let writer = async {
        for price in 2..60 {
            sqlx::query("update prices set price = $1").bind(price).execute(&pool).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        done.store(true, Ordering::SeqCst);
    };
    let reader = async |interval: &str| {
        let lanes = "lane=CNGGZ:EETLL&lane=china:europe";
        let mut states = BTreeSet::new();
        while !done.load(Ordering::SeqCst) {
            // The means of this may be in memory when those of the other are read, and the other way round.
            let plain = format!("/rates?date_from=2021-01-01&date_to=2021-02-20&{lanes}&interval={interval}");
            instance.get(&plain).await.expect(200);
            let answer = instance.get(&format!("{plain}&statistics=full")).await.expect(200).json();
            let elements = answer["rates"].as_array().unwrap();
            let first = elements[0]["price"].as_u64().unwrap();
            for element in elements {
                for name in ["price", "low", "median", "high"] {
                    assert_eq!(element[name], first, "{name} of {element}");
                }
            }
            states.insert(first);
            // What is in memory is answered without a pause, and the writer must go on.
            tokio::task::yield_now().await;
        }
        states.len()
    };
    let ((), weeks, months) = tokio::join!(writer, reader("week"), reader("month"));
    assert!(weeks > 5 && months > 5, "{weeks} and {months} states were read");
}
