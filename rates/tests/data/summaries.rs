//! Summaries of lanes are what the prices say, after any changes.

use chrono::NaiveDate;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use rates::{privacy::Privacy, summaries::summarize};
use sqlx::{AssertSqlSafe, Executor, PgPool};

use crate::statistics::{add_batches, fill_all, step};

/// Prices of some steps are in its future.
fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2021, 1, 20).unwrap()
}

const KEPT: &str = "select concat_ws(' ', o.name, d.name, first_day, last_day, priced_days, mean_days, prices, latest_day),
                           array[latest_mean, change_7, change_30, change_365]
                    from lane_summaries s join places o on o.id = s.origin join places d on d.id = s.destination
                    order by 1";

/// The same from the raw prices alone.
const TRUTH: &str = "with recursive above (port, place) as (
                         select code, code from ports
                         union select code, parent_slug from ports
                         union select a.port, r.parent_slug from above a join regions r on r.slug = a.place
                         where r.parent_slug is not null
                     ),
                     days as (
                         select o.place as orig, d.place as dest, day, count(*) as prices,
                                case when $4 = 0 then avg(price) else round(avg(price) / $4) * $4 end::float8 as mean
                         from prices
                         left join batches on batches.id = batch_id
                         join above o on o.port = orig_code
                         join above d on d.port = dest_code
                         group by o.place, d.place, day
                         having count(distinct coalesce(supplier, 'a dump')) >= $3
                     ),
                     latest as (
                         select distinct on (orig, dest) orig, dest, day, mean from days
                         where prices >= $2 and day <= $1 order by orig, dest, day desc
                     ),
                     change as (
                         select distinct on (l.orig, l.dest, length) l.orig, l.dest, length, l.mean / nullif(d.mean, 0) - 1 as change
                         from latest l
                         cross join unnest(array[7, 30, 365]) length
                         join days d on d.orig = l.orig and d.dest = l.dest and d.prices >= $2
                             and l.day - d.day between length and 2 * length
                         order by l.orig, l.dest, length, d.day desc
                     )
                     select concat_ws(' ', days.orig, days.dest, min(days.day), max(days.day), count(*),
                                      count(*) filter (where days.prices >= $2), sum(days.prices), max(l.day)),
                            array[max(l.mean)] || array(
                                select change from unnest(array[7, 30, 365]) length
                                left join change c on c.orig = days.orig and c.dest = days.dest and c.length = length.length
                                order by length.length
                            )
                     from days
                     left join latest l on l.orig = days.orig and l.dest = days.dest
                     group by days.orig, days.dest
                     order by 1";

type Rows = Vec<(String, Vec<Option<f64>>)>;

async fn check(pool: &PgPool, min_count: i64, privacy: Privacy) -> Result<(), TestCaseError> {
    if privacy.hides_days() {
        fill_all(pool).await;
    }
    summarize(&mut pool.acquire().await.unwrap(), today(), min_count, privacy).await.unwrap();
    let kept: Rows = sqlx::query_as(KEPT).fetch_all(pool).await.unwrap();
    let truth = sqlx::query_as(TRUTH).bind(today()).bind(min_count).bind(i32::from(privacy.min_suppliers));
    let truth: Rows = truth.bind(i32::from(privacy.price_step)).fetch_all(pool).await.unwrap();
    prop_assert_eq!(kept.len(), truth.len());
    for ((kept, values), (wanted, true_values)) in kept.into_iter().zip(truth) {
        prop_assert_eq!(&kept, &wanted);
        for (value, wanted) in values.into_iter().zip(true_values) {
            // PostgreSQL's averages are decimal.
            let is_close =
                value.zip(wanted).map_or(value == wanted, |(a, b)| (a - b).abs() < 1e-9 * (1.0 + b.abs()));
            prop_assert!(is_close, "{}: {:?} is not {:?}", kept, value, wanted);
        }
    }
    Ok(())
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn summaries_are_right_after_any_sequence_of_changes(pool: PgPool) {
    add_batches(&pool).await;
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let config =
            Config { cases: 40, max_shrink_iters: 100, failure_persistence: None, ..Config::default() };
        let steps = prop::collection::vec((step(), any::<bool>()), 1..12);
        TestRunner::new(config)
            .run(&(steps, 3..5_i64, 1..4_u8, 0..3_u16), |(steps, min_count, min_suppliers, price_step)| {
                let privacy = Privacy { min_suppliers, price_step, count_bands: false };
                runtime.block_on(async {
                    for (step, is_checked) in &steps {
                        if let Some(sql) = step.sql() {
                            pool.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
                        }
                        if *is_checked {
                            check(&pool, min_count, privacy).await?;
                        }
                    }
                    check(&pool, min_count, privacy).await
                })
            })
            .unwrap();
    })
    .await
    .unwrap();
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn only_what_has_changed_is_summarized_again(pool: PgPool) {
    let mut connection = pool.acquire().await.unwrap();
    let written = "select count(*) from lane_summaries where xmin::text = (select max(xmin::text::bigint)::text from lane_summaries)";
    let plain = Privacy::default();
    assert!(summarize(&mut connection, today(), 3, plain).await.unwrap());
    let all: i64 = sqlx::query_scalar("select count(*) from lane_summaries").fetch_one(&pool).await.unwrap();
    assert!(!summarize(&mut connection, today(), 3, plain).await.unwrap(), "nothing has changed");
    pool.execute("insert into prices values ('CNSGH', 'EETLL', '2021-01-05', 1)").await.unwrap();
    assert!(summarize(&mut connection, today(), 3, plain).await.unwrap());
    // CNSGH, china_east, china and asia to EETLL, baltic, north_europe and europe.
    assert_eq!(sqlx::query_scalar::<_, i64>(written).fetch_one(&pool).await.unwrap(), 16);
    let rounded = Privacy { price_step: 5, ..plain };
    for (today, min_count, privacy) in
        [(today().succ_opt().unwrap(), 3, plain), (today(), 4, plain), (today(), 4, rounded)]
    {
        assert!(summarize(&mut connection, today, min_count, privacy).await.unwrap());
        assert_eq!(sqlx::query_scalar::<_, i64>(written).fetch_one(&pool).await.unwrap(), all);
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn hidden_days_are_summarized_once_all_statistics_are_filled_in(pool: PgPool) {
    let mut connection = pool.acquire().await.unwrap();
    let privacy = Privacy { min_suppliers: 2, ..Privacy::default() };
    let summaries = "select count(*) from lane_summaries";
    assert!(summarize(&mut connection, today(), 3, Privacy::default()).await.unwrap());
    assert!(
        !summarize(&mut connection, today(), 3, privacy).await.unwrap(),
        "nobody knows which days are hidden"
    );
    assert_ne!(sqlx::query_scalar::<_, i64>(summaries).fetch_one(&pool).await.unwrap(), 0);
    fill_all(&pool).await;
    assert!(summarize(&mut connection, today(), 3, privacy).await.unwrap());
    assert_eq!(
        sqlx::query_scalar::<_, i64>(summaries).fetch_one(&pool).await.unwrap(),
        0,
        "all are of one dump"
    );
}
