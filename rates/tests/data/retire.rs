//! Old prices go, and everything that is made of prices goes with them.

use chrono::NaiveDate;
use rates::retire;
use sqlx::{Executor, PgPool};

use crate::rollup::differing;

fn new_year() -> NaiveDate {
    NaiveDate::from_ymd_opt(2021, 1, 1).unwrap()
}

/// Three lanes with a price for each day from 22 December to 10 January.
async fn prepare(pool: &PgPool) {
    pool.execute(
        "insert into regions values ('r0', 'Region', null);
         insert into ports select 'QQP0' || n, 'Port', 'r0' from generate_series(0, 3) n;
         insert into prices (orig_code, dest_code, day, price)
         select 'QQP00', 'QQP0' || n, day, 1000 + n
         from generate_series(1, 3) n, generate_series('2020-12-22'::date, '2021-01-10', '1 day') day;",
    )
    .await
    .unwrap();
}

async fn left(pool: &PgPool) -> (i64, NaiveDate) {
    sqlx::query_as("select count(*), min(day) from prices").fetch_one(pool).await.unwrap()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn prices_before_a_day_are_deleted_and_the_rollup_follows_step_by_step(pool: PgPool) {
    prepare(&pool).await;
    let mut connection = pool.acquire().await.unwrap();
    assert_eq!(retire::count(&mut connection, new_year()).await.unwrap(), 30);
    let (before,): (i64,) =
        sqlx::query_as("select version from data_version").fetch_one(&pool).await.unwrap();

    // A step ends with the lane that reaches 15 prices: two lanes, then one.
    assert_eq!(retire::retire(&mut connection, new_year(), 15).await.unwrap(), 30);

    assert_eq!(left(&pool).await, (30, new_year()));
    assert_eq!(differing(&pool).await, Vec::<String>::new());
    let oldest: NaiveDate =
        sqlx::query_scalar("select min(day) from daily_rates").fetch_one(&pool).await.unwrap();
    assert_eq!(oldest, new_year(), "the rollup has no row of a day that is gone");
    let steps: i64 =
        sqlx::query_scalar("select count(distinct version) from changed_months where version > $1")
            .bind(before)
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(steps, 2, "each step is a transaction of its own, and instances are told of it");

    assert_eq!(retire::retire(&mut connection, new_year(), 15).await.unwrap(), 0);
    assert_eq!(left(&pool).await, (30, new_year()));
}
