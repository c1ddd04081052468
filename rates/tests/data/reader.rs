//! Requests that share a statement: each gets its own answer, and none suffers from another.

use std::time::Duration;

use axum::body::Body;
use futures_util::future::join_all;
use http::Request;
use rates::database::Database;
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::task::JoinHandle;

use crate::support::Instance;

const UNCACHED: &[(&str, &str)] = &[("RATES__CACHE__SIZE_BYTES", "0")];

async fn many_prices(pool: &PgPool) {
    sqlx::raw_sql(
        "insert into prices
         select o.code, d.code, date '2021-01-01' + n % 40, 100 + n
         from ports o, ports d, generate_series(1, 200) n where o.code < d.code",
    )
    .execute(pool)
    .await
    .unwrap();
}

/// Every pair of places, each with a range of its own.
async fn questions(pool: &PgPool) -> Vec<String> {
    let places: Vec<String> =
        sqlx::query_scalar("select code from ports union select slug from regions order by 1")
            .fetch_all(pool)
            .await
            .unwrap();
    let pairs = places.iter().flat_map(|from| places.iter().map(move |to| (from, to)));
    pairs
        .enumerate()
        .map(|(n, (from, to))| {
            let last = 1 + n % 28;
            format!("/rates?date_from=2021-01-01&date_to=2021-02-{last:02}&orig_code={from}&dest_code={to}")
        })
        .collect()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn each_request_gets_its_own_answer(pool: PgPool) {
    many_prices(&pool).await;
    let instance = Instance::with(Database::of(pool.clone()), UNCACHED);
    let questions = questions(&pool).await;
    assert!(questions.len() > 100, "more than go into a statement: {}", questions.len());
    let together = join_all(questions.iter().map(|question| instance.get(question))).await;
    for (question, answer) in questions.iter().zip(together) {
        let alone = instance.get(question).await.expect(200);
        assert_eq!(answer.expect(200).text(), alone.text(), "{question}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_least_and_the_most_that_a_day_can_hold_are_read(pool: PgPool) {
    sqlx::raw_sql(
        "insert into prices
         select 'CNGGZ', 'EETLL', day::date, price
         from unnest(array['0001-01-01', '1969-12-31', '1970-01-01', '9999-12-31']) day,
              unnest(array[2147483647, 2147483647, 2147483646]) price",
    )
    .execute(&pool)
    .await
    .unwrap();
    let instance = Instance::with(Database::of(pool), UNCACHED);
    for (from, to) in
        [("0001-01-01", "0001-01-02"), ("1969-12-30", "1970-01-02"), ("9999-12-30", "9999-12-31")]
    {
        let lane = format!("date_from={from}&date_to={to}&orig_code=CNGGZ&dest_code=EETLL");
        let text = instance.get(&format!("/rates?{lane}")).await.expect(200).text();
        for day in ["0001-01-01", "1969-12-31", "1970-01-01", "9999-12-31"] {
            let told = format!("{{\"day\":\"{day}\",\"price\":2147483646.6666667,\"count\":3}}");
            assert_eq!(text.contains(&told), from <= day && day <= to, "{day} in {text}");
        }
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_client_that_goes_away_takes_nobody_with_it(pool: PgPool) {
    many_prices(&pool).await;
    let instance = Instance::with(Database::of(pool.clone()), UNCACHED);
    let questions = questions(&pool).await;
    let asked: Vec<_> = questions
        .iter()
        .map(|question| {
            let (client, question) = (instance.client.clone(), question.clone());
            tokio::spawn(async move { client.get(&question).await })
        })
        .collect();
    tokio::task::yield_now().await;
    for one in asked.iter().step_by(2) {
        one.abort();
    }
    for one in asked.into_iter().skip(1).step_by(2) {
        one.await.unwrap().expect(200);
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_failure_is_told_to_each_that_shared_the_statement(pool: PgPool) {
    let gone =
        PgPoolOptions::new().connect_lazy_with((*pool.connect_options()).clone().port(1).host("127.0.0.1"));
    let instance = Instance::with(Database::of(gone), UNCACHED);
    let question = "/rates?date_from=2021-01-01&date_to=2021-01-02&orig_code=asia&dest_code=europe";
    for answer in join_all((0..50).map(|_| instance.get(question))).await {
        let problem = answer.expect_problem(503, &[]);
        assert!(problem["detail"].as_str().unwrap().contains("database"), "{problem}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn reads_without_a_pause_leave_a_small_pool_to_others(pool: PgPool) {
    many_prices(&pool).await;
    let small = PgPoolOptions::new()
        .max_connections(1)
        .connect_with((*pool.connect_options()).clone())
        .await
        .unwrap();
    let instance = Instance::with(Database::of(small), UNCACHED);
    let questions = questions(&pool).await;
    let asking: Vec<_> = questions
        .chunks(2)
        .map(|questions| {
            let (client, questions) = (instance.client.clone(), questions.to_vec());
            tokio::spawn(async move {
                for question in questions.iter().cycle() {
                    client.get(question).await.expect(200);
                }
            })
        })
        .collect();
    for _ in 0..3 {
        instance.get("/readyz").await.expect(200);
    }
    for task in asking {
        assert!(!task.is_finished());
        task.abort();
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn slow_statements_do_not_stall_the_rest_while_the_pool_has_connections(pool: PgPool) {
    many_prices(&pool).await;
    // A read of lanes from `china` waits for this lock; other lanes are read as ever.
    sqlx::raw_sql(
        "alter table daily_rates rename to stored_rates;
         create view daily_rates as
         select * from stored_rates where origin <> (select id from places where name = 'china') or pg_advisory_xact_lock_shared(1) is not null",
    )
    .execute(&pool)
    .await
    .unwrap();
    let mut lock = pool.acquire().await.unwrap();
    sqlx::query("select pg_advisory_lock(1)").execute(&mut *lock).await.unwrap();
    let reads = PgPoolOptions::new()
        .max_connections(10)
        .connect_with((*pool.connect_options()).clone())
        .await
        .unwrap();
    let instance = Instance::with(Database::of(reads), UNCACHED);
    let days = "date_from=2021-01-01&date_to=2021-02-01";
    let mut slow = Vec::new();
    for (count, destination) in (1_i64..).zip(["europe", "baltic", "EETLL"]) {
        let client = instance.client.clone();
        let question = format!("/rates?{days}&orig_code=china&dest_code={destination}");
        slow.push(tokio::spawn(async move { client.get(&question).await }));
        let waiting = "select count(*) from pg_stat_activity
                       where wait_event = 'advisory' and datname = current_database()";
        let waits = async {
            while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&pool).await.unwrap() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), waits).await.expect("a slow read has its own statement");
    }
    let quick = instance.rates("CNGGZ", "EETLL", "2021-01-01", "2021-02-01");
    tokio::time::timeout(Duration::from_secs(5), quick).await.expect("the rest is answered").expect(200);
    sqlx::query("select pg_advisory_unlock(1)").execute(&mut *lock).await.unwrap();
    for answer in slow {
        answer.await.unwrap().expect(200);
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn expensive_reads_leave_connections_for_everything_else(pool: PgPool) {
    many_prices(&pool).await;
    let connections = 4;
    let options = (*pool.connect_options()).clone();
    let own = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(2))
        .connect_with(options)
        .await
        .unwrap();
    let settings = [("RATES__CACHE__SIZE_BYTES", "0"), ("RATES__API__EXPENSIVE_WAIT_SECONDS", "0.05")];
    let instance = Instance::with(Database::of(own.clone()), &settings);
    sqlx::raw_sql(
        "insert into suppliers values ('acme');
         insert into api_keys (supplier, secret_hash) values ('acme', sha256('one'))",
    )
    .execute(&pool)
    .await
    .unwrap();
    // Percentiles that are not filled in need the table of prices, means do not: this keeps each expensive read for as long
    // as it is open.
    let mut lock = pool.begin().await.unwrap();
    sqlx::raw_sql("lock table prices in access exclusive mode").execute(&mut *lock).await.unwrap();
    // Different lanes and months: requests for the same would share a read.
    let lane = |number: usize| {
        let origin = ["asia", "china", "CNGGZ"][number % 3];
        let destination = ["europe", "baltic", "EETLL"][number / 3 % 3];
        let month = 1 + number / 9;
        format!("date_from=2021-01-01&date_to=2021-{month:02}-20&orig_code={origin}&dest_code={destination}")
    };
    let uris = (0..8).map(|number| match number % 3 {
        0 => format!("/rates?statistics=full&{}", lane(number)),
        1 => format!("/rates.csv?statistics=full&{}", lane(number)),
        _ => format!("/rates.svg?{}", lane(number)),
    });
    let ask = |uri: String| {
        let client = instance.client.clone();
        tokio::spawn(async move { client.get(&uri).await })
    };
    let mut asked: Vec<_> = uris.map(ask).collect();
    let refused = async {
        while asked.iter().filter(|answer| answer.is_finished()).count() < 6 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refused).await.expect("all but two are refused soon");
    // Clients that have left: their statements still run, so they still count.
    for answer in asked.iter().filter(|answer| !answer.is_finished()) {
        answer.abort();
    }
    let answer = instance.get(&format!("/rates?statistics=full&{}", lane(10))).await.expect(503);
    assert_eq!(answer.header("retry-after"), "1", "{answer}");
    // A picture of several lanes has no percentiles.
    instance.get(&format!("/rates.svg?{}&compare=europe:asia", lane(9))).await.expect(200);
    // More than there are connections, one after the other: each would wait for one until the time is over.
    for number in 0..20 {
        instance.get(&format!("/rates?{}", lane(number))).await.expect(200);
    }
    instance.get("/readyz").await.expect(200);
    let request = Request::get("/batches").header("authorization", "Bearer rates_1_one");
    instance.send(request.body(Body::empty()).unwrap()).await.expect(200);
    let metrics = instance.metrics().await;
    for line in ["rates_expensive_reads_admitted_total 2", "rates_expensive_reads_refused_total 7"] {
        assert!(metrics.contains(line), "{line} is not in:\n{metrics}");
    }
    lock.rollback().await.unwrap();
    for answer in asked.drain(..).filter(JoinHandle::is_finished) {
        if let Ok(answer) = answer.await {
            assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"), "{answer}");
        }
    }
    let uri = format!("/rates?statistics=full&{}", lane(11));
    let admitted = async { while instance.get(&uri).await.status != 200 {} };
    tokio::time::timeout(Duration::from_secs(10), admitted).await.expect("the share is free again");
    own.close().await;
}
