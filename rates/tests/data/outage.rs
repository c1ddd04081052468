//! Databases that do not answer: nothing waits for them longer than it must.

use std::time::{Duration, Instant};

use chassis::{
    postgres::{Pool, Primary},
    testing::{Proxy, Way},
};
use rates::{database::Database, lanes::freshness::Listening};
use sqlx::{
    Executor, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::support::Instance;

const DAY: &str = "2021-03-01";

/// A way to the database of `pool` that can be broken; none, with the reason printed, where the server is not
/// `db/private_postgres.sh`'s.
async fn way_to(pool: &PgPool) -> Option<(Proxy, PgConnectOptions)> {
    let options = pool.connect_options();
    let Some(socket) = options.get_socket() else {
        eprintln!("skipped: a broken way needs the private server of `make test`");
        return None;
    };
    let proxy = Proxy::start(socket.clone()).await;
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(proxy.address.port())
        .username("rates")
        .database(options.get_database().unwrap());
    Some((proxy, options))
}

/// Connections of this way, each use of which may take so many seconds.
fn pool_of(options: &PgConnectOptions, limit: u64) -> Pool {
    let pool = PgPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(Duration::from_secs(1))
        .test_before_acquire(false)
        .connect_lazy_with(options.clone());
    Pool::of(pool, Duration::from_secs(limit))
}

fn database_of(options: &PgConnectOptions, limit: u64) -> Database {
    let pool = pool_of(options, limit);
    Database {
        primary: pool.clone(),
        batches: pool.clone(),
        hooks: pool,
        primary_server: Primary::new(vec![options.clone()], Vec::new()).into(),
        replicas: Vec::new(),
        health: std::sync::Arc::default(),
    }
}

async fn three_prices(pool: &PgPool, price: i32) {
    let prices = "insert into prices select 'CNGGZ', 'EETLL', '2021-03-01', $1 from generate_series(1, 3)";
    sqlx::query(prices).bind(price).execute(pool).await.unwrap();
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_silent_database_delays_a_read_by_its_limit_and_none_after_it(pool: PgPool) {
    three_prices(&pool, 1).await;
    let Some((way, options)) = way_to(&pool).await else { return };
    let instance = Instance::with(database_of(&options, 2), &[("RATES__CACHE__SIZE_BYTES", "0")]);
    instance.rates("asia", "europe", DAY, DAY).await.expect(200);
    assert_eq!(instance.app.ready().await, Ok(()));
    way.set(Way::Silent);
    let begun = Instant::now();
    let ask = || instance.rates("asia", "europe", DAY, DAY);
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    for answer in [one, two, three] {
        answer.expect_problem(503, &[]);
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!(instance.app.ready().await.is_err(), "it sees what readers see");
    way.set(Way::Open);
    let begun = Instant::now();
    instance.rates("asia", "europe", DAY, DAY).await.expect(200);
    assert!(
        begun.elapsed() < Duration::from_millis(1900),
        "dead connections are not used: {:?}",
        begun.elapsed()
    );
    assert_eq!(instance.app.ready().await, Ok(()));
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn in_a_stall_the_answer_from_before_a_batch_stands_in_at_once(pool: PgPool) {
    three_prices(&pool, 1).await;
    let Some((way, options)) = way_to(&pool).await else { return };
    let instance = Instance::with(database_of(&options, 10), &[]).listening().await;
    let first = instance.rates("asia", "europe", DAY, DAY).await.expect(200);
    three_prices(&pool, 4).await;
    let newest: i64 = sqlx::query_scalar("select version from data_version").fetch_one(&pool).await.unwrap();
    instance.until(|instance| instance.app.lanes.freshness.current() == Some(newest)).await;
    // Nobody has asked since, so the cache has only the answer from before.
    way.set(Way::Silent);
    for moment in ["when the stall begins", "later"] {
        let begun = Instant::now();
        let stale = instance.rates("asia", "europe", DAY, DAY).await.expect(200);
        assert!(stale.header("cache-status").contains("detail=stale"), "{moment}: {stale}");
        assert_eq!(stale.body, first.body, "{moment}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{moment}: {:?}", begun.elapsed());
    }
    way.set(Way::Open);
    instance.until(|instance| instance.app.lanes.freshness.current().is_some()).await;
    let fresh = instance.rates("asia", "europe", DAY, DAY).await.expect(200);
    assert_ne!(fresh.body, first.body);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn once_the_database_is_known_to_be_away_a_list_of_lanes_comes_at_once(pool: PgPool) {
    let Some((way, options)) = way_to(&pool).await else { return };
    let instance = Instance::with(database_of(&options, 2), &[]).listening().await;
    instance.get("/lanes").await.expect(200);
    way.set(Way::Silent);
    instance.until(|instance| instance.app.lanes.freshness.listening() == Listening::Away).await;
    let begun = Instant::now();
    let stale = instance.get("/lanes").await.expect(200);
    assert!(stale.header("cache-status").contains("detail=stale"), "{stale}");
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_silent_replica_is_left_out_until_it_answers(pool: PgPool) {
    three_prices(&pool, 1).await;
    let Some((way, options)) = way_to(&pool).await else { return };
    let mut database = Database::of(pool);
    database.replicas = vec![pool_of(&options, 10)];
    let instance = Instance::with(database, &[("RATES__CACHE__SIZE_BYTES", "0")]).listening().await;
    instance.rates("asia", "europe", DAY, DAY).await.expect(200);
    way.set(Way::Silent);
    let begun = Instant::now();
    instance.rates("asia", "europe", DAY, DAY).await.expect(200);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    instance.until(|instance| instance.app.lanes.reader.replicas_up() == 0).await;
    let begun = Instant::now();
    for _ in 0..20 {
        instance.rates("asia", "europe", DAY, DAY).await.expect(200);
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "only the primary is asked: {:?}", begun.elapsed());
    assert!(instance.metrics().await.contains("rates_replicas_up 0\n"));
    way.set(Way::Open);
    instance.until(|instance| instance.app.lanes.reader.replicas_up() == 1).await;
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_server_ends_the_orphan_of_a_connection_that_died_and_writers_go_on(pool: PgPool) {
    let Some((way, options)) = way_to(&pool).await else { return };
    let settings = crate::support::settings(&[("DATABASE_URL", "postgres://rates@127.0.0.1/rates")]);
    let writers = Pool::new(&settings.database, options, 1, 0.5);
    let mut connection = writers.acquire().await.unwrap();
    let stuck = connection.unlimited();
    stuck.execute("begin; select * from data_version for update").await.unwrap();
    way.set(Way::Silent);
    let begun = Instant::now();
    three_prices(&pool, 1).await;
    assert!(begun.elapsed() > Duration::from_millis(500), "it waited for the lock");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn pools_move_to_the_server_that_answers(pool: PgPool) {
    three_prices(&pool, 1).await;
    let Some((first, options)) = way_to(&pool).await else { return };
    let Some((_second, other)) = way_to(&pool).await else { return };
    let primary = pool_of(&options, 2);
    let database = Database {
        primary_server: Primary::new(vec![options, other], vec![primary.clone()]).into(),
        batches: primary.clone(),
        hooks: primary.clone(),
        primary,
        replicas: Vec::new(),
        health: std::sync::Arc::default(),
    };
    let instance = Instance::with(database, &[("RATES__CACHE__SIZE_BYTES", "0")]).listening().await;
    instance.rates("asia", "europe", DAY, DAY).await.expect(200);
    first.set(Way::Cut);
    instance.until(|instance| instance.app.lanes.freshness.current().is_none()).await;
    instance.until(|instance| instance.app.lanes.freshness.current().is_some()).await;
    instance.rates("asia", "europe", DAY, DAY).await.expect(200);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn a_pool_closes_in_time_whatever_its_connections_do(pool: PgPool) {
    let Some((way, options)) = way_to(&pool).await else { return };
    let silent = pool_of(&options, 10);
    let _connection = silent.acquire().await.unwrap();
    way.set(Way::Silent);
    let begun = Instant::now();
    silent.close().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
