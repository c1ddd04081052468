//! The rates of a lane.

use chrono::NaiveDate;
use sqlx::PgExecutor;

use super::version::DataVersion;
use crate::params::RatesQuery;

/// The days of a lane that have prices, newest first, and the state of the data they were read from.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) version: DataVersion,
    pub(crate) days: Vec<NaiveDate>,
    /// US dollars.
    pub(crate) price_sums: Vec<i64>,
    pub(crate) price_counts: Vec<i32>,
}

/// One scan of the primary key of `daily_rates`, at most one row a day, whatever the places are. One statement, so the
/// version is that of the same snapshot; arrays, since one row costs the client less than one for each day.
pub(crate) async fn lane(executor: impl PgExecutor<'_>, query: &RatesQuery<'_>) -> Result<Lane, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select v.version, v.places_version,
               lane.days as "days!", lane.price_sums as "price_sums!", lane.price_counts as "price_counts!"
        from data_version v
        cross join (
            select coalesce(array_agg(day), '{}') as days,
                   coalesce(array_agg(price_sum), '{}') as price_sums,
                   coalesce(array_agg(price_count), '{}') as price_counts
            from (
                select day, price_sum, price_count
                from daily_rates
                where origin = $1 and destination = $2 and day between $3 and $4
                order by day desc
            ) newest_first
        ) lane
        "#,
        query.origin.as_ref(),
        query.destination.as_ref(),
        query.from,
        query.to,
    )
    .fetch_one(executor)
    .await?;
    Ok(Lane {
        version: DataVersion { version: row.version, places_version: row.places_version },
        days: row.days,
        price_sums: row.price_sums,
        price_counts: row.price_counts,
    })
}
