//! The SQL for verifying and correcting `daily_rates` and `monthly_statistics`.

use chrono::NaiveDate;
use sqlx::PgConnection;

/// A row of `daily_rates` that differs from the raw prices.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) destination: i32,
    /// The name of the destination, or its number if it has none.
    pub(crate) destination_name: String,
    pub(crate) day: NaiveDate,
    /// Sum and count in the rollup; none if it has no row.
    pub(crate) kept_sum: Option<i64>,
    pub(crate) kept_count: Option<i32>,
    /// Sum and count of the raw prices; none if there are none.
    pub(crate) true_sum: Option<i64>,
    pub(crate) true_count: Option<i32>,
}

/// A place that is or should be an origin.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) id: i32,
    /// Its name, or its number if it has none.
    pub(crate) name: String,
}

/// Lists every place that is or should be an origin.
pub(crate) async fn origins(connection: &mut PgConnection) -> Result<Vec<Origin>, sqlx::Error> {
    sqlx::query_as!(
        Origin,
        r#"select id as "id!", coalesce(name, id::text) as "name!" from (
               select place as id from current_port_places union select origin from daily_rates
           ) every_place
           left join places using (id)
           order by name collate "C""#
    )
    .fetch_all(connection)
    .await
}

/// Finds the rows of one origin that differ from the raw prices.
pub(crate) async fn differences(
    connection: &mut PgConnection,
    origin: &Origin,
) -> Result<Vec<Difference>, sqlx::Error> {
    sqlx::query_as!(
        Difference,
        r#"
        with truth as (
            select d.place as destination, p.day, sum(p.price) as price_sum, count(*)::integer as price_count
            from prices p
            join places orig on orig.name = p.orig_code
            join places dest on dest.name = p.dest_code
            join current_port_places o on o.port = orig.id and o.place = $1
            join current_port_places d on d.port = dest.id
            group by d.place, p.day
        ),
        kept as (
            select destination, day, price_sum, price_count from daily_rates where origin = $1
        )
        select destination as "destination!", coalesce(name, destination::text) as "destination_name!", day as "day!",
               kept.price_sum as "kept_sum?", kept.price_count as "kept_count?",
               truth.price_sum as "true_sum?", truth.price_count as "true_count?"
        from truth
        full join kept using (destination, day)
        left join places on places.id = destination
        where (truth.price_sum, truth.price_count) is distinct from (kept.price_sum, kept.price_count)
        order by destination, day
        "#,
        origin.id
    )
    .fetch_all(connection)
    .await
}

/// Counts the months of one origin whose statistics were filled in and differ from those of the raw prices.
pub(crate) async fn count_wrong_statistics(
    connection: &mut PgConnection,
    origin: &Origin,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with months as (
            select month, array_agg(origin) as origins, array_agg(destination) as destinations
            from monthly_statistics where origin = $1 group by month
        )
        select count(*) as "count!"
        from months
        cross join lateral compute_statistics(origins, destinations, month) truth
        join monthly_statistics kept
            on kept.origin = truth.origin and kept.destination = truth.destination and kept.month = months.month
        where (kept.percentiles, kept.suppliers) is distinct from (truth.percentiles, truth.suppliers)
        "#,
        origin.id
    )
    .fetch_one(connection)
    .await
}

/// Whether the rollup was built with the tree of regions as the tables have it now.
pub(crate) async fn tree_is_current(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select not exists (table current_port_places except table port_places)
              and not exists (table port_places except table current_port_places) as "same!""#
    )
    .fetch_one(connection)
    .await
}

/// Counts prices that predate the checks of the schema, or were written without its triggers, and would be rejected today.
pub(crate) async fn count_odd_prices(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from prices
           where price <= 0 or day not between '0001-01-01' and '9999-12-31'
              or not exists (select from ports where code = orig_code) or not exists (select from ports where code = dest_code)"#
    )
    .fetch_one(connection)
    .await
}

/// Begins a correction: updates the data version, which makes all other writers of the rollup wait until the transaction
/// ends, applies the current tree of regions, and forgets all statistics, which are then due again.
pub(crate) async fn begin_repair(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("select move_data_version()").fetch_one(&mut *connection).await?;
    sqlx::query!("update data_version set places_version = version, log_since = version")
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "insert into places (name) select code from ports union select slug from regions on conflict do nothing"
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "delete from port_places p where not exists
         (select from current_port_places c where (c.port, c.place) = (p.port, p.place))"
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("insert into port_places table current_port_places on conflict do nothing")
        .execute(&mut *connection)
        .await?;
    sqlx::query!("delete from monthly_statistics").execute(connection).await?;
    Ok(())
}

/// Ends a correction: the statistics of all months with prices are due.
pub(crate) async fn end_repair(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into changed_months (origin, destination, month, version)
         select distinct o.id, d.id, date_trunc('month', p.day)::date, (select version from data_version)
         from prices p
         join places o on o.name = p.orig_code
         join places d on d.name = p.dest_code
         on conflict (origin, destination, month) do update
         set version = excluded.version, statistics_due = true"
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Corrects one row of the rollup.
pub(crate) async fn repair(
    connection: &mut PgConnection,
    origin: &Origin,
    difference: &Difference,
) -> Result<(), sqlx::Error> {
    if let (Some(sum), Some(count)) = (difference.true_sum, difference.true_count) {
        sqlx::query!(
            "insert into daily_rates (origin, destination, day, price_sum, price_count) values ($1, $2, $3, $4, $5)
             on conflict (origin, destination, day) do update
             set price_sum = excluded.price_sum, price_count = excluded.price_count",
            origin.id,
            difference.destination,
            difference.day,
            sum,
            count,
        )
        .execute(connection)
        .await?;
    } else {
        sqlx::query!(
            "delete from daily_rates where origin = $1 and destination = $2 and day = $3",
            origin.id,
            difference.destination,
            difference.day,
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}
