//! The SQL of the staging tables, which have the rows of a batch, and its lanes, until all of them are checked.
//!
//! The tables are temporary: they write no WAL, leave nothing behind, and no other batch sees them. They do not exist when
//! this is compiled, so sqlx cannot check these statements; every test of `POST /prices` runs them.

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

/// Gathers the lanes of the rows, once all rows are staged. A batch has far fewer lanes than rows, so the checks look at the
/// lanes, and at rows again only where something is wrong.
pub(crate) async fn gather_lanes(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(
        "create temporary table staged_lanes on commit drop as
         select orig_code, dest_code, max(day) as last_day, min(price) as lowest, max(price) as highest
         from pg_temp.staged_prices
         group by orig_code, dest_code",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Finds the rows that name ports which do not exist.
pub(crate) async fn find_unknown_ports(
    connection: &mut PgConnection,
    limit: usize,
) -> Result<UnknownPorts, sqlx::Error> {
    // The codes stay in the database: a batch may name a million ports that do not exist.
    let any_is_unknown: bool = sqlx::query_scalar(
        "select exists (
             select from (select orig_code from pg_temp.staged_lanes union select dest_code from pg_temp.staged_lanes) named (code)
             where code is not null and not exists (select from public.ports p where p.code = named.code)
         )",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !any_is_unknown {
        return Ok(UnknownPorts { listed: Vec::new(), total: 0 });
    }
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
                (select count(*) from pg_temp.staged_lanes)",
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
    let unusual_lanes = sqlx::query(
        "create temporary table unusual_lanes on commit drop as
         select l.orig_code, l.dest_code, usual.price
         from pg_temp.staged_lanes l
         join public.places o on o.name = l.orig_code
         join public.places d on d.name = l.dest_code
         -- For each lane by itself: the planner takes the lanes of a batch for many more than they are, and would
         -- read the whole rollup.
         cross join lateral (
             select public.round_mean((sum(r.price_sum) / sum(r.price_count))::float8, $2) as price
             from public.supplied_days r
             where r.origin = o.id and r.destination = d.id
               and r.day between l.last_day - 90 and l.last_day and ($1 <= 1 or r.suppliers >= $1)
         ) usual
         where l.highest >= 10 * usual.price or 10 * l.lowest::bigint <= usual.price",
    )
    .bind(i32::from(privacy.min_suppliers))
    .bind(i32::from(privacy.price_step))
    .execute(&mut *connection)
    .await?;
    if unusual_lanes.rows_affected() == 0 {
        return Ok((Vec::new(), 0));
    }
    let rows: Vec<(i64, i32, f64, i64)> = sqlx::query_as(
        "select s.row_number, s.price, usual.price, count(*) over ()
         from pg_temp.staged_prices s
         join pg_temp.unusual_lanes usual using (orig_code, dest_code)
         where s.price >= 10 * usual.price or 10 * s.price::bigint <= usual.price
         group by s.row_number, s.price, usual.price
         order by s.row_number
         limit $1",
    )
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
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
