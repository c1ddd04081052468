//! The cache is right, not merely fresh enough: over two instances, under writers, and when listening fails.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::{Duration, Instant},
};

use axum::body::Body;
use chrono::Utc;
use http::Request;
use rates::{database::Database, privacy::Privacy, summaries::summarize};
use sqlx::{Executor, PgPool, postgres::PgPoolOptions};

use crate::support::Instance;

const DAY: &str = "2021-03-01";

async fn price(instance: &Instance) -> i64 {
    instance.rates("asia", "europe", DAY, DAY).await.expect(200).json()["rates"][0]["price"].as_i64().unwrap()
}

async fn set_price(pool: &PgPool, price: i64) -> i64 {
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query("update prices set price = $1 where day = $2::date")
        .bind(i32::try_from(price).unwrap())
        .bind(DAY.parse::<chrono::NaiveDate>().unwrap())
        .execute(&mut *transaction)
        .await
        .unwrap();
    let version =
        sqlx::query_scalar("select version from data_version").fetch_one(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    version
}

async fn three_prices(pool: &PgPool) {
    pool.execute("insert into prices select 'CNGGZ', 'EETLL', '2021-03-01', 1 from generate_series(1, 3)")
        .await
        .unwrap();
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn no_answer_is_older_than_a_write_that_this_instance_acknowledged(pool: PgPool) {
    three_prices(&pool).await;
    let instance = Instance::new(&pool).listening().await;
    let other = Instance::new(&pool).listening().await;
    let acknowledged = AtomicI64::new(1);
    let done = AtomicBool::new(false);
    let writer = async {
        for price in 2..150 {
            let version = set_price(&pool, price).await;
            // What a handler does before it acknowledges a write.
            instance.app.lanes.freshness.acknowledge(version).await;
            acknowledged.store(price, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
        done.store(true, Ordering::SeqCst);
    };
    let reader = async || {
        let mut reads = 0;
        let mut last = 0;
        while !done.load(Ordering::SeqCst) {
            let least = acknowledged.load(Ordering::SeqCst);
            let got = price(&instance).await;
            assert!(got >= least, "{got} after {least} was acknowledged");
            assert!(got >= last, "{got} after {last} was read");
            last = got;
            reads += 1;
            // A hit awaits nothing, and this test has one thread.
            tokio::task::yield_now().await;
        }
        reads
    };
    let ((), a, b, c) = tokio::join!(writer, reader(), reader(), reader());
    assert!(a + b + c > 100, "the readers read {a}, {b} and {c} times");
    // The other instance follows by notification.
    let newest = instance.app.lanes.freshness.current();
    other.until(|other| other.app.lanes.freshness.current() >= newest).await;
    assert_eq!(price(&other).await, 149);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_commit_changes_the_tags_of_its_lane_and_of_every_region_above_it(pool: PgPool) {
    three_prices(&pool).await;
    let instance = Instance::new(&pool).listening().await;
    let other = Instance::new(&pool).listening().await;
    let tags = async || {
        let mut tags = Vec::new();
        for (origin, destination, from) in [
            ("CNGGZ", "EETLL", DAY),
            ("china_south", "EETLL", DAY),
            ("asia", "europe", "2021-01-20"),
            ("CNSZX", "EETLL", DAY),
            ("china_east", "europe", DAY),
            ("europe", "asia", DAY),
            ("CNGGZ", "EETLL", "2021-02-01"),
        ] {
            let to = if from == DAY || destination == "europe" { DAY } else { "2021-02-28" };
            let answer = instance.rates(origin, destination, from, to).await.expect(200);
            let same = other.rates(origin, destination, from, to).await.expect(200);
            assert_eq!(answer.header("etag"), same.header("etag"), "every instance has the same tag");
            tags.push(answer.header("etag").to_owned());
        }
        tags
    };
    let before = tags().await;
    let version = set_price(&pool, 9).await;
    for instance in [&instance, &other] {
        instance.app.lanes.freshness.acknowledge(version).await;
    }
    let hits = instance.app.lanes.store.hits.get();
    let changed: Vec<bool> =
        before.iter().zip(tags().await).map(|(before, after)| *before != after).collect();
    assert_eq!(changed, [true, true, true, false, false, false, false]);
    assert_eq!(instance.app.lanes.store.hits.get() - hits, 4, "what did not change is not read again");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn an_instance_that_missed_changes_forgets_what_it_must(pool: PgPool) {
    three_prices(&pool).await;
    for change in [
        // More than is read one by one.
        "insert into changed_months
             select 1, n, '2021-01-01', (select version + 1 from data_version) from generate_series(1, 20001) n;
         select move_data_version()",
        "truncate prices",
        "select move_data_version(); update data_version set log_since = version",
        "update regions set parent_slug = null where slug = 'china'",
    ] {
        let instance = Instance::new(&pool).listening().await;
        let ask = async || instance.rates("europe", "baltic", DAY, DAY).await.expect(200).header("cache-status").to_owned();
        ask().await;
        assert_eq!(ask().await, "rates; hit");
        let version = instance.app.lanes.freshness.version();
        pool.execute(sqlx::raw_sql(change)).await.unwrap();
        instance.until(|instance| instance.app.lanes.freshness.version() > version).await;
        assert_eq!(ask().await, "rates; fwd=miss", "{change}");
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn after_a_restore_nothing_is_answered_that_was_read_before(pool: PgPool) {
    three_prices(&pool).await;
    let instance = Instance::new(&pool).listening().await;
    let newest = set_price(&pool, 5).await;
    instance.app.lanes.freshness.acknowledge(newest).await;
    let ask = async || instance.rates("asia", "europe", DAY, DAY).await.expect(200);
    let name = async || instance.get("/ports/CNGGZ").await.expect(200).json()["name"].clone();
    ask().await;
    assert_eq!((ask().await.header("cache-status"), name().await), ("rates; hit", "Guangzhou".into()));
    // What a backup has: other prices, another name, and older versions.
    let restore = "update prices set price = 1 where day = '2021-03-01';
        update ports set name = 'As it was' where code = 'CNGGZ';
        update data_version set version = 7, places_version = 7, log_since = 7;
        notify rates_data_version";
    pool.execute(sqlx::raw_sql(restore)).await.unwrap();
    instance.until(|instance| instance.app.lanes.freshness.version() == 7).await;
    for _ in 0..2 {
        assert_eq!(ask().await.header("cache-status"), "rates; fwd=miss", "until something changes");
    }
    assert_eq!((price(&instance).await, name().await), (1, "As it was".into()));
    let newest = set_price(&pool, 9).await;
    instance.app.lanes.freshness.acknowledge(newest).await;
    assert_eq!(price(&instance).await, 9);
    assert_eq!(ask().await.header("cache-status"), "rates; hit");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn while_the_database_is_away_a_page_begins_with_the_days_that_it_had(pool: PgPool) {
    three_prices(&pool).await;
    let options = (*pool.connect_options()).clone();
    let mortal = PgPoolOptions::new().max_connections(3).connect_with(options).await.unwrap();
    let mut instance = Instance::with(Database::of(mortal.clone()), &[]).listening().await;
    let page = || Request::get("/?orig_code=asia&dest_code=europe").header("accept", "text/html");
    let ask = async || instance.send(page().body(Body::empty()).unwrap()).await.expect(200).text();
    assert!(ask().await.contains(&format!("date_to={DAY}")));
    instance.app.lanes.freshness.lose_connection();
    mortal.close().await;
    assert!(ask().await.contains(&format!("date_to={DAY}")));
    instance.stop_listening().await;
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn an_instance_that_lost_its_notifications_does_not_use_the_cache(pool: PgPool) {
    three_prices(&pool).await;
    let instance = Instance::new(&pool).listening().await;
    assert_eq!(price(&instance).await, 1);
    let killed: bool = sqlx::query_scalar(
        "select bool_or(pg_terminate_backend(pid)) from pg_stat_activity
         where application_name = 'rates listener' and datname = current_database()",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!(killed, "there was a listener");
    instance.until(|instance| instance.app.lanes.freshness.current().is_none()).await;
    set_price(&pool, 7).await;
    assert_eq!(price(&instance).await, 7, "while it does not listen");
    instance.until(|instance| instance.app.lanes.freshness.current().is_some()).await;
    assert_eq!(price(&instance).await, 7, "when it listens again");
    set_price(&pool, 8).await;
    let newest: i64 = sqlx::query_scalar("select version from data_version").fetch_one(&pool).await.unwrap();
    instance.until(|instance| instance.app.lanes.freshness.current() == Some(newest)).await;
    assert_eq!(price(&instance).await, 8);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn equal_requests_in_flight_share_one_query(pool: PgPool) {
    three_prices(&pool).await;
    let instance = Instance::new(&pool).listening().await;
    let ask = || instance.rates("asia", "europe", "2021-01-01", "2021-03-01");
    // The query cannot end while this holds its table.
    let mut lock = pool.begin().await.unwrap();
    lock.execute("lock table daily_rates in access exclusive mode").await.unwrap();
    let release = async {
        instance.until(|instance| instance.app.lanes.store.misses.get() > 0).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        lock.rollback().await.unwrap();
        waiting
    };
    let (waiting, a, b, c) = tokio::join!(release, ask(), ask(), ask());
    assert_eq!(waiting, 1, "one query for three requests");
    assert!(a.expect(200).body == b.expect(200).body && c.status == 200);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn while_the_database_is_away_the_cache_answers_marked_stale(pool: PgPool) {
    three_prices(&pool).await;
    // A pool of its own, closed to stand for a database that is gone.
    let options = (*pool.connect_options()).clone();
    // Data that was read before the instance listens for the first time is 0 seconds old.
    for (stale_seconds, listens, status) in [("600", true, 200), ("0", true, 503), ("0", false, 503)] {
        let mortal = PgPoolOptions::new().max_connections(3).connect_with(options.clone()).await.unwrap();
        let variables = [("RATES__CACHE__STALE_SECONDS", stale_seconds)];
        let mut instance = Instance::with(Database::of(mortal.clone()), &variables);
        if listens {
            instance = instance.listening().await;
        }
        assert_eq!(price(&instance).await, 1);
        instance.get("/lanes").await.expect(200);
        if listens {
            instance.stop_listening().await;
        }
        mortal.close().await;
        // Lists of lanes are used for a second before the database is asked again.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let rates = instance.rates("asia", "europe", DAY, DAY).await.expect(status);
        let list = instance.get("/lanes").await.expect(status);
        for answer in [rates, list].iter().filter(|answer| answer.status == 200) {
            assert!(answer.header("cache-status").contains("detail=stale"), "{answer}");
            assert_ne!(answer.header("age"), "", "{answer}");
        }
        instance.rates("asia", "baltic", DAY, DAY).await.expect_problem(503, &[]);
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn all_who_wait_for_a_list_of_lanes_get_the_stale_one_together(pool: PgPool) {
    let today = Utc::now().date_naive();
    summarize(&mut pool.acquire().await.unwrap(), today, 3, Privacy::default()).await.unwrap();
    let options = (*pool.connect_options()).clone();
    let busy = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(1));
    let busy = busy.connect_with(options).await.unwrap();
    let instance = Instance::with(Database::of(busy.clone()), &[]).listening().await;
    let ask = async |uri: &str| {
        let request = Request::get(uri).header("accept", "text/html, application/json;q=0.9");
        instance.send(request.body(Body::empty()).unwrap()).await.expect(200)
    };
    assert_ne!(ask("/").await.header("cache-control"), "no-store");
    let taken = busy.acquire().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let begun = Instant::now();
    let (page, places, list, csv) =
        tokio::join!(ask("/"), ask("/places?role=origin"), ask("/lanes"), ask("/lanes.csv"));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    for answer in [page, places, list, csv] {
        assert!(answer.header("cache-status").contains("detail=stale"), "{answer}");
        assert_ne!(answer.header("age"), "", "{answer}");
        assert_eq!(answer.header("cache-control"), "no-store", "{answer}");
    }
    drop(taken);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn an_answer_is_as_old_as_the_last_time_that_it_was_known_to_be_current(pool: PgPool) {
    three_prices(&pool).await;
    let options = (*pool.connect_options()).clone();
    let mortal = PgPoolOptions::new().max_connections(3).connect_with(options).await.unwrap();
    let variables = [("RATES__CACHE__STALE_SECONDS", "3")];
    let mut instance = Instance::with(Database::of(mortal.clone()), &variables).listening().await;
    for (origin, destination) in [("asia", "europe"), ("europe", "asia"), ("china", "baltic")] {
        instance.rates(origin, destination, DAY, DAY).await.expect(200);
    }
    tokio::time::sleep(Duration::from_millis(4200)).await;
    assert_eq!(price(&instance).await, 1);
    // Changes both lanes from China's ports; only the first of them was answered after the pause.
    let version = set_price(&pool, 7).await;
    instance.until(|instance| instance.app.lanes.freshness.version() >= version).await;
    instance.stop_listening().await;
    mortal.close().await;
    for (origin, destination) in [("asia", "europe"), ("europe", "asia")] {
        let stale = instance.rates(origin, destination, DAY, DAY).await.expect(200);
        assert!(stale.header("age").parse::<u32>().unwrap() < 3, "{stale}");
    }
    instance.rates("china", "baltic", DAY, DAY).await.expect_problem(503, &[]);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn at_the_start_of_an_outage_a_stale_answer_does_not_wait_for_the_database(pool: PgPool) {
    three_prices(&pool).await;
    let options = (*pool.connect_options()).clone();
    let busy = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(3));
    let busy = busy.connect_with(options).await.unwrap();
    let mut instance = Instance::with(Database::of(busy.clone()), &[]).listening().await;
    let lane = format!("orig_code=asia&dest_code=europe&date_from={DAY}&date_to={DAY}");
    let page = async |instance: &Instance, query: &str| {
        let request = http::Request::get(format!("/?{query}")).header("accept", "text/html");
        instance.send(request.body(axum::body::Body::empty()).unwrap()).await
    };
    assert_eq!(price(&instance).await, 1);
    let first = page(&instance, &lane).await.expect(200);
    assert_eq!(page(&instance, &lane).await.expect(200).header("cache-status"), "rates; hit");

    // Every connection is taken, and the outage is not known yet.
    instance.stop_listening().await;
    let taken = busy.acquire().await.unwrap();
    let begun = Instant::now();
    let rates = instance.rates("asia", "europe", DAY, DAY).await.expect(200);
    let stale = page(&instance, &lane).await.expect(200);
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    assert_eq!(stale.body, first.body);
    for answer in [rates, stale] {
        assert!(answer.header("cache-status").contains("detail=stale"), "{answer}");
        assert_ne!(answer.header("age"), "", "{answer}");
        assert_eq!(answer.header("cache-control"), "no-store", "{answer}");
    }
    let unavailable = page(&instance, &lane.replace("europe", "baltic")).await.expect(503);
    assert!(unavailable.header("content-type").starts_with("text/html"), "{unavailable}");
    drop(taken);
    assert_eq!(page(&instance, &lane).await.expect(200).header("cache-status"), "rates; fwd=miss");
}
