//! Deletes old prices, some lanes at a time, so that no transaction is long and readers never wait. The rollup follows
//! by its triggers and is right after each step.

use chassis::progress;
use chrono::NaiveDate;
use sqlx::PgConnection;

/// A lane with prices before the day.
#[derive(Debug)]
struct Lane {
    origin: String,
    destination: String,
    prices: i64,
}

/// How many prices there are before this day.
pub async fn count(connection: &mut PgConnection, before: NaiveDate) -> Result<i64, sqlx::Error> {
    Ok(lanes(connection, before).await?.iter().map(|lane| lane.prices).sum())
}

/// Deletes the prices before this day, and returns their number. A step deletes about `step` prices, but never less than
/// one lane has. After an error, the steps before it are done.
pub async fn retire(connection: &mut PgConnection, before: NaiveDate, step: i64) -> Result<u64, sqlx::Error> {
    let lanes = lanes(connection, before).await?;
    let bar = progress::items(lanes.len(), "lanes retired");
    let mut deleted = 0;
    let mut left = lanes.as_slice();
    while !left.is_empty() {
        let mut prices = 0;
        let now = left.iter().take_while(|lane| {
            let fits = prices < step;
            prices += lane.prices;
            fits
        });
        let (now, later) = left.split_at(now.count());
        deleted += delete(connection, now, before).await?;
        bar.inc(now.len() as u64);
        left = later;
    }
    Ok(deleted)
}

/// Lists the lanes with prices before this day, as the rollup has them.
async fn lanes(connection: &mut PgConnection, before: NaiveDate) -> Result<Vec<Lane>, sqlx::Error> {
    sqlx::query_as!(
        Lane,
        r#"select o.code as origin, d.code as destination, sum(r.price_count)::bigint as "prices!"
           from daily_rates r
           join places origin on origin.id = r.origin
           join places destination on destination.id = r.destination
           join ports o on o.code = origin.name
           join ports d on d.code = destination.name
           where r.day < $1
           group by o.code, d.code
           order by o.code, d.code"#,
        before,
    )
    .fetch_all(connection)
    .await
}

async fn delete(
    connection: &mut PgConnection,
    lanes: &[Lane],
    before: NaiveDate,
) -> Result<u64, sqlx::Error> {
    let origins: Vec<&str> = lanes.iter().map(|lane| lane.origin.as_str()).collect();
    let destinations: Vec<&str> = lanes.iter().map(|lane| lane.destination.as_str()).collect();
    let done = sqlx::query!(
        "delete from prices p
         using unnest($1::text[], $2::text[]) lane (origin, destination)
         where p.orig_code = lane.origin and p.dest_code = lane.destination and p.day < $3",
        origins as _,
        destinations as _,
        before,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
