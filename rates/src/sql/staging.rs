//! Where the rows of a batch wait until all of them are known to be good.
//!
//! The table is temporary, so it costs no log, leaves nothing behind, and no other batch sees it; so it is not there
//! when this is compiled, and these statements are not checked then. Every test of `POST /prices` runs them all.

use sqlx::{PgConnection, postgres::PgCopyIn};

/// A port that is not there.
#[derive(Debug)]
pub(crate) struct UnknownPort {
    pub(crate) row: u64,
    pub(crate) field: &'static str,
    pub(crate) code: String,
}

#[derive(Debug)]
pub(crate) struct UnknownPorts {
    pub(crate) listed: Vec<UnknownPort>,
    pub(crate) total: u64,
}

#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) days: i64,
    pub(crate) lanes: i64,
}

/// Takes rows in COPY's text format: number, `orig_code`, `dest_code`, `day`, `price`; null is what is wrong.
pub(crate) async fn copy_in(
    connection: &mut PgConnection,
) -> Result<PgCopyIn<&mut PgConnection>, sqlx::Error> {
    sqlx::query(
        "create temporary table staged_prices
         (row_number bigint, orig_code text, dest_code text, day date, price integer) on commit drop",
    )
    .execute(&mut *connection)
    .await?;
    connection.copy_in_raw("copy pg_temp.staged_prices from stdin").await
}

/// The rows that name ports which are not there: the first, and how many in all.
pub(crate) async fn unknown_ports(
    connection: &mut PgConnection,
    limit: usize,
) -> Result<UnknownPorts, sqlx::Error> {
    let rows: Vec<(i64, bool, String, i64)> = sqlx::query_as(
        "select row_number, is_origin, code, count(*) over ()
         from pg_temp.staged_prices
         cross join lateral (values (true, orig_code), (false, dest_code)) named (is_origin, code)
         where code is not null and not exists (select from public.ports p where p.code = named.code)
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

/// How many days and lanes the rows touch.
pub(crate) async fn touched(connection: &mut PgConnection) -> Result<Touched, sqlx::Error> {
    // Grouped rather than `count(distinct …)`, which would sort all rows.
    let (days, lanes) = sqlx::query_as(
        "select (select count(*) from (select from pg_temp.staged_prices group by day) days),
                (select count(*) from (select from pg_temp.staged_prices group by orig_code, dest_code) lanes)",
    )
    .fetch_one(connection)
    .await?;
    Ok(Touched { days, lanes })
}

/// Puts the rows in as those of a batch: one statement, so the rollup and the version move once.
pub(crate) async fn put_in(connection: &mut PgConnection, batch: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into public.prices (orig_code, dest_code, day, price, batch_id)
         select orig_code, dest_code, day, price, $1 from pg_temp.staged_prices
         order by orig_code, dest_code, day", // neighbours in the index, which makes inserting into it cheaper
    )
    .bind(batch)
    .execute(connection)
    .await?;
    Ok(())
}
