//! The SQL of the staging table, which has the rows of a batch until all of them are checked.
//!
//! The table is temporary: it writes no WAL, leaves nothing behind, and no other batch sees it. It does not exist when
//! this is compiled, so sqlx cannot check these statements; every test of `POST /prices` runs them all.

use sqlx::{PgConnection, postgres::PgCopyIn};

use crate::privacy::Privacy;

/// A row that names a port which does not exist.
#[derive(Debug)]
pub(crate) struct UnknownPort {
    pub(crate) row: u64,
    pub(crate) field: &'static str,
    pub(crate) code: String,
}

/// The first of these rows, and the number of all.
#[derive(Debug)]
pub(crate) struct UnknownPorts {
    pub(crate) listed: Vec<UnknownPort>,
    pub(crate) total: u64,
}

/// The number of days and lanes of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) days: i64,
    pub(crate) lanes: i64,
}

/// A price that is very far from those that its lane had lately.
#[derive(Debug)]
pub(crate) struct UnusualPrice {
    pub(crate) row: u64,
    pub(crate) price: i32,
    pub(crate) usual: f64,
}

/// Creates the table.
pub(crate) async fn create(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(
        "create temporary table staged_prices
         (row_number bigint, orig_code text, dest_code text, day date, price integer) on commit drop",
    )
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Takes rows in COPY's text format: number, `orig_code`, `dest_code`, `day`, `price`; faulty values are null.
pub(crate) async fn copy_in(
    connection: &mut PgConnection,
) -> Result<PgCopyIn<&mut PgConnection>, sqlx::Error> {
    connection.copy_in_raw("copy pg_temp.staged_prices from stdin").await
}

/// Finds the rows that name ports which do not exist.
pub(crate) async fn find_unknown_ports(
    connection: &mut PgConnection,
    limit: usize,
) -> Result<UnknownPorts, sqlx::Error> {
    let rows: Vec<(i64, bool, String, i64)> = sqlx::query_as(
        "select row_number, is_origin, code, count(*) over ()
         from pg_temp.staged_prices
         cross join lateral (values (true, orig_code), (false, dest_code)) named (is_origin, code)
         where code is not null and not exists (select from public.ports p where p.code = named.code)
         group by row_number, is_origin, code -- a row with a window has many days
         order by row_number, is_origin desc
         limit $1",
    )
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    let total = rows.first().map_or(0, |(.., total)| total.unsigned_abs());
    let listed = rows
        .into_iter()
        .map(|(row, is_origin, code, _)| UnknownPort {
            row: row.unsigned_abs(),
            field: if is_origin { "orig_code" } else { "dest_code" },
            code,
        })
        .collect();
    Ok(UnknownPorts { listed, total })
}

/// Counts the days and lanes of the rows.
pub(crate) async fn extent(connection: &mut PgConnection) -> Result<Extent, sqlx::Error> {
    // `group by` rather than `count(distinct …)`, which would sort all rows.
    let (days, lanes) = sqlx::query_as(
        "select (select count(*) from (select from pg_temp.staged_prices group by day) days),
                (select count(*) from (select from pg_temp.staged_prices group by orig_code, dest_code) lanes)",
    )
    .fetch_one(connection)
    .await?;
    Ok(Extent { days, lanes })
}

/// Finds the prices that are ten times the mean that their lane has in the database, or a tenth of it: of the three months
/// before the last day that the batch has on the lane, as answers show them. Returns the first of them, and the number of all.
pub(crate) async fn find_unusual_prices(
    connection: &mut PgConnection,
    limit: usize,
    privacy: Privacy,
) -> Result<(Vec<UnusualPrice>, i64), sqlx::Error> {
    let rows: Vec<(i64, i32, f64, i64)> = sqlx::query_as(
        "with lanes as (
             select orig_code, dest_code, max(day) as last_day
             from pg_temp.staged_prices
             group by orig_code, dest_code
         ),
         usual as materialized (
             select l.orig_code, l.dest_code, recent.price
             from lanes l
             join public.places o on o.name = l.orig_code
             join public.places d on d.name = l.dest_code
             -- For each lane by itself: the planner takes the lanes of a batch for many more than they are, and would
             -- read the whole rollup.
             cross join lateral (
                 select public.round_mean((sum(r.price_sum) / sum(r.price_count))::float8, $3) as price
                 from public.supplied_days r
                 where r.origin = o.id and r.destination = d.id
                   and r.day between l.last_day - 90 and l.last_day and ($2 <= 1 or r.suppliers >= $2)
             ) recent
         )
         select s.row_number, s.price, u.price, count(*) over ()
         from pg_temp.staged_prices s
         join usual u using (orig_code, dest_code)
         where s.price >= 10 * u.price or 10 * s.price::bigint <= u.price
         group by s.row_number, s.price, u.price
         order by s.row_number
         limit $1",
    )
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .bind(i32::from(privacy.min_suppliers))
    .bind(i32::from(privacy.price_step))
    .fetch_all(connection)
    .await?;
    let total = rows.first().map_or(0, |(.., total)| *total);
    let listed = rows
        .into_iter()
        .map(|(row, price, usual, _)| UnusualPrice { row: row.unsigned_abs(), price, usual })
        .collect();
    Ok((listed, total))
}

/// Inserts the rows as prices of this batch, or of none; returns their number. It is one statement so that the triggers
/// update rollup and version once.
pub(crate) async fn insert_prices(
    connection: &mut PgConnection,
    batch: Option<i64>,
) -> Result<u64, sqlx::Error> {
    let inserted = sqlx::query(
        "insert into public.prices (orig_code, dest_code, day, price, batch_id)
         select orig_code, dest_code, day, price, $1 from pg_temp.staged_prices
         order by orig_code, dest_code, day", // in the order of the index, which makes inserting into it cheaper
    )
    .bind(batch)
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected())
}
