//! The SQL of filling in `monthly_statistics`.

use chrono::NaiveDate;
use sqlx::PgConnection;

/// Months of pairs of ports whose statistics are due, all of one month.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) month: NaiveDate,
    /// The ports, in pairs.
    pub(super) origins: Vec<i32>,
    pub(super) destinations: Vec<i32>,
    /// The version of the data when they were found.
    pub(super) version: i64,
}

/// Takes the lock of this work until the transaction ends; false if another worker has it.
pub(super) async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock(hashtextextended('statistics', 0)) as "alone!""#)
        .fetch_one(connection)
        .await
}

/// Finds at most `limit` that are due in the newest month, and have not changed for so many seconds.
pub(super) async fn find_due(
    connection: &mut PgConnection,
    settled_seconds: f64,
    limit: i64,
) -> Result<Option<Due>, sqlx::Error> {
    sqlx::query_as!(
        Due,
        r#"
        select month, array_agg(origin) as "origins!", array_agg(destination) as "destinations!",
               (select version from data_version) as "version!"
        from (
            select month, origin, destination
            from changed_months
            where statistics_due
              and version <= (extract(epoch from clock_timestamp()) - $1::float8) * 1000000
            order by month desc
            limit $2
        ) newest
        group by month
        order by month desc
        limit 1
        "#,
        settled_seconds,
        limit,
    )
    .fetch_optional(connection)
    .await
}

/// Computes and inserts the statistics of every pair of places above these pairs of ports that has none in the month;
/// returns how many.
pub(super) async fn insert(connection: &mut PgConnection, due: &Due) -> Result<u64, sqlx::Error> {
    let inserted = sqlx::query!(
        "with pairs as (
             select distinct o.place as origin, d.place as destination
             from unnest($1::integer[], $2::integer[]) due (origin, destination)
             join port_places o on o.port = due.origin
             join port_places d on d.port = due.destination
             where not exists (
                 select from monthly_statistics m
                 where m.origin = o.place and m.destination = d.place and m.month = $3
             )
         ),
         wanted as (select array_agg(origin) as origins, array_agg(destination) as destinations from pairs)
         insert into monthly_statistics (origin, destination, month, percentiles, suppliers)
         select c.origin, c.destination, $3, c.percentiles, c.suppliers
         from wanted
         cross join lateral compute_statistics(origins, destinations, $3) c
         order by c.origin, c.destination",
        &due.origins,
        &due.destinations,
        due.month,
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected())
}

/// Makes writers of prices wait until this transaction ends; returns the version of the places.
pub(super) async fn lock_version(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!("select places_version from data_version for no key update")
        .fetch_one(connection)
        .await
}

/// Deletes what was inserted for pairs whose prices in the month have changed meanwhile.
pub(super) async fn delete_outdated(connection: &mut PgConnection, due: &Due) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from monthly_statistics m
         using changed_months c, port_places o, port_places d
         where c.month = $1 and c.version > $2 and o.port = c.origin and d.port = c.destination
           and m.origin = o.place and m.destination = d.place and m.month = $1",
        due.month,
        due.version,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that these have their statistics, except those that have changed meanwhile.
pub(super) async fn mark_done(connection: &mut PgConnection, due: &Due) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update changed_months c set statistics_due = false
         from unnest($1::integer[], $2::integer[]) due (origin, destination)
         where c.origin = due.origin and c.destination = due.destination and c.month = $3 and c.version <= $4",
        &due.origins,
        &due.destinations,
        due.month,
        due.version,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes the changes that are this old and have nothing due. An instance that last read the log before then drops all
/// cached lanes.
pub(super) async fn trim_changes(connection: &mut PgConnection, seconds: f64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with old as (
             delete from changed_months
             where not statistics_due and version < (extract(epoch from clock_timestamp()) - $1::float8) * 1000000
             returning version
         )
         update data_version set log_since = greatest(log_since, (select max(version) from old))
         where exists (select from old)",
        seconds,
    )
    .execute(connection)
    .await?;
    Ok(())
}
